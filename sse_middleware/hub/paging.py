"""`Pages`: what subscribers read from the store that the rings don't have.

Rules of this file:
- Subscribers that want the same share one read, and one page.
- A page has the events of some topics after a clock, in order, up to the lowest clock up to which
  all of its topics are complete. It is bounded in events and in bytes.
- The topics of a page may be read at different moments, but from the same incarnation.
- A few pages are read at a time, so that a storm of clients doesn't hold up the store or the loop.
- A reader that has taken a part of a page keeps the rest. But only `RESTS_KEPT` pages are kept for
  that, so clients that read slowly take little memory. A reader that loses its page reads again.
- If the store is away, a read is tried again until nobody wants it any more.
"""

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from itertools import accumulate
from operator import attrgetter
from typing import Any, Protocol

from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.hub.abc import Entry, Snapshot, State
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.gaps import complete_of, floor_of, lowest
from sse_middleware.hub.ids import IdFormat
from sse_middleware.hub.listening import CHUNK
from sse_middleware.hub.ring import Frames
from sse_middleware.hub.store_calls import answered
from sse_middleware.hub.worker import Worker

logger = logging.getLogger(__name__)

PAGE_EVENTS = 1024
"""About how many events a page has."""

FEWEST = 8
"""How many events of each topic are read at least."""

FLIGHTS_AT_ONCE = 16
"""How many pages are read at a time."""

PAGE_BYTES = 256 * 1024
"""Bytes of a page. A single event may have more."""

RESTS_KEPT = 64
"""How many pages are kept for readers that have taken a part: more than clients that read quickly
need, also if they all come at once."""

_clock_of = attrgetter("clock")


class Page(Frames):
    """What was read of some topics.

    Args:
        after: the clock after which events were asked for.
        state: what the store was.
        floors: of each topic, up to which clock events may be gone.
        reach: up to which clock it is complete.
    """

    __slots__ = ("after", "floors", "names", "reach", "readers", "state")

    def __init__(self, after: int, state: State, floors: Mapping[str, int], reach: int) -> None:
        super().__init__(after)
        self.after = after
        self.state = state
        self.floors = floors
        self.reach = reach
        self.names: dict[int, str] = {}
        """The topic of each event, by its clock. There may be more than the events."""
        self.readers = dict[Reader, None]()
        """The readers that have taken a part of it, and keep the rest."""


class Reader(Protocol):
    """Who wants a page."""

    def page_came(self, page: Page) -> None:
        """Take the page. It must not raise."""

    def drop_page(self) -> None:
        """Read again what is left to take."""

    @property
    def wake(self) -> Callable[[], object]:
        """Has it look at the page."""


class Flight:
    """A read on its way."""

    __slots__ = ("after", "names", "readers")

    def __init__(self, names: tuple[str, ...], after: int) -> None:
        self.names = names
        self.after = after
        self.readers = dict[Reader, None]()


class Pages:
    """Reads pages for the subscribers of a worker.

    Args:
        worker: whose store is read.
        create_task: starts a task.
        backoff: makes what says how long to wait after a failure.
    """

    def __init__(
        self,
        worker: Worker,
        create_task: Callable[[Coroutine[Any, Any, None]], object],
        backoff: Callable[[], Backoff],
    ) -> None:
        self._worker = worker
        self._create_task = create_task
        self._backoff = backoff
        self._flights = dict[tuple[tuple[str, ...], int], Flight]()
        self._waiting = deque[Flight]()
        self._rests = dict[Page, None]()
        self._tasks = 0
        self._pause = checkpoint()

    def request(self, names: tuple[str, ...], after: int, reader: Reader) -> Flight:
        """Read topics after a clock. The page comes to the reader."""
        flight = self._flights.get((names, after))
        if flight is None:
            flight = self._flights[names, after] = Flight(names, after)
            self._waiting.append(flight)
            if self._tasks < FLIGHTS_AT_ONCE:
                self._tasks += 1
                self._create_task(self._fly_all())
        flight.readers[reader] = None
        return flight

    def keep_rest(self, page: Page, reader: Reader) -> None:
        """Let a reader keep the rest of a page. Of too many pages, the oldest goes."""
        page.readers[reader] = None
        self._rests.pop(page, None)
        self._rests[page] = None
        if len(self._rests) > RESTS_KEPT:
            oldest = next(iter(self._rests))
            for one in tuple(oldest.readers):
                one.drop_page()

    def forget_rest(self, page: Page, reader: Reader) -> None:
        """Know that a reader no longer has the page."""
        page.readers.pop(reader, None)
        if not page.readers:
            self._rests.pop(page, None)

    async def _fly_all(self) -> None:
        try:
            while self._waiting:
                await self._fly(self._waiting.popleft())
                await self._pause()
        finally:
            self._tasks -= 1

    async def _fly(self, flight: Flight) -> None:
        page = await self._page(flight)
        del self._flights[flight.names, flight.after]
        if page is not None:
            for reader in flight.readers:
                reader.page_came(page)
            self._worker.pump.wake(flight.readers)

    async def _page(self, flight: Flight) -> Page | None:
        """Try to read a page until it comes, or nobody wants it any more."""
        backoff = self._backoff()
        while flight.readers:
            try:
                return self._joined(flight.after, await self._read(flight))
            except Exception as error:
                logger.debug("a page can't be read: %r", error)
                await self._worker.recovery.wait(backoff)
        return None

    async def _read(self, flight: Flight) -> list[Snapshot]:
        names, found = flight.names, []
        limit = max(FEWEST, PAGE_EVENTS // len(names))
        for begin in range(0, len(names), CHUNK):
            chunk = names[begin : begin + CHUNK]
            found.append(await answered(self._worker.store.read(chunk, flight.after, limit)))
            self._worker.note(found[-1].state)
        if any(one.state.mark != found[0].state.mark for one in found):
            raise LookupError("the store has begun anew meanwhile")
        return found

    def _joined(self, after: int, snapshots: Sequence[Snapshot]) -> Page:
        """Make one page of what was read."""
        topics = [(name, kept, one.state) for one in snapshots for name, kept in one.topics.items()]
        page = Page(
            after,
            max((one.state for one in snapshots), key=lambda state: state.clock),
            {name: floor_of(kept, state) for name, kept, state in topics},
            lowest(complete_of(kept, state) for _, kept, state in topics),
        )
        page.names = {entry.clock: name for name, kept, _ in topics for entry in kept.entries}
        entries = [entry for _, kept, _ in topics for entry in kept.entries]
        entries.sort(key=_clock_of)
        _cut(page, entries)
        mark, ids = page.state.mark, self._worker.ids
        blocks = (ids if ids.mark == mark else IdFormat(mark)).with_ids(entries)
        page.fill([entry.clock for entry in entries], blocks)
        return page


def _cut(page: Page, entries: list[Entry]) -> None:
    """Drop the entries above the page's reach. If there are too many bytes, lower the reach."""
    del entries[bisect_right(entries, page.reach, key=_clock_of) :]
    ends = list(accumulate([len(entry.block) for entry in entries]))
    fitting = max(1, bisect_right(ends, PAGE_BYTES))
    if fitting < len(entries):
        del entries[fitting:]
        page.reach = entries[-1].clock
