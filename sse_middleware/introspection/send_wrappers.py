"""Looks through the functions that Starlette wraps around `send`.

Rules of this file:
- Starlette's handlers of exceptions note whether a response has started. So each of them wraps
  `send`, in a coroutine that all messages of a body go through. An endpoint has three of these.
  They cost a seventh of an event for many subscribers.
- Once the response has started, they have nothing more to note. Then a stream calls what they wrap.
- A function is taken for such a wrapper only if its code is the same, instruction by instruction.
  So what other libraries do in their wrappers is never left out.
- A proxy (of wrapt) has the attributes and the class of what it wraps, and does something itself.
  So the type is asked for, and not the class.
"""

from functools import lru_cache
from types import CodeType, FunctionType
from typing import cast

from starlette.types import Message, Send


def noting_start(send: Send) -> Send:
    """Wrap a `send` as Starlette does. Its exception handlers look at what is noted."""
    response_started = False

    async def wrapper(message: Message) -> None:
        nonlocal response_started
        if message["type"] == "http.response.start":
            response_started = True
        await send(message)

    return wrapper


def inside_wrappers(send: Send) -> Send:
    """Return what a `send` calls, once a response has started, for each message."""
    while type(send) is FunctionType and _only_notes_start(send.__code__):
        _, inner = send.__closure__ or ()
        send = cast("Send", inner.cell_contents)
    return send


@lru_cache(maxsize=64)
def _only_notes_start(code: CodeType) -> bool:
    """Whether code does the same as Starlette's."""
    noting = cast("FunctionType", noting_start(cast("Send", None))).__code__
    return (
        code.co_freevars == noting.co_freevars
        and code.co_consts == noting.co_consts
        and bool(code.co_code == noting.co_code)
    )
