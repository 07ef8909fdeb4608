"""`Taker`: a cursor that takes events from rings and pages, and moves with them.

Rules of this file:
- Events of several topics are merged in the order of their clocks.
- If there are events of one topic only, and no filter, a slice is taken as a whole.
- A filter looks at some events in a pass of the event loop, then others run. After many events that
  it dropped in a row, a block without data moves the client's position.
"""

from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from operator import itemgetter

from sse_middleware.hub.cursor import NOWHERE, Cursor
from sse_middleware.hub.ids import Position
from sse_middleware.hub.paging import Page
from sse_middleware.hub.published_event import ReadEvents
from sse_middleware.hub.ring import Latest
from sse_middleware.hub.topic import Topic
from sse_middleware.hub.wanted import Wanted

LOOKED_AT_ONCE = 500
"""How many events are looked at one by one in a pass of the event loop."""

_Event = tuple[int, bytes, str]
"""The clock of an event, its block with its id, and its topic."""

_clock_of = itemgetter(0)


class Taker(Cursor):
    """Takes events for one subscriber.

    Args:
        wanted: what the subscriber wants.
    """

    __slots__ = ("_dropped", "has_more", "read_events")

    read_events: ReadEvents
    """Decodes events for the filter. It must be set before anything is taken."""

    def __init__(self, wanted: Wanted) -> None:
        super().__init__(wanted)
        self._dropped = 0
        self.has_more = False
        """Whether there was more than what was taken."""

    def from_rings(self, topics: Sequence[Topic], reach: int, limit: int) -> bytes:
        """Take what the rings of topics have up to a clock, about this many bytes at most."""
        clock = self.clock
        if reach <= clock:
            return b""
        new = [topic for topic in topics if topic.ring.last > clock]
        if not new:
            self.move(reach)
            return b""
        if len(new) == 1 and self._wanted.where is None:
            before, taken = self.at, new[0].ring.take(clock, reach, limit)
            joined = self._took(taken)
            self._share(new[0], before, joined, taken[1])
            return joined
        merged = merge(*(_named(topic, clock) for topic in new), key=_clock_of)
        return self._take_each(merged, reach, limit)

    def latest(self, topics: Sequence[Topic], limit: int) -> bytes:
        """Take what another subscriber has just taken of one of these topics, or return ``b""``.

        It can be taken if these are all events that follow the position.
        """
        at = self.at or NOWHERE
        latest = topics[0].latest if len(topics) == 1 else _latest_of(topics, at.clock)
        if latest is None or not latest.after <= at.clock < latest.first:
            return b""
        if latest.position.mark != at.mark or latest.size > limit:
            return b""
        self.at = latest.position
        self.events += latest.events
        self.has_more = False
        return latest.block

    def _share(self, topic: Topic, before: Position | None, block: bytes, events: int) -> None:
        """Let others take the same, if these are all events after a position.

        A subscriber below the ring's floor must be told its own gap first.
        """
        at, ring = self.at, topic.ring
        if block and at is not None and before and at.clock >= ring.last and topic.synced:
            after, first = max(before.clock, ring.floor), ring.first_after(before.clock)
            follows = before if after == before.clock else None
            topic.latest = Latest(after, first, block, events, at, follows, len(block))

    def from_page(self, page: Page, limit: int) -> bytes:
        """Take what a page has, about this many bytes at most."""
        clock = self.clock
        if self._wanted.where is None:
            return self._took(page.take(clock, page.reach, limit))
        named = ((at, block, page.names[at]) for at, block in page.after_clock(clock))
        return self._take_each(named, page.reach, limit)

    def _took(self, taken: tuple[bytes, int, int]) -> bytes:
        joined, events, clock = taken
        self.events += events
        self.move(clock)
        return joined

    def _take_each(self, events: Iterable[_Event], reach: int, limit: int) -> bytes:
        """Take those events that are wanted."""
        taken: list[bytes] = []
        room = limit
        for looked_at, (clock, block, name) in enumerate(events):
            if clock > reach:
                break
            if (taken and room < len(block)) or looked_at == LOOKED_AT_ONCE:
                self.has_more, reach = True, self.clock
                break
            try:
                wanted = self._wants(name, block)
            except Exception:
                if not taken:
                    raise
                self.has_more, reach = True, self.clock  # then it fails again
                break
            if wanted:
                taken.append(block)
                room -= len(block)
            self.move(clock)
        self.move(reach)
        self.events += len(taken)
        return b"".join([*taken, self._after_dropped()])

    def _wants(self, name: str, block: bytes) -> bool:
        """Ask the filter."""
        where = self._wanted.where
        if where is None or where(self.read_events.of(name, block)):
            self._dropped = 0
            return True
        self._dropped += 1
        return False

    def _after_dropped(self) -> bytes:
        """Return a block that moves the client's position if a filter has dropped many events."""
        if self._dropped < self._wanted.dropped_in_a_row:
            return b""
        self._dropped = 0
        return self.block()


def _named(topic: Topic, after: int) -> Iterator[_Event]:
    for clock, block in topic.ring.after_clock(after):
        yield clock, block, topic.name


def _latest_of(topics: Sequence[Topic], clock: int) -> Latest | None:
    """Return what was taken last of the only topic that has anything after a clock.

    The others have nothing new if what is published to them has come.
    """
    new = [topic for topic in topics if topic.ring.last > clock]
    return new[0].latest if len(new) == 1 and all(topic.synced for topic in topics) else None
