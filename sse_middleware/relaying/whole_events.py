"""`WholeEvents`: cuts a stream after its last whole event.

Rules of this file:
- No byte of an event is changed. What is not a whole event yet is held back. A client could do
  nothing with it, and an error event or a keep-alive can follow what has passed at any time.
- A byte order mark at the start is left out. It would be one only if nothing had come before.
- A stream that ends within an event is broken.
- An event may take 16 MiB if nothing else bounds it.
"""

from collections.abc import Iterator

from sse_middleware.errors import BodyError
from sse_middleware.wire.event_boundaries import (
    BOM,
    PASS_STEP,
    EventBoundaries,
    end_of_last_event,
    events_in,
)

LARGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one event that are held if `max_event_size` sets no bound: a generated image fits."""

Block = tuple[bytes, int]
"""Whole events, and how many they are. Comments may lie around them."""


class WholeEvents:
    """The whole events of one upstream.

    Args:
        max_event_size: bytes that one event may take.
    """

    __slots__ = (
        "_boundaries",
        "_events",
        "_held",
        "_held_size",
        "_largest",
        "_seam",
        "_start",
        "last",
        "sends_ids",
    )

    def __init__(self, max_event_size: int | None) -> None:
        self._largest = max_event_size or LARGEST_EVENT
        self._boundaries = EventBoundaries(max_event_size, bom=False)
        self._start: bytes | None = b""  # the first bytes, while they may be a byte order mark
        self._events = 0  # that have ended, and are not in a block yet
        self._held: list[bytes] = []
        self._held_size = 0
        self._seam = b""  # the last bytes that are held: a blank line may begin there
        self.sends_ids = False
        """Whether an ``id`` may have passed."""
        self.last = b""
        """The latest block that has an event."""

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """Yield the events that the next bytes complete.

        Raises:
            BodyError: an event is too large.
        """
        if self._start is not None:
            chunk = self._after_bom(self._start + chunk)
        elif not self._held and self._boundaries.is_one_event(chunk):  # the usual case
            yield self._noted(chunk), 1
            return
        if self._held:
            first, chunk = self._boundaries.cut_at_end_of_event(chunk)
            yield from self._pass(first)
        events, size, only_data = self._boundaries.usual_events(chunk)
        if events:
            yield self._noted(chunk[:size], only_data=only_data), len(events)
            chunk = chunk[size:]
        yield from self._pass(chunk)

    def _pass(self, chunk: bytes) -> Iterator[Block]:
        """Yield the events that the next bytes complete, whatever their form."""
        for part in self._boundaries.feed(chunk):
            self._events += self._boundaries.events
            if whole := self._whole(part):
                yield self._block(whole)

    def end(self) -> Iterator[Block]:
        """Yield what the end of the stream completes.

        Raises:
            BodyError: the stream ends within an event.
        """
        self._boundaries.note_end()
        if not self._boundaries.between_events or self._start:
            raise BodyError("the stream ended in the middle of an event")
        if self._held:
            yield self._block(self._taken())

    def _block(self, whole: bytes) -> Block:
        events, self._events = self._events, 0
        has_event = next(events_in(whole), None) is not None
        return (self._noted(whole) if has_event else whole), events

    def _noted(self, block: bytes, *, only_data: bool = False) -> bytes:
        """Keep what must be known of a block that has an event, and return it."""
        self.last = block
        if not (only_data or self.sends_ids):
            self.sends_ids = b"id:" in block  # in data it does no harm
        return block

    def _after_bom(self, first: bytes) -> bytes:
        if len(first) < len(BOM) and BOM.startswith(first):
            self._start = first
            return b""
        self._start = None
        return first.removeprefix(BOM)

    def _whole(self, part: bytes) -> bytes:
        """Return what is complete with a part of the stream. Hold the rest."""
        if self._boundaries.between_events:
            if not self._held:
                return part
            self._hold(part)
            return self._taken()
        seam = self._seam
        end = end_of_last_event(seam + part if seam else part)
        cut = end - len(seam)
        if not end:
            self._hold(part)
            return b""
        self._hold(part[:cut])
        whole = self._taken()
        self._hold(part[cut:])
        return whole

    def _hold(self, part: bytes) -> None:
        if part:
            self._held.append(part)
        self._held_size += len(part)
        self._seam = (self._seam + part[-2:])[-2:]
        if self._held_size > self._largest + PASS_STEP:
            raise BodyError(f"an event or a comment takes more than {self._largest} bytes")

    def _taken(self) -> bytes:
        whole = b"".join(self._held)
        self._held.clear()
        self._held_size, self._seam = 0, b""
        return whole
