"""`Frames` and `Ring`: encoded events in the order of their clocks, and slices of them.

Rules of this file:
- A ring covers (floor, last]: it has all of a topic's events between these clocks.
- A ring has a bound in bytes. The newest event always stays. What goes raises the floor. Once the
  bound is passed, a little more goes, so that the next events find room.
- Nearly all subscribers ask for the same slice, so the joined bytes of a few slices are kept.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from sse_middleware.hub.ids import Position

RING_BYTES = 256 * 1024
"""Bytes of a ring: more than a subscriber takes at once, and 1 % of a thousand streams."""

_SLICES_KEPT = 8
"""How many joined slices are kept."""

_ROOM = 32
"""The part of a ring that becomes room: without it, each event would look for those that go."""

_GONE_AT_ONCE = 64
"""How many events go before the lists are cut. Cutting moves all that stay."""


@dataclass(frozen=True, slots=True)
class Latest:
    """All events of a topic after a position. Nearly all of its subscribers ask for the same."""

    after: int
    """The clock of the position."""
    first: int
    """The clock of the first event. Other positions before it are followed by the same events."""
    block: bytes
    events: int
    """How many there are."""
    position: Position
    """Up to which all is had with them."""
    follows: Position | None
    """The position of the subscriber that took them first. Nearly all have the same object."""
    size: int
    """The bytes of the block."""


class Frames:
    """Events with their ids, in the order of their clocks."""

    __slots__ = ("_blocks", "_clocks", "_ends", "_joined", "_skipped", "last")

    def __init__(self, floor: int) -> None:
        self.last = floor
        """The clock of the last event, or that after which events follow."""
        self._clocks: list[int] = []
        self._blocks: list[bytes] = []
        self._ends: list[int] = []
        """The bytes of all blocks up to each one, also of those that have gone."""
        self._skipped = 0
        self._joined = dict[tuple[int, int], bytes]()

    def __len__(self) -> int:
        return len(self._clocks) - self._skipped

    def append(self, clock: int, block: bytes) -> None:
        """Add an event after the others."""
        self._ends.append((self._ends[-1] if self._ends else 0) + len(block))
        self._clocks.append(clock)
        self._blocks.append(block)
        self.last = clock

    def fill(self, clocks: list[int], blocks: list[bytes]) -> None:
        """Have these events. There are none yet."""
        self._clocks, self._blocks = clocks, blocks
        self._ends = list(accumulate(map(len, blocks)))
        if clocks:
            self.last = clocks[-1]

    def take(self, after: int, up_to: int, limit: int) -> tuple[bytes, int, int]:
        """Return events as one block.

        Args:
            after: the clock after which they begin.
            up_to: the clock with which they end at the latest.
            limit: how many bytes they may have. One event may have more.

        Returns:
            Their bytes, how many there are, and up to which clock nothing is left to take.
        """
        clocks = self._clocks
        begin = bisect_right(clocks, after, self._skipped)
        end = len(clocks) if self.last <= up_to else bisect_right(clocks, up_to, begin)
        if begin >= end:
            return b"", 0, up_to
        if end - begin > 1:
            most = self._ends[begin] - len(self._blocks[begin]) + limit
            cut = max(begin + 1, bisect_right(self._ends, most, begin, end))
            if cut < end:
                end, up_to = cut, clocks[cut - 1]
        return self._join(begin, end), end - begin, up_to

    def _join(self, begin: int, end: int) -> bytes:
        if end - begin == 1:
            return self._blocks[begin]
        key = self._clocks[begin], self._clocks[end - 1]
        joined = self._joined.get(key)
        if joined is None:
            joined = self._joined[key] = b"".join(self._blocks[begin:end])
            if len(self._joined) > _SLICES_KEPT:
                del self._joined[next(iter(self._joined))]
        return joined

    def first_after(self, clock: int) -> int:
        """Return the clock of the first event after a clock. There is one."""
        return self._clocks[bisect_right(self._clocks, clock, self._skipped)]

    def after_clock(self, clock: int) -> Iterator[tuple[int, bytes]]:
        """Yield the events after a clock."""
        for at in range(bisect_right(self._clocks, clock, self._skipped), len(self._clocks)):
            yield self._clocks[at], self._blocks[at]


class Ring(Frames):
    """The newest events of a topic.

    Args:
        size: how many bytes it may hold.
    """

    __slots__ = ("_size", "floor")

    def __init__(self, size: int) -> None:
        super().__init__(0)
        self.floor = 0
        """The clock after which it has all events."""
        self._size = size

    def put(self, clock: int, block: bytes) -> None:
        """Add an event. The oldest ones go if there are too many bytes."""
        self.append(clock, block)
        ends = self._ends
        first = self._skipped
        over = ends[-1] - self._size
        if ends[first] - len(self._blocks[first]) < over:
            self._skip(over + self._size // _ROOM)

    def _skip(self, over: int) -> None:
        """Let those go that begin before this many bytes, but for the newest one."""
        skipped = bisect_right(self._ends, over - 1, self._skipped) + 1
        skipped = min(skipped, len(self._ends) - 1)
        if skipped == self._skipped:
            return
        self.floor = self._clocks[skipped - 1]
        for at in range(self._skipped, skipped):
            self._blocks[at] = b""
        self._skipped = skipped
        if skipped > _GONE_AT_ONCE and skipped > len(self._ends) // 2:
            del self._clocks[:skipped], self._blocks[:skipped], self._ends[:skipped]
            self._skipped = 0

    def restart(self, floor: int) -> None:
        """Have nothing, and cover what comes after a clock."""
        self._clocks, self._blocks, self._ends = [], [], []
        self._joined.clear()
        self._skipped = 0
        self.floor = self.last = floor
