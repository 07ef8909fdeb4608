"""The outbox of one connection: frames that wait for the writer.

The producer puts frames in, the writer takes all of them at once. It is bounded twice. By bytes, so
that a slow client slows its producer. By time, so that a producer that never suspends gives way to
the loop: `put` says when it must wait for `room`.

One producer, one writer, one event loop, so no lock.
"""

from enum import Enum
from time import monotonic

from sse_middleware.backends import signal

TIME_SLICE = 0.005
"""Seconds that frames wait for a producer that never suspends: an order below what a person
notices, an order above what switching tasks costs."""

STRIDE = 512
"""Bytes that may be put between two looks at the clock: a look costs as much as a small frame."""


class Ending(Enum):
    """Why nothing will be put any more."""

    COMPLETE = "that was all"
    BROKEN = "more should have come"
    ABANDONED = "nobody wants what waits"


class Outbox:
    """Frames between one producer and one writer.

    The writer waits for `ready` when there are no `frames` and the outbox is not `closed`. While
    the producer waits for room, the outbox is ``awaited``.

    Args:
        bound: how many bytes may wait before the producer has to.
    """

    __slots__ = (
        "_bound",
        "_check_at",
        "_looked",
        "_size",
        "_taken",
        "awaited",
        "closed",
        "ending",
        "frames",
        "ready",
    )

    def __init__(self, bound: int) -> None:
        self.awaited = False
        self.closed = False
        self.ending: Ending | None = None
        self.frames: list[bytes] = []
        self.ready = signal()
        self._taken = signal()
        self._bound = bound
        self._size = 0
        self._check_at = 0
        self._looked = monotonic()

    def put(self, frame: bytes) -> bool:
        """Add a frame. Returns true if the producer must wait for `room` before the next one."""
        self.frames.append(frame)
        self._size = size = self._size + len(frame)
        return size >= self._check_at and self._is_full(size)

    def _is_full(self, size: int) -> bool:
        """Look at the size, and whether a time slice has passed since the first frame or before."""
        now = monotonic()
        slow = now - self._looked >= TIME_SLICE
        if len(self.frames) == 1:
            self._looked = now
            self.ready.set()
        self._check_at = min(size + min(size, STRIDE), self._bound)
        return slow or size >= self._bound

    async def room(self) -> bool:
        """Wait until the writer has taken what was put. Returns false if it never will again."""
        self.awaited = True
        try:
            while self.frames and not self.closed:
                await self._taken.wait()
        finally:
            self.awaited = False
        return not self.closed

    def take(self) -> bytes:
        """Return all that waits, as one."""
        frames = self.frames
        if not frames:
            return b""
        self.frames, self._size, self._check_at = [], 0, 0
        self._taken.set()
        return b"".join(frames)

    def close(self, ending: Ending) -> None:
        """Say that nothing will be put any more, and why, and wake both sides.

        Once it is abandoned it stays so.
        """
        self.closed = True
        if self.ending is not Ending.ABANDONED:
            self.ending = ending
        self._bound = self._check_at = 0
        self.ready.set()
        self._taken.set()
        self.ready.close()
