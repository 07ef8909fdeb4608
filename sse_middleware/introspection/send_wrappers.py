"""Looks through the functions that Starlette wraps around `send`.

Rules of this file:
- Starlette's handlers of exceptions note whether a response has started. So each of them wraps
  `send`, in a coroutine that all messages of a body go through. An endpoint has three of these.
  They cost a seventh of an event for many subscribers.
- Once the response has started, they have nothing more to note. Then a stream calls what they wrap.
- A function is taken for such a wrapper only if its code knows nothing but the start of a response
  and what it wraps. So what other libraries do in their wrappers is never left out.
- A proxy (of wrapt) has the attributes and the class of what it wraps, and does something itself.
  So the type is asked for, and not the class.
"""

from types import CodeType, FunctionType

from starlette.types import Send

_KNOWN = frozenset((None, True, "type", "http.response.start"))


def inside_wrappers(send: Send) -> Send:
    """Return what a `send` calls, once a response has started, for each message."""
    while type(send) is FunctionType and _only_notes_start(send.__code__):
        _, inner = send.__closure__ or ()
        send = inner.cell_contents
    return send


def _only_notes_start(code: CodeType) -> bool:
    """Whether code has only a message, whether it was a start, and another `send`."""
    return (
        not code.co_names
        and code.co_nlocals == 1
        and code.co_freevars == ("response_started", "send")
        and _KNOWN.issuperset(code.co_consts)
    )
