"""Every error of the package, as one tree.

    SSEError
    ├── yours: the application gave something that can't be streamed
    │   ├── ConfigurationError   a setting that is unknown or out of its range
    │   ├── FieldError           a field that the text/event-stream grammar can't carry
    │   └── EncodingError        an item that can't be turned into an event
    └── theirs: a peer sent something that can't be read
        ├── BodyError            a legacy body that is not what it says, or a line without end
        └── EventTooLargeError   an event over the decoder's bound

What the user's own code raises is never wrapped: it reaches the server as it was raised.
"""

from collections.abc import Sequence
from typing import Self


class SSEError(Exception):
    """Base of the package's own errors.

    Besides them there are a ``TypeError`` for an argument that is no iterable or function, and
    ``pydantic.ValidationError`` for a `ServerSentEvent` that can't be made.
    """


class ConfigurationError(SSEError, ValueError):
    """A setting is unknown, of a wrong type or out of range. Says which, and what is allowed."""


class FieldError(SSEError, ValueError):
    """A field's value would break the event it is written into, or the next one."""


class EncodingError(SSEError, ValueError):
    """An item can't become an event. Names the item's type and the endpoint; the cause is chained.

    It is thrown into the generator at the ``yield`` that produced the item, so the traceback ends
    there, and the generator may catch it and go on.
    """


class BodyError(SSEError, ValueError):
    """A legacy body can't become an event stream. Raised where the application sends it."""


class EventTooLargeError(SSEError, ValueError):
    """A peer's event has grown over the decoder's ``max_event_size``.

    ``decoded`` holds what the same chunk had completed before it.
    """

    def __init__(self, max_event_size: int, decoded: Sequence[object] = ()) -> None:
        super().__init__(f"an event takes more than max_event_size={max_event_size} bytes")
        self.max_event_size = max_event_size
        self.decoded = decoded

    def __reduce__(self) -> tuple[type[Self], tuple[int, Sequence[object]]]:
        """Let a copy be made of the arguments and not of the message."""
        return type(self), (self.max_event_size, self.decoded)
