"""`Outbox`: the frames of one connection that wait for the writer.

Rules of this file:
- The producer puts frames in. The writer takes all of them at once.
- It has two bounds. The bound in bytes lets a slow client slow its producer. The bound in time
  makes a producer that never suspends give way to the event loop. `put` says when the producer must
  wait for `room`.
- Most events are data and nothing else. For these only the texts are kept, and a run of texts is
  framed in one go when it is taken. A producer may add to the run by hand: it appends to ``texts``,
  adds the length and ``FRAMING`` to ``size``, and calls `is_full` if ``size`` has reached
  ``look_at``.
- One producer, one writer and one event loop, so no lock.
"""

from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any

from anyio.lowlevel import checkpoint

from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.queue import Queue
from sse_middleware.wire.encoding import encode_data

TIME_SLICE = 0.005
"""Seconds that frames wait while a producer doesn't suspend: a tenth of what a person notices, and
ten times what a task switch costs."""

STRIDE = 512
"""Bytes that may be put between two looks at the clock. A look costs as much as a small frame."""


class Outbox(Queue):
    """Holds the frames between one producer and one writer.

    Args:
        bound: how many bytes may wait before the producer must wait for room.
        stepwise: whether the writer is run anyway where the work of the stream suspends.
    """

    __slots__ = (
        "_frames",
        "_in_steps",
        "_rested",
        "_slice_began",
        "_stepwise",
        "between_events",
        "frame_texts",
        "look_at",
        "on_boundary",
        "texts",
        "unread",
    )

    def __init__(self, bound: int, *, stepwise: bool = False) -> None:
        super().__init__(bound)
        self.look_at = 0
        """The size at which the producer must call `is_full`."""
        self.unread = False
        self.texts: list[bytes] = []
        """The latest run of plain data, not framed yet."""
        self.frame_texts: Callable[[Sequence[bytes]], bytes] = encode_data
        """Writes the events of ``texts``, and joins them."""
        self._frames: list[bytes] = []
        self._slice_began = 0.0  # the first frame sets it
        self._stepwise = stepwise
        self._in_steps = False  # whether each frame is put in a step of the work
        self._rested = True  # whether the producer has suspended by itself since the last frame
        self.between_events = True
        self.on_boundary: Callable[[], object] | None = None
        """Called once, when the frames next end between two events."""

    def accompany(
        self,
        tasks: DaemonTaskGroup,
        watch: Callable[[], Coroutine[Any, Any, None]],
        apart: Callable[[], bool],  # noqa: ARG002 - it is in any case
    ) -> None:
        """Have a task watch the connection: the work has another one."""
        # What a `receive` sets, such as OpenTelemetry's span of it, is not for a `send`.
        tasks.create_eager_task(watch(), own_context=True)

    def wake(self) -> None:
        """Have the writer run soon."""
        self.writer.wake()

    def put_in_steps(self) -> None:
        """Say that each frame is put in a step of the work. Then the writer need not be woken."""
        self._in_steps = self._stepwise

    def put(self, frame: bytes, events: int = 1) -> bool:
        """Add a frame. Returns true if the producer must wait for `room` before the next one."""
        if self.closed:
            return True
        if self.texts:
            self._frame_run()
        self._frames.append(frame)
        self.events += events
        self.size += len(frame)
        return self.size >= self.look_at and self.is_full()

    def is_full(self) -> bool:
        """Say whether the producer must wait for `room`: at the bound, or after a time slice.

        A time slice begins with the first frame that waits. For this frame itself the time counts
        since the producer had room, unless it has suspended by itself meanwhile.
        """
        now, size, began = monotonic(), self.size, self._slice_began
        if not self.look_at:
            self._slice_began = now
            self.raised = True
            if not self._in_steps:
                self.writer.wake()
        if self._rested:
            self._rested = False
            self._slice_began = began = now
        self.look_at = min(size + min(size, STRIDE), self._bound)
        return size >= self._bound or now - began >= TIME_SLICE

    async def room(self, *, closable: bool = True) -> bool:
        """Wait until the writer has taken everything. Returns false if the outbox is closed.

        Other tasks get a turn in any case. That is all if what waits may wait for more.

        Args:
            closable: whether the producer ends by itself when this returns false, and need not be
                cancelled.
        """
        self.awaited = closable
        self.in_room = not (self.patient and self.size < self._bound)
        if self.raised and not self._in_steps:
            self.writer.wake()  # what is ready may wait for more
        try:
            if not (self.size and self.in_room):
                await checkpoint()
            while self.size and self.in_room and not self.closed:
                await self.moved.wait()
        finally:
            self.awaited = self.in_room = False
        self._slice_began = monotonic()
        return not self.closed

    def take(self) -> bytes:
        """Return everything that waits, joined."""
        texts, frames = self.texts, self._frames
        if texts and (frames or self.closed):
            self._frame_run()
        if texts:
            taken = self.frame_texts(texts)
            self.events += len(texts)
            texts.clear()
        else:
            taken = b"".join(frames)
            if not (taken or self.closed):
                return taken
            frames.clear()
        self.size = self.look_at = 0
        if self.in_room:
            self.moved.set()
        else:
            self._rested = True
        return taken

    def rest(self) -> None:
        """Note that the producer has suspended, and that what waits goes on waiting."""
        self._rested = True

    def when_between_events(self, callback: Callable[[], object]) -> None:
        """As `Queue.when_between_events`."""
        self.on_boundary = callback

    def note_boundary(self, *, between_events: bool) -> None:
        """Say whether the frames so far end where another event may begin."""
        self.between_events = between_events
        if between_events and self.on_boundary is not None:
            on_boundary, self.on_boundary = self.on_boundary, None
            on_boundary()

    def leave_unread(self) -> None:
        """Let the writer drop what it takes: the client has left. The producer goes on."""
        self.unread = self.raised = True
        self.writer.wake()

    def _frame_run(self) -> None:
        if not self.closed:
            self._frames.append(self.frame_texts(self.texts))
            self.events += len(self.texts)
        self.texts.clear()

    def end(self, ending: Ending) -> None:
        """Close. See `Queue`."""
        if self.texts:
            self._frame_run()
        super().end(ending)
        self.look_at = self._bound
