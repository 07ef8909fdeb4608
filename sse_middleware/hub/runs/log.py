"""`RunLog`: the events of a run that wait to be appended.

Rules of this file:
- The producer puts events in. The writer takes all of them at once.
- If much waits, the producer waits for room. So a store that is slow slows the producer down. A
  producer that never suspends gives way to the event loop, as that of a stream does.
- An event that would make the run too large is not taken. Then the run fails.
"""

from collections.abc import Callable, Iterable
from time import monotonic

from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.worker import nothing
from sse_middleware.stream.outbox import TIME_SLICE
from sse_middleware.wire.encoding import encode_data

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
        "waiting",
        "wanted",
    )

    def __init__(self, max_bytes: int, on_too_large: Callable[[], object]) -> None:
        self.texts: list[bytes] = []
        self.frame_texts: Callable[[Iterable[bytes]], bytes] = encode_data
        self.size = self.look_at = 0
        self.closed = False
        self.awaited = False
        """Whether the producer waits for room."""
        self.waiting = 0
        """How many bytes wait."""
        self.wanted = 1
        """How many bytes must wait before the writer is woken."""
        self.raised = wakeup()
        """Wakes the writer."""
        self._moved = wakeup()
        self._events: list[bytes] = []
        self._left = max_bytes
        self._on_too_large = on_too_large
        self._checkpoint = checkpoint()
        self._slice_began = monotonic()

    def put_in_steps(self) -> None:
        """Change nothing: the writer has a task of its own."""

    def put(self, frame: bytes, events: int = 1) -> bool:  # noqa: ARG002 - a `FrameSink`
        """Add an event. Returns true if the producer must wait for `room`."""
        self._add_texts()
        if frame:
            self._add(frame)
        return self._is_full()

    def is_full(self) -> bool:
        """Add what was put as texts. Returns true if the producer must wait for `room`."""
        self._add_texts()
        return self._is_full()

    def _is_full(self) -> bool:
        """Whether it is closed, much waits, or the event loop has not been run for a while."""
        if self.closed or self.waiting >= BOUND:
            return True
        return monotonic() - self._slice_began >= TIME_SLICE

    def _add_texts(self) -> None:
        for text in self.texts:
            self._add(self.frame_texts((text,)))
        self.texts.clear()

    def _add(self, event: bytes) -> None:
        if self.closed:
            return
        self._left -= len(event)
        if self._left < 0:
            self._on_too_large()
            return
        if not self._events:
            self._slice_began = monotonic()
        self._events.append(event)
        self.waiting += len(event)
        if self.waiting >= self.wanted:
            self.raised.set()

    async def room(self) -> bool:
        """Wait for room. Returns false if nothing more is wanted."""
        self.awaited = True
        try:
            await self._checkpoint()
            while self.waiting >= BOUND and not self.closed:
                await self._moved.wait()
            self._slice_began = monotonic()
        finally:
            self.awaited = False
        return not self.closed

    def take(self) -> list[bytes]:
        """Return all events that wait."""
        events, self._events = self._events, []
        self.waiting = 0
        self._moved.set()
        return events

    def close(self) -> None:
        """Take nothing more. What waits can still be taken."""
        self._add_texts()
        self.closed = True
        self._moved.set()

    def let_go(self) -> None:
        """Close, and never call back."""
        self.close()
        self._on_too_large = nothing
