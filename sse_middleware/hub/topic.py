"""`Topic`: what one worker knows of a topic that somebody subscribes to.

Rules of this file:
- A topic is complete up to the store's clock at its last read. Once it is synced, it is complete up
  to the worker's watermark: what is announced comes in order.
- An event that was announced is dropped if the ring has it already. It shows a hole if the event
  before it lies above what is complete. Then the topic is read again.
- What is announced before the read has come waits for it.
- A ring is whole if it has all that the store kept when it was read. Then its floor is the topic's
  floor, and the ring alone tells what has expired.
- A run begins a topic anew, in the store and so in the ring.
"""

from collections.abc import Callable, Iterable
from typing import Any

from sse_middleware.hub.abc import Entry, Kept, State
from sse_middleware.hub.gaps import floor_of
from sse_middleware.hub.ring import RING_BYTES, Latest, Ring
from sse_middleware.hub.run import STARTED

NEVER = -1
"""Up to where a topic is complete that has never been read."""

WithId = Callable[[int, bytes], bytes]
"""Returns an event with its id, from its clock and its block."""


class Topic:
    """A topic of a worker.

    Args:
        name: of the topic.
        with_id: puts the id into an event.
    """

    __slots__ = (
        "_early",
        "_early_size",
        "_whole_floor",
        "_with_id",
        "base",
        "filled",
        "latest",
        "listener",
        "name",
        "ring",
        "subscribers",
        "synced",
        "to_fill",
    )

    def __init__(self, name: str, with_id: WithId) -> None:
        self.name = name
        self.ring = Ring(RING_BYTES)
        self.subscribers = dict[Any, None]()
        """Who is woken when something comes."""
        self.base = NEVER
        """Up to where the last read was complete."""
        self.synced = False
        """Whether all that is published from now on will come."""
        self.to_fill = False
        """Whether all that is kept is wanted."""
        self.filled = False
        """Whether all that is kept was read, or is too much for a ring."""
        self.latest: Latest | None = None
        """What was taken last, while nothing is newer and nothing may be missing."""
        self.listener: object = None
        """The listener that hears it."""
        self._whole_floor: int | None = None
        self._early: list[Entry] = []
        self._early_size = 0
        self._with_id = with_id

    @property
    def whole(self) -> bool:
        """Whether the ring has all that was kept when it was read."""
        return self._whole_floor == self.ring.floor

    def complete(self, watermark: int) -> int:
        """Return up to which clock it has all events."""
        if not self.synced:
            return self.base
        last = self.ring.last
        reach = max(self.base, watermark)  # two calls of max cost more
        return max(reach, last)

    def receive(self, entry: Entry, watermark: int) -> bool:
        """Take an event that was announced. Returns false if it must be read."""
        if self.synced:
            if entry.clock <= self.ring.last:
                return True
            if not self.is_hole(entry, watermark):
                self._put(entry)
                return True
            self.lose(watermark)
        self._wait_for_read(entry)
        return False

    def is_hole(self, entry: Entry, watermark: int) -> bool:
        """Whether an event before this one has not come."""
        return entry.before > self.complete(watermark)

    def lose(self, watermark: int) -> None:
        """Know that something may not come, so that it must be read."""
        self.base = self.complete(watermark)
        self.synced = False
        self.latest = None

    def begin_anew(self, with_id: WithId) -> None:
        """Forget everything: the store has another incarnation."""
        self._with_id = with_id
        self.latest = None
        self.ring.restart(0)
        self._whole_floor = None
        self.base = NEVER
        self.synced = self.filled = False
        self.to_fill = True
        self._early, self._early_size = [], 0

    def _wait_for_read(self, entry: Entry) -> None:
        """Keep the newest of what was announced too early. If the oldest go, that is a hole."""
        self._early.append(entry)
        self._early_size += len(entry.block)
        if self._early_size > RING_BYTES:
            self._early, self._early_size = [entry], len(entry.block)

    def apply(self, kept: Kept, state: State, *, fill: bool) -> bool:
        """Take what was read after `base`, or all if `fill`. Returns false to be read again."""
        floor, self.latest = floor_of(kept, state), None
        if kept.more:  # there is too much for a ring
            if self.synced:  # what was published up to the read may still be on its way
                self.filled, self.to_fill = True, False
                return True
            self._restart(state.clock, (), state.clock)
            self._whole_floor = None
        elif fill or floor > self.base:
            self._restart(floor, kept.entries, state.clock)
            self._whole_floor = floor
        else:
            self._put_new(kept.entries)
        if fill:
            self.filled, self.to_fill = True, False
        self.base = max(self.base, state.clock)
        self.synced = True
        return self._take_early()

    def _take_early(self) -> bool:
        """Take what was announced before the read came. Returns false if something is missing."""
        early = self._early
        self._early, self._early_size = [], 0
        for entry in early:
            self.receive(entry, NEVER)
        return self.synced

    def _restart(self, floor: int, entries: Iterable[Entry], clock: int) -> None:
        """Fill the ring anew. What was announced after the read stays.

        If some of that is gone again, the ring stays as it is: there would be a hole.
        """
        if self.ring.floor > clock:
            return
        tail = list(self.ring.after_clock(clock))
        self.ring.restart(floor)
        self._put_new(entries)
        for later, block in tail:
            self.ring.put(later, block)

    def _put_new(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if entry.clock > self.ring.last:
                self._put(entry)

    def _put(self, entry: Entry) -> None:
        """Add an entry to the ring. What was before the beginning of a run is gone."""
        self.latest = None
        if entry.block.startswith(STARTED):
            self.ring.restart(entry.before)
            self._whole_floor = entry.before
        self.ring.put(entry.clock, self._with_id(entry.clock, entry.block))


def floors_of_rings(topics: Iterable[Topic]) -> dict[str, int]:
    """Return the floor of each topic's ring, by the topic's name."""
    return {topic.name: topic.ring.floor for topic in topics}
