"""`Subscription`: one subscriber of topics.

Rules of this file:
- A subscriber has no queue. It takes what lies after its position: from the rings of its topics, or
  from a page of the store if they don't go back that far.
- It takes nothing above the lowest clock up to which its topics are complete.
- The rules of gaps apply to each page, and to the rings in the same way.
- Its position is claimed only for what was taken, and only while the store is there.
"""

from collections.abc import Callable, Sequence
from typing import cast

from sse_middleware.hub.abc import State
from sse_middleware.hub.cursor import NOWHERE, Cursor
from sse_middleware.hub.gaps import later_starts, lowest
from sse_middleware.hub.ids import parse_position
from sse_middleware.hub.joining import Joining
from sse_middleware.hub.paging import Flight, Page
from sse_middleware.hub.topic import Topic, floors_of_rings
from sse_middleware.hub.wanted import FindHub, OpenHub, Wanted
from sse_middleware.hub.worker import nothing


class Subscription(Joining):
    """A subscriber of a hub. `Hub.subscribe` makes it.

    Open it. Then take what there is, and again whenever it wakes you. All of it happens in the
    event loop of the hub.

    Args:
        hub: returns what it needs of the hub. Raises `HubError` unless the hub is open.
        wanted: what the subscriber wants.
        clock: in seconds.
    """

    __slots__ = (
        "_entered",
        "_flight",
        "_followed",
        "_in_step",
        "_page",
        "_primed",
        "_untold",
        "owned",
        "taken",
    )

    def __init__(self, hub: FindHub, wanted: Wanted, clock: Callable[[], float]) -> None:
        super().__init__(hub, wanted, clock)
        self.owned = False
        """Whether a stream has it. Another one can't have it too."""
        self.taken = 0
        """How many events the last `take` has returned."""
        self._page: Page | None = None
        self._flight: Flight | None = None
        self._in_step = False  # whether the rings have what comes next
        self._followed: Topic | None = None  # its only topic, while in step
        self._untold = b""
        self._entered = self._primed = False

    @property
    def events(self) -> int:
        """How many events have been taken, gaps included."""
        return self._cursor.events

    @property
    def cursor(self) -> Cursor:
        """Where it is, and what it tells. Only the subscription moves it."""
        return self._cursor

    def resume(self, last_event_id: str) -> None:
        """Begin after the last event that the client has had. Call it before `open`.

        Args:
            last_event_id: as the client sent it, or ``""``. If it is no id of a hub, a gap is told.
        """
        if last_event_id:
            self._cursor.at = parse_position(last_event_id) or NOWHERE

    def close(self) -> None:
        """Want nothing more. It may be called more than once, and before `open`."""
        self.wake = nothing
        self.ended = True
        self.drop_page()
        if self._flight is not None:
            self._flight.readers.pop(self, None)
            self._flight = None
        if self._hub is not None:
            self._worker.remove(self._topics, self)
            if self._wanted.subject is not None:
                self._hub.guard.forget(self)

    def end(self) -> None:
        """Say that nothing more will come."""
        self.stop()
        self.wake()

    def stop(self) -> None:
        """Take nothing more."""
        self.ended, self._followed = True, None

    @property
    def has_more(self) -> bool:
        """Whether the rest of what was there can be taken, and not only something new."""
        return self._cursor.has_more

    def take(self, limit: int) -> bytes:
        """Return events that may be delivered now, as one block, and move the position.

        If there may be more, the subscriber is woken again, so one call for each wake is enough. If
        there are none, and nothing has moved the client's position yet, it returns what does.

        Args:
            limit: about how many bytes to return. One event may have more.
        """
        cursor, topic = self._cursor, self._followed
        latest = None if topic is None else topic.latest
        if latest is None or latest.follows is not cursor.at or latest.size > limit:
            return self._look(limit)
        cursor.before, cursor.at, cursor.has_more = cursor.at, latest.position, False
        self.taken = events = latest.events
        cursor.events += events
        return latest.block

    def _look(self, limit: int) -> bytes:
        """Take what is new to it, which others may have taken already."""
        cursor, taken = self._cursor, b""
        at, events = cursor.at, cursor.events
        if not self.ended:
            latest = self._in_step and cursor.latest(self._topics, limit)
            taken = latest or self._take(limit)
            self._followed = self._topics[0] if self._in_step and len(self._topics) == 1 else None
        if taken:
            cursor.before = at
        self.taken = cursor.events - events
        return taken

    def _take(self, limit: int) -> bytes:
        cursor = self._cursor
        cursor.has_more = False
        taken = self._take_next(limit)
        if taken:
            self._primed = True
            cursor.has_more |= self._page is not None or cursor.clock < self._reach()
        elif not self._primed:
            taken = self.position_frame()
        if cursor.has_more:
            self._worker.pump.wake((self,))
        return taken

    def _take_next(self, limit: int) -> bytes:
        taken, self._untold = self._untold, b""
        if self._page is not None:
            taken += self._take_from_page(self._page, limit)
        if taken or self._page is not None:
            return taken
        taken = self._take_from_rings(limit)
        self._in_step = self._wanted.where is None and self._flight is None
        return taken

    def position_frame(self) -> bytes:
        """Return a block that only moves the client's position, ``b""`` if none can be claimed."""
        cursor, worker = self._cursor, self._worker
        if self.ended or self._untold or not (cursor.sends_positions and self._is_synced()):
            return b""
        if cursor.mark != worker.mark or cursor.clock > worker.top:
            return b""  # it is not known whether the position is one of the store
        if self._page is None and not self._behind():
            self._pass_silence()
        self._primed = True
        return worker.ids.block(self._claimed())

    def _is_synced(self) -> bool:
        """Whether the store is there, and everything that is published comes."""
        return all(topic.synced for topic in self._topics)

    def _claimed(self) -> int:
        return self._cursor.clock  # everything up to it was taken

    def _pass_silence(self) -> None:
        """Move the position to where nothing was published in between."""
        clock = self._cursor.clock
        if not any(topic.ring.last > clock for topic in self._topics):
            self._cursor.move(self._reach())

    def _reach(self) -> int:
        """Return up to which clock events may be taken from the rings."""
        return lowest(self._worker.complete(self._topics))

    def _begins(self) -> bool:
        """Find the position. Returns false if something must be read before."""
        state = self._worker.state
        if state is None or not self._is_synced():
            return False
        if self._cursor.at is not None:
            if self._cursor.mark == state.mark:
                self._cursor.begin(self._cursor.clock, state)
            return True
        if not self._wanted.with_kept:
            self._cursor.begin(self._worker.top, state)
            self._cursor.at = self._worker.shared(self._cursor.at)
            return True
        if self._page is not None:
            self._untold = self._enter(self._page)
        elif self._follow_store() is None:
            self._ask(0)
        return self._cursor.at is not None

    def _take_from_rings(self, limit: int) -> bytes:
        gap = self._follow_store()
        if gap is None:
            same = self._cursor.mark == self._worker.mark
            self._ask(self._cursor.clock if same else 0)
            return b""
        behind = self._behind()
        if behind:
            if not all(topic.whole for topic in behind):
                self._catch_up(behind)
                return gap
            gap += self._cursor.expire(floors_of_rings(behind))
        return gap + self._cursor.from_rings(self._topics, self._reach(), limit)

    def _follow_store(self) -> bytes | None:
        """Bring the position under the store's present incarnation, as far as that is known.

        Returns the gap of that, or ``b""``. ``None`` if the store must be read.
        """
        cursor, worker = self._cursor, self._worker
        at, state = cursor.at, worker.state
        if at is not None and at.mark == worker.ids.mark:
            return b"" if at.clock <= worker.top else None
        if state is None or not self._rings_tell(state):
            return None
        return cursor.enter(state, floors_of_rings(self._topics))

    def _rings_tell(self, state: State) -> bool:
        """Whether the store need not be read to know where a position leads.

        Only the store knows where what is kept begins: rings have more, for those who come back.
        """
        at = self._cursor.at
        return at is not None and bool(later_starts(at.mark, state))

    def _behind(self) -> list[Topic]:
        """Return the topics whose rings don't go back to the position."""
        clock = self._cursor.clock
        behind = [topic for topic in self._topics if topic.ring.floor > clock]
        return [one for one in behind if self._cursor.is_behind(one.name, one.ring.floor)]

    def _catch_up(self, behind: Sequence[Topic]) -> None:
        """Have the rings filled, or read a page if that doesn't help."""
        to_fill = [topic for topic in behind if not (topic.filled or topic.whole)]
        for topic in to_fill:
            self._worker.fill(topic)
        if not to_fill:
            self._ask(self._cursor.clock)

    def _ask(self, after: int) -> None:
        """Ask for a page, unless one is on its way."""
        if self._flight is None and self._hub is not None:
            self._flight = self._hub.pages.request(self._wanted.names, after, self)

    def page_came(self, page: Page) -> None:
        """Take the page that was asked for."""
        self._cursor.has_more = True
        self._flight, self._page, self._entered = None, page, False

    def drop_page(self) -> None:
        """Have no page. What is left to take is read again."""
        page, self._page = self._page, None
        if page is not None and self._hub is not None:
            self._hub.pages.forget_rest(page, self)

    def _take_from_page(self, page: Page, limit: int) -> bytes:
        gap = b"" if self._entered else self._enter(page)
        if self._page is None:
            return gap
        taken = self._cursor.from_page(page, limit)
        if self._cursor.clock >= page.reach:
            self.drop_page()
        else:
            cast("OpenHub", self._hub).pages.keep_rest(page, self)
        return gap + taken

    def _enter(self, page: Page) -> bytes:
        """Begin with a page, unless it doesn't fit. Returns the gaps that it shows."""
        self._entered = True
        cursor, state = self._cursor, page.state
        if state.mark != self._worker.mark or cursor.has_passed(page.after, state):
            self._page = None  # it came too late
            return b""
        gap = cursor.enter(state, page.floors)
        if cursor.clock < page.after:
            self._page = None
            return gap
        return gap + self._expired(page)

    def _expired(self, page: Page) -> bytes:
        return self._cursor.expire(page.floors)
