"""What the parts of a stream know about each other, and what a stream knows about its items."""

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, Protocol

from sse_middleware.events import ServerSentEvent
from sse_middleware.introspection.generators import Stage
from sse_middleware.records import CloseReason
from sse_middleware.wire.sent_ids import IdFollower


class Ending(Enum):
    """Why nothing more will be put into an outbox."""

    COMPLETE = "that was all"
    BROKEN = "more should have come"
    ABANDONED = "nobody wants what waits"


class Encoder(Protocol):
    """Turns items into the bytes of events, for a producer."""

    plain: frozenset[type]
    """Types whose instances are known to be data and nothing else. It may be replaced by a larger
    set."""

    @property
    def frame_texts(self) -> Callable[[Sequence[bytes]], bytes]:
        """Writes the events of such texts, and joins them."""

    @property
    def to_text(self) -> Callable[..., bytes]:
        """Turns such an item and ``by_alias=True`` into a text for `frame_texts`. It may change."""

    def encode(self, item: Any) -> bytes:
        """Return the bytes of one event, or of a keep-alive. Raises why the item can't be sent."""

    def encode_event(self, item: ServerSentEvent) -> bytes:
        """As `encode`, for exactly this type. It may raise anything: `refusal` tells it apart."""

    def refusal(self, item: Any, error: Exception) -> Exception:
        """Return the error that says why `item` can't be sent."""


class ControlFrames(Protocol):
    """Makes the frames of the stream itself: keep-alives, and the last frame."""

    follower: IdFollower | None
    """Told once that frames have ids, before the first of them is put."""
    same_ping: bytes
    """The keep-alive if it is known to be always the same, or ``b""``."""

    def ping(self) -> bytes:
        """Make a keep-alive."""

    def of_error(self, error: Exception) -> bytes:
        """Make the last frame of a stream that failed, or ``b""``."""

    def farewell(self, reason: CloseReason) -> bytes:
        """Make the last frame of a stream that is ended early, or ``b""``."""


class FrameSink(Protocol):
    """Where a producer puts its frames.

    An event that is data and nothing else may also be put by hand, as its text: append it to
    ``texts``, add its length and ``FRAMING`` to ``size``, and if that reached ``look_at``, ask
    `is_full`. This makes bursts fast: two calls for each event would cost a quarter of the time.
    """

    texts: list[bytes]
    frame_texts: Callable[[Sequence[bytes]], bytes]
    """Writes the events of the texts, and joins them. The producer sets it to its encoder's."""
    size: int
    look_at: int
    closed: bool
    """Whether what is put is dropped."""

    def put_in_steps(self) -> None:
        """Say that each frame is put in a step of `Producer.produce`.

        Then what waits is sent where that coroutine suspends. Any other frame wakes the writer.
        """

    def put(self, frame: bytes, events: int = 1) -> bool:
        """Take a frame of this many events. Returns true if the producer must wait for `room`."""

    def is_full(self) -> bool:
        """Say whether the producer must wait for `room` before the next frame."""

    async def room(self) -> bool:
        """Wait for room. Returns false if nothing more is wanted."""


class Work(Protocol):
    """What makes the frames of an open stream, as far as the end of the stream needs it."""

    def close(self, within: float) -> Coroutine[Any, Any, None] | None:
        """Return what releases what is held, also if nothing was ever produced.

        It takes at most `within` seconds. Returns ``None`` if nothing is held any more.
        """

    def stage(self) -> Stage:
        """Return whether it can put more, and what it does if it can't."""

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back when none of its code runs any more, which may be now.

        Use it after `close`: a thread may still run then. The event loop makes the call.
        """


class Producer(Work, Protocol):
    """Makes a stream's frames from an iterable."""

    async def produce(self, sink: FrameSink) -> None:
        """Put every frame. Raises what the user's code raises."""
