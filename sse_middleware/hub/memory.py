"""`MemoryStore`: keeps events in this process.

Rules of this file:
- Time is the event loop's. It can't step.
- The store begins in its event loop. So processes that are forked before don't share its mark.
- A topic that keeps nothing costs no more than its last clock, for a day.
- What has expired is removed when something is appended, a few topics at a time. A read doesn't
  see what has expired.
- An append calls the listeners before it returns.
"""

import os
import time
from bisect import bisect_right
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from itertools import islice
from operator import attrgetter

from sse_middleware.event_loop.loop import clock
from sse_middleware.hub.abc import (
    DAY,
    MARK_BITS,
    ONCE_SECONDS,
    Appended,
    Entry,
    Incarnation,
    Kept,
    Listener,
    OnEvent,
    OnTick,
    Snapshot,
    State,
)
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend, StoredRun, fenced, start_marker

_SECOND = 1_000_000
"""Microseconds."""

_PRUNED_AT_ONCE = 2
"""Topics that an append removes at most, of each kind. It adds one, so they can't pile up."""

_clock_of = attrgetter("clock")


class _Topic:
    """What is kept of a topic."""

    __slots__ = ("entries", "expires", "queue", "run")

    def __init__(self, queue: OrderedDict[str, "_Topic"]) -> None:
        self.entries = deque[Entry]()
        self.expires = 0
        self.queue = queue
        self.run: StoredRun | None = None

    @property
    def last(self) -> int:
        return self.entries[-1].clock


