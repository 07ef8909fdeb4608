"""The outbox of one connection: frames that wait for the writer.

Rules of this file:
- The producer puts frames in, the writer takes all of them at once.
- It is bounded twice. By bytes, so that a slow client slows its producer. By time, so that a
  producer that never suspends gives way to the loop: `put` says when it must wait for `room`.
- Most events are data and nothing else. Of these only the texts are kept, and a run of them is
  framed in one go when it is taken. A producer may add to the run by hand: append to ``texts``, add
  the length and ``FRAMING`` to ``size``, and ask `is_full` if that reached ``look_at``.
- One producer, one writer, one event loop, so no lock.
"""

from time import monotonic

from sse_middleware.event_loop.wakeup import wakeup, writer_timer
from sse_middleware.stream.abc import Ending
from sse_middleware.wire.encoding import encode_data

TIME_SLICE = 0.005
"""Seconds that frames wait for a producer that never suspends: an order below what a person
notices, an order above what switching tasks costs."""


STRIDE = 512
"""Bytes that may be put between two looks at the clock: a look costs as much as a small frame."""


class Outbox:
    """Frames between one producer and one writer.

    The writer waits for `ready` when there is nothing (``size`` is 0) and the outbox is not
    ``closed``. While the producer waits for room, the outbox is ``awaited``.

    Args:
        bound: how many bytes may wait before the producer has to.
    """

    __slots__ = (
        "_bound",
        "_frames",
        "_looked",
        "awaited",
        "closed",
        "completing",
        "ending",
        "events",
        "look_at",
        "moved",
        "ready",
        "size",
        "texts",
        "unread",
    )

    def __init__(self, bound: int) -> None:
        self.awaited = False
        self.closed = False
        self.ending: Ending | None = None
        self.events = 0
        """How many events were taken, or are framed already."""
        self.completing = False
        """Whether the last message has been sent, or is about to be."""
        self.moved = wakeup()
        """Wakes the producer."""
        self.ready = writer_timer()
        """Wakes the writer."""
        self.size = 0
        """How many bytes wait."""
        self.look_at = 0
        """The size from which on `is_full` must be asked."""
        self.unread = False
        """Whether the writer drops what it takes."""
        self.texts: list[bytes] = []
        """The run of data that waits last, unframed."""
        self._frames: list[bytes] = []
        self._bound = bound
        self._looked = monotonic()

    def put(self, frame: bytes, events: int = 1) -> bool:
        """Add a frame. Returns true if the producer must wait for `room` before the next one.

        Args:
            frame: the bytes of events, of a comment, or none.
            events: how many events they are.
        """
        if self.closed:
            return True
        self._end_run()
        self._frames.append(frame)
        self.events += events
        self.size += len(frame)
        return self.size >= self.look_at and self.is_full()

    def is_full(self) -> bool:
        """Look at the size, and whether a time slice has passed since the first frame or before."""
        now, size = monotonic(), self.size
        slow = now - self._looked >= TIME_SLICE
        if not self.look_at:
            self._looked = now
            self.ready.set()
        self.look_at = min(size + min(size, STRIDE), self._bound)
        return slow or size >= self._bound

    async def room(self, *, closable: bool = True) -> bool:
        """Wait until the writer has taken what was put. Returns false if it never will again.

        Args:
            closable: whether the producer ends by itself then, and needn't be cancelled.
        """
        self.awaited = closable
        try:
            while self.size and not self.closed:
                await self.moved.wait()
        finally:
            self.awaited = False
        return not self.closed

    def take(self) -> bytes:
        """Return all that waits, as one."""
        self._end_run()
        taken = b"".join(self._frames)
        if taken or self.closed:
            self._frames.clear()
            self.size = self.look_at = 0
            self.moved.set()
        return taken

    def leave_unread(self) -> None:
        """Say that nobody reads any more. The producer goes on."""
        self.unread = True
        self.ready.set()

    def _end_run(self) -> None:
        if self.texts and not self.closed:
            self._frames.append(encode_data(self.texts))
            self.events += len(self.texts)
        self.texts.clear()

    def close(self, ending: Ending) -> None:
        """Say that nothing more will be put, and why. Wakes both sides.

        The first ending counts, but it can still become ``ABANDONED``. What is put later is
        dropped: nothing comes after the last event.
        """
        self._end_run()
        self.closed = True
        if self.ending is None or ending is Ending.ABANDONED:
            self.ending = ending
        self._bound = self.look_at = 0
        self.ready.set()
        self.moved.set()
