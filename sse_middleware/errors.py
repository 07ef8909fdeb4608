"""Every error of the package, in one tree.

    SSEError
    ├── yours: the application gave something that can't be streamed
    │   ├── ConfigurationError   a setting or a setup that can't work
    │   ├── FieldError           a field that the text/event-stream grammar can't carry
    │   ├── EncodingError        an item that can't become an event
    │   ├── TopicError           a name that no topic can have
    │   ├── RunTooLargeError     a run whose events take more than it may
    │   ├── RunAbortedError      a run whose worker is gone
    │   ├── RunFailedError       a run that has failed, as observers of its viewers learn it
    │   └── HubError             a hub that is not open, or is used from elsewhere
    │       ├── StoreError           its store is away or refuses: nothing was published
    │       └── PublishUnknownError  its store may have published: the answer was lost
    └── theirs: a peer sent something that can't be read
        ├── BodyError            a legacy body that is malformed, cut off or too large
        ├── RequestBodyError     a request's body that was read too late
        └── EventTooLargeError   an event that is larger than the decoder allows

`sse_middleware.UpstreamError`, of a relay, is one of theirs and an ``HTTPException`` too.

An exception from the user's own code is never wrapped. It reaches the server unchanged.

What a peer has sent is shown by `printable` in every message and in every line of a log.
"""

import re
from collections.abc import Sequence
from typing import Self


class SSEError(Exception):
    """Base of the package's own errors.

    The package also raises ``TypeError`` for an argument that is not an iterable or not a function,
    and ``pydantic.ValidationError`` for an invalid `ServerSentEvent`.
    """


class ConfigurationError(SSEError, ValueError):
    """The application is set up in a way that can't work.

    A setting is bad, the middleware is missing, an item type can't be evaluated, or the like. The
    message names the cause and what is allowed.
    """


class FieldError(SSEError, ValueError):
    """The value of a field would break its event, or the next one."""


class EncodingError(SSEError, ValueError):
    """An item can't become an event.

    The message names the item's type and the endpoint. ``__cause__`` is the original error.

    The error is thrown into the generator at the ``yield`` that produced the item. So the traceback
    ends there, and the generator may catch the error and continue.
    """


class TopicError(SSEError, ValueError):
    """A topic can't have this name. The message shows the name and what is allowed."""


class HubError(SSEError, RuntimeError):
    """A hub is not open, or is used from another thread or event loop.

    The message names the way out.
    """


class StoreError(HubError):
    """The store of a hub is away, or can't do what it was asked to.

    The message names the cause. Nothing was published, unless the message says otherwise.
    """


class PublishUnknownError(HubError):
    """The connection to the store broke before its answer came: the event may be published.

    The hub never publishes it again by itself. It is safe to do so with ``once=``, if the first
    attempt had the same text.
    """


class RunTooLargeError(SSEError):
    """The events of a run take more than its `max_bytes`. The run has failed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"the events of the run take more than max_bytes={max_bytes}")
        self.max_bytes = max_bytes

    def __reduce__(self) -> tuple[type[Self], tuple[int]]:
        """Rebuild copies from the argument, not from the message."""
        return type(self), (self.max_bytes,)


class RunAbortedError(SSEError):
    """The worker that produced a run is gone. `error_event` gets it, for each viewer."""


class RunFailedError(SSEError):
    """The run that a stream viewed has failed. `StreamClosed` has it, and it is never raised.

    The run's own exception is in the log of the worker that produced it.
    """


class BodyError(SSEError, ValueError):
    """A legacy body can't become an event stream. Raised where the application sends the body."""


class RequestBodyError(SSEError, ValueError):
    """A long request body was not read while a stream was open, so it is not whole any more.

    Raised where the application reads it.
    """


class EventTooLargeError(SSEError, ValueError):
    """A peer's event is larger than the decoder's ``max_event_size``.

    ``decoded`` holds what the decoder completed from the same chunk before this event.
    """

    def __init__(self, max_event_size: int, decoded: Sequence[object] = ()) -> None:
        super().__init__(f"an event is larger than max_event_size={max_event_size} bytes")
        self.max_event_size = max_event_size
        self.decoded = decoded

    def __reduce__(self) -> tuple[type[Self], tuple[int, Sequence[object]]]:
        """Rebuild copies from the arguments, not from the message."""
        return type(self), (self.max_event_size, self.decoded)


LONGEST_SHOWN = 200
"""Characters of what a peer has sent that a message shows: enough to recognise it."""


def printable(value: object, longest: int = LONGEST_SHOWN) -> str:
    """Return a text in printable ASCII, cut to a length, so that nobody can forge a line of a log.

    Anything but a string is shown by its ``repr``.
    """
    text = value if isinstance(value, str) else repr(value)
    cut = text[:longest]
    shown = ascii(cut)[1:-1] if text is value else _UNPRINTABLE.sub(_escaped, cut)
    if len(text) <= longest and len(shown) <= longest:
        return shown
    return f"{shown[:longest]}..."


_UNPRINTABLE = re.compile("[^ -~]")


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