class MemoryStore:
    """Keeps events in memory. Make it in the event loop that uses it."""

    def __init__(self) -> None:
        self._seconds = clock()
        began = time.time_ns() // 1000
        self._began = began - int(self._seconds() * _SECOND)
        self._clock = began
        mark = int.from_bytes(os.urandom(3)) >> 24 - MARK_BITS
        self._incarnations: tuple[Incarnation, ...] = (Incarnation(mark, began),)
        self._topics = dict[str, _Topic]()
        self._queues = dict[float, OrderedDict[str, _Topic]]()
        """By the seconds that they are kept: topics, the one that expires first in front."""
        self._last = OrderedDict[str, int]()
        """The last clock of topics that keep nothing."""
        self._once = OrderedDict[tuple[str, str], tuple[int, list[int]]]()
        self._listeners = dict[str, tuple["_MemoryListener", ...]]()

    def _now(self) -> int:
        return int(self._seconds() * _SECOND) + self._began

    async def append(
        self,
        topic: str,
        events: Sequence[bytes],
        keep: Keep,
        *,
        once: str | None = None,
        run: RunAppend | None = None,
    ) -> Appended:
        """Number events, keep them, and call the listeners. See `Store`."""
        now = self._now()
        self._prune(now)
        if not events:
            return self._appended([])
        if once is not None and (topic, once) in self._once:
            return self._appended(self._once[topic, once][1])
        if run is None:
            return self._appended(self._append(topic, events, keep, once, now))
        stored = self._run_of(topic, now)
        if stored is None:
            raise fenced(None, run, now)
        if not stored.takes(run, now):
            return self._appended([])
        clocks = self._append(topic, events, keep, None, now)
        stored.note(run, clocks[-1], now)
        return self._appended(clocks)

    def _appended(self, clocks: list[int]) -> Appended:
        return Appended(clocks, self._incarnations[-1].mark)

    def _append(
        self, topic: str, events: Sequence[bytes], keep: Keep, once: str | None, now: int
    ) -> list[int]:
        entries = self._numbered(topic, events, now)
        self._keep(topic, entries, keep, now)
        clocks = [entry.clock for entry in entries]
        if once is not None:
            self._once[topic, once] = (now + ONCE_SECONDS * _SECOND, clocks)
        for listener in self._listeners.get(topic, ()):
            for entry in entries:
                listener.on_event(topic, entry, self._incarnations[-1].mark)
        return clocks

    def _numbered(self, topic: str, events: Sequence[bytes], now: int) -> list[Entry]:
        kept = self._live(topic, now)
        before = self._last.get(topic, 0) if kept is None else kept.last
        entries = []
        for block in events:
            self._clock = last = max(now, self._clock + 1)
            entries.append(Entry(last, before, block))
            before = last
        return entries

    def _keep(self, topic: str, entries: list[Entry], keep: Keep, now: int) -> None:
        if not keep.count:
            self._drop(topic)
            self._last[topic] = self._clock
            self._last.move_to_end(topic)
            return
        kept = self._topics.get(topic)
        if kept is None:
            kept = self._topics[topic] = _Topic(self._queue(keep))
            self._last.pop(topic, None)
        kept.entries.extend(entries)
        while len(kept.entries) > keep.count:
            kept.entries.popleft()
        self._expire_later(topic, kept, keep, now)

    def _expire_later(self, topic: str, kept: _Topic, keep: Keep, now: int) -> None:
        queue = self._queue(keep)
        kept.queue.pop(topic, None)
        kept.queue = queue
        kept.expires = now + int(keep.seconds * _SECOND)
        queue[topic] = kept

    def _queue(self, keep: Keep) -> OrderedDict[str, _Topic]:
        queue = self._queues.get(keep.seconds)
        if queue is None:
            queue = self._queues[keep.seconds] = OrderedDict()
        return queue

    def _live(self, topic: str, now: int) -> _Topic | None:
        """Return what is kept of a topic, unless that has expired."""
        kept = self._topics.get(topic)
        if kept is None or kept.expires > now:
            return kept
        self._drop(topic)
        return None

    def _drop(self, topic: str) -> None:
        """Keep no event of a topic, only its last clock."""
        kept = self._topics.pop(topic, None)
        if kept is not None:
            del kept.queue[topic]
            self._last[topic] = kept.last

    def _prune(self, now: int) -> None:
        for queue in self._queues.values():
            for _ in range(_PRUNED_AT_ONCE):
                topic = next(iter(queue), None)
                if topic is None or queue[topic].expires > now:
                    break
                self._drop(topic)
        for _ in range(_PRUNED_AT_ONCE):
            topic = next(iter(self._last), None)
            if topic is None or self._last[topic] > now - DAY:
                break
            del self._last[topic]
        while self._once and next(iter(self._once.values()))[0] <= now:
            self._once.popitem(last=False)

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        """Return what is kept. See `Store`."""
        now = self._now()
        found = {topic: self._kept(topic, after, limit, now) for topic in topics}
        return Snapshot(State(self._clock, now, self._incarnations), found)

    def _kept(self, topic: str, after: int, limit: int, now: int) -> Kept:
        kept = self._live(topic, now)
        if kept is None:
            return Kept(None, (), more=False, last=self._last.get(topic))
        entries = kept.entries
        begin = bisect_right(entries, after, key=_clock_of)
        end = min(begin + limit, len(entries))
        taken = tuple(islice(entries, begin, end))
        first = Entry(entries[0].clock, entries[0].before, b"")
        return Kept(first, taken, end < len(entries), kept.last)

    def listen(
        self,
        on_event: OnEvent,
        on_tick: OnTick,
        on_broken: Callable[[], object],  # noqa: ARG002 - memory is always there
    ) -> Listener:
        """Return a listener. See `Store`."""
        return _MemoryListener(self, on_event, on_tick)

    async def begin_run(self, topic: str, new: NewRun) -> Run:
        """Begin a run, unless there is one. See `Store`."""
        now = self._now()
        present = self._run_of(topic, now)
        if present is not None and present.stays(new):
            return present.at(now)
        self._drop(topic)
        (start,) = self._append(topic, (start_marker(new.token),), new.keep, None, now)
        run = StoredRun.begun(new, start, now)
        self._topics[topic].run = run
        return run.at(now)

    async def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        """Return a run. See `Store`."""
        now = self._now()
        run = self._run_of(topic, now)
        if run is not None and watched:
            run.watched = now
        return None if run is None else run.at(now)

    async def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        """Make a lease last. See `Store`."""
        now = self._now()
        run = self._run_of(topic, now)
        if run is not None and run.renew(token, seconds, now):
            self._expire_later(topic, self._topics[topic], keep, now)
        return None if run is None else run.at(now)

    async def stop_run(self, topic: str) -> Run | None:
        """Note that a run is to stop. See `Store`."""
        now = self._now()
        run = self._run_of(topic, now)
        if run is not None:
            run.stop()
        return None if run is None else run.at(now)

    def _run_of(self, topic: str, now: int) -> StoredRun | None:
        kept = self._live(topic, now)
        return None if kept is None else kept.run

    async def aclose(self) -> None:
        """Do nothing: what is kept goes with the process. See `Store`."""

    def tick(self, on_tick: OnTick) -> None:
        """Tell the clock."""
        on_tick(self._clock, self._incarnations[-1].mark)

    def add(self, listener: "_MemoryListener", topic: str) -> None:
        """Let a listener hear a topic."""
        present = self._listeners.get(topic, ())
        if listener not in present:
            self._listeners[topic] = (*present, listener)

    def remove(self, listener: "_MemoryListener", topic: str) -> None:
        """Let a listener hear a topic no more."""
        rest = tuple(one for one in self._listeners.get(topic, ()) if one is not listener)
        if rest:
            self._listeners[topic] = rest
        else:
            self._listeners.pop(topic, None)


class _MemoryListener:
    """Hears topics of a `MemoryStore`."""

    def __init__(self, store: MemoryStore, on_event: OnEvent, on_tick: OnTick) -> None:
        self.on_event = on_event
        self._on_tick = on_tick
        self._store = store
        self._topics = set[str]()

    async def add(self, topics: Sequence[str]) -> None:
        self._topics.update(topics)
        for topic in topics:
            self._store.add(self, topic)

    def remove(self, topics: Sequence[str]) -> None:
        self._topics.difference_update(topics)
        for topic in topics:
            self._store.remove(self, topic)

    async def tick(self) -> None:
        self._store.tick(self._on_tick)

    def close(self) -> None:
        self.remove(tuple(self._topics))
