"""`ForeignEventStream`: another library's event stream as a body, which passes unchanged.

Rules of this file:
- `wire.event_boundaries` says where frames of the stream itself may go in.
- An event that is not complete at the end of the body is left as it is, and clients drop it. If it
  is to be delivered, a blank line is added.
- Nothing is known of a stream in a coding such as gzip, so nothing goes in.
"""

from collections.abc import Iterator

from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.wire.event_boundaries import EventBoundaries


class ForeignEventStream(EventBoundaries):
    """``text/event-stream``: the stream passes unchanged. It is also its own `BodyAdapter`."""

    def __init__(self, body: BodyFormat) -> None:
        super().__init__(body.max_event_size)
        self._delivers = body.unfinished == "deliver"

    def end(self) -> Iterator[bytes]:
        """Yield the blank line that is missing, if incomplete events are delivered."""
        missing = self.missing() if self._delivers else b""
        if missing:
            yield from self.feed(missing)
        self.note_end()


class EncodedStream(ForeignEventStream):
    """An event stream in a coding such as gzip: nothing may go in, since nothing is known of it."""

    between_events = False

    def is_one_event(self, chunk: bytes) -> bool:  # noqa: ARG002 - that can't be known
        """Say no."""
        return False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk. It counts as an event."""
        self.events = int(bool(chunk))
        yield chunk

    def end(self) -> Iterator[bytes]:
        """Yield nothing."""
        yield from ()
