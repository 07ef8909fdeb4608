"""`StreamStart`: what is known about a stream when it opens."""

from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Message

from sse_middleware.registry.registry import Slot
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.queue import Queue
from sse_middleware.wire.compression import Codec


@dataclass(slots=True)
class StreamStart:
    """How a response begins, and what its body goes through."""

    head: Message
    """The ``http.response.start`` message."""
    codec: Callable[[], Codec] | None
    """Makes what compresses the body. Only the writer keeps the result: a compression context is
    large, and other objects of an ended stream may live until the next garbage collection."""
    slot: Slot
    """The stream's place among the open ones. The stream gives it back."""
    at_once: bool = False
    """Whether the head is sent at once. If not, it waits for the first frame or `commit_after`."""
    cooperative: bool = False
    """Whether the producer ends by itself if it waits for the end of the connection."""
    outbox: Callable[..., Queue] = Outbox
    """Makes where frames wait, from `max_buffer` and ``stepwise``."""
