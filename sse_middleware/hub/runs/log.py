"""`RunLog`: the events of a run that wait to be appended.

Rules of this file:
- The producer puts events in. The writer takes all of them at once.
- Texts are framed in one go, at the latest when they are taken. See `Outbox`. The writer is woken
  when the first event is put, so it need not be woken for each of those that follow at once.
- If much waits, the producer waits for room. So a store that is slow slows the producer down. A
  producer that never suspends gives way to the event loop, as that of a stream does.
- An event that would make the run too large is not taken. Then the run fails.
"""

from collections.abc import Callable, Sequence
from time import monotonic

from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.worker import nothing
from sse_middleware.stream.outbox import TIME_SLICE
from sse_middleware.wire.encoding import encode_data

STRIDE = 16
"""Bytes that may be put between two looks at the clock: an event or two."""

BOUND = 64 * 1024
"""Bytes that may wait before the producer must wait for room."""


class RunLog:
    """Holds the events between the producer of a run and its writer. See `FrameSink`.

    Args:
        max_bytes: of all events.
        on_too_large: called once if there are more.
    """

    __slots__ = (
        "_checkpoint",
        "_events",
        "_left",
        "_max_bytes",
        "_moved",
        "_on_too_large",
        "_slice_began",
        "awaited",
        "closed",
        "frame_texts",
        "look_at",
        "raised",
        "size",
        "texts",
        "wanted",
    )

    def __init__(self, max_bytes: int, on_too_large: Callable[[], object]) -> None:
        self.texts: list[bytes] = []
        self.frame_texts: Callable[[Sequence[bytes]], bytes] = encode_data
        self.size = 0
        """How many bytes wait."""
        self.look_at = 0
        """The size at which the producer must call `is_full`."""
        self.closed = False
        self.awaited = False
        """Whether the producer waits for room."""
        self.wanted = 1
        """How many bytes must wait before the writer is woken."""
        self.raised = wakeup()
        """Wakes the writer."""
        self._moved = wakeup()
        self._events: list[bytes] = []
        self._left = self._max_bytes = max_bytes
        self._on_too_large = on_too_large
        self._checkpoint = checkpoint()
        self._slice_began = monotonic()

    @property
    def taken(self) -> int:
        """How many bytes were put, also those that have been taken."""
        return self._max_bytes - max(self._left, 0)

    def put_in_steps(self) -> None:
        """Change nothing: the writer has a task of its own."""

    def put(self, frame: bytes, events: int = 1) -> bool:  # noqa: ARG002 - a `FrameSink`
        """Add an event. Returns true if the producer must wait for `room`."""
        if frame:
            self._add_texts()
            self._add((frame,))
            self.size += len(frame)
        return self.is_full()

    def is_full(self) -> bool:
        """Say whether the producer must wait for `room`, and wake the writer if enough waits.

        It must wait if much waits, or if the event loop has not been run for a while.
        """
        now = monotonic()
        self._add_texts()
        if not self.look_at:
            self._slice_began = now
        if self.size and not self.closed:
            self.look_at = self.size + min(STRIDE, self._left + 1)
        if self.size >= self.wanted:
            self.raised.set()
        return self.closed or self.size >= BOUND or now - self._slice_began >= TIME_SLICE

    def _add_texts(self) -> None:
        if self.texts:
            frame = self.frame_texts
            events = [frame((text,)) for text in self.texts]
            self.texts.clear()
            self._add(events)

    def _add(self, events: Sequence[bytes]) -> None:
        """Add events, up to the first one that is too much."""
        if self.closed:
            return
        for event in events:
            self._left -= len(event)
            if self._left < 0:
                self._on_too_large()
                return
            self._events.append(event)

    async def room(self) -> bool:
        """Wait for room. Returns false if nothing more is wanted."""
        self.awaited = True
        try:
            await self._checkpoint()
            while self.size >= BOUND and not self.closed:
                await self._moved.wait()
            self._slice_began = monotonic()
        finally:
            self.awaited = False
        return not self.closed

    def take(self) -> list[bytes]:
        """Return all events that wait."""
        self._add_texts()
        events, self._events = self._events, []
        self.size = self.look_at = 0
        self._moved.set()
        return events

    def close(self) -> None:
        """Take nothing more. What waits can still be taken."""
        self._add_texts()
        self.closed = True
        self.look_at = 0
        self._moved.set()

    def let_go(self) -> None:
        """Close, and never call back."""
        self.close()
        self._on_too_large = nothing
