"""`SQLiteStore`: keeps events in a file that several processes of one machine share.

Rules of this file:
- A thread has the file. This is what the event loop sees of it.
- Whichever process has published an event, all listeners hear it in the order of the clock.
"""

import time
from collections.abc import Callable, Sequence

from anyio import move_on_after

from sse_middleware.hub.abc import Appended, Listener, OnEvent, OnTick, Snapshot
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend
from sse_middleware.hub.sqlite import runs
from sse_middleware.hub.sqlite.jobs import PATIENCE, Delivery
from sse_middleware.hub.sqlite.session import Session
from sse_middleware.hub.sqlite.tables import Tables
from sse_middleware.hub.sqlite.thread import StoreThread


def wall_clock() -> int:
    """Return the time, in microseconds."""
    return time.time_ns() // 1000


class SQLiteStore:
    """Keeps events in a file. Make it in the event loop that uses it.

    Args:
        path: of the file.
        durable: whether nothing that was published may be lost if the machine loses power. Then
            each transaction waits for the disk.
        now: returns the time, in microseconds.
    """

    def __init__(
        self, path: str, *, durable: bool = False, now: Callable[[], int] = wall_clock
    ) -> None:
        self._heard = dict[str, tuple["_SQLiteListener", ...]]()
        self._session = Session(path, durable=durable, heard=self._heard, now=now)
        self._thread = StoreThread(self._session, self._heard, self._deliver)
        self._thread.start()

    async def append(
        self,
        topic: str,
        events: Sequence[bytes],
        keep: Keep,
        *,
        once: str | None = None,
        run: RunAppend | None = None,
    ) -> Appended:
        """Number events, keep them and announce them. See `Store`."""

        def work(tables: Tables, now: int) -> Appended:
            if run is None:
                return tables.append(topic, events, keep, once, now)
            return runs.append_to_run(tables, topic, events, keep, run, now)

        appended: Appended = await self._thread.submit(work, writes=True).wait()
        return appended

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        """Return what is kept. See `Store`."""
        snapshot: Snapshot = await self._thread.submit(
            lambda tables, now: tables.read(topics, after, limit, now), writes=False
        ).wait()
        return snapshot

    def listen(
        self, on_event: OnEvent, on_tick: OnTick, on_broken: Callable[[], object]
    ) -> Listener:
        """Return a listener. See `Store`."""
        return _SQLiteListener(self, on_event, on_tick, on_broken)

    async def begin_run(self, topic: str, new: NewRun) -> Run:
        """Begin a run, unless there is one. See `Store`."""
        run: Run = await self._thread.submit(
            lambda tables, now: runs.begin_run(tables, topic, new, now), writes=True
        ).wait()
        return run

    async def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        """Return a run. Nothing is written unless it is watched. See `Store`."""
        find = runs.watch_run if watched else runs.find_run
        run: Run | None = await self._thread.submit(
            lambda tables, now: find(tables, topic, now), writes=watched
        ).wait()
        return run

    async def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        """Make a lease last. See `Store`."""
        run: Run | None = await self._thread.submit(
            lambda tables, now: runs.renew_run(tables, topic, token, keep, seconds, now),
            writes=True,
        ).wait()
        return run

    async def stop_run(self, topic: str) -> Run | None:
        """Note that a run is to stop. See `Store`."""
        run: Run | None = await self._thread.submit(
            lambda tables, now: runs.stop_run(tables, topic, now), writes=True
        ).wait()
        return run

    async def aclose(self) -> None:
        """Let go of the file, once all that was asked for is done. See `Store`."""
        with move_on_after(PATIENCE, shield=True):
            await self._thread.stop()

    async def add(self, listener: "_SQLiteListener", topics: Sequence[str]) -> None:
        """Let a listener hear topics."""
        for topic in topics:
            present = self._heard.get(topic, ())
            if listener not in present:
                self._heard[topic] = (*present, listener)
        listens = await self._thread.submit(self._session.listens, writes=False).wait()
        if not listens:
            await self._thread.submit(self._session.listen, writes=True).wait()

    def remove(self, listener: "_SQLiteListener", topics: Sequence[str]) -> None:
        """Let a listener hear topics no more."""
        for topic in topics:
            rest = tuple(one for one in self._heard.get(topic, ()) if one is not listener)
            if rest:
                self._heard[topic] = rest
            else:
                self._heard.pop(topic, None)

    async def tick(self) -> tuple[int, int]:
        """Return the clock up to which everything was heard, and the store's mark."""
        tick: tuple[int, int] = await self._thread.submit(self._session.tick, writes=False).wait()
        return tick

    def _deliver(self, delivery: Delivery) -> None:
        """Tell the listeners, then those who wait."""
        for topic, entry, mark in delivery.news:
            for listener in self._heard.get(topic, ()):
                listener.on_event(topic, entry, mark)
        if delivery.broken:
            listeners = {one: None for group in self._heard.values() for one in group}
            for listener in listeners:
                listener.on_broken()
        for job in delivery.jobs:
            job.finish()


class _SQLiteListener:
    """Hears topics of a `SQLiteStore`."""

    def __init__(
        self,
        store: SQLiteStore,
        on_event: OnEvent,
        on_tick: OnTick,
        on_broken: Callable[[], object],
    ) -> None:
        self.on_event = on_event
        self.on_broken = on_broken
        self._on_tick = on_tick
        self._store = store
        self._topics = set[str]()
        self._closed = False

    async def add(self, topics: Sequence[str]) -> None:
        self._topics.update(topics)
        await self._store.add(self, topics)

    def remove(self, topics: Sequence[str]) -> None:
        self._topics.difference_update(topics)
        self._store.remove(self, topics)

    async def tick(self) -> None:
        clock, mark = await self._store.tick()
        if not self._closed:
            self._on_tick(clock, mark)

    def close(self) -> None:
        self._closed = True
        self.remove(tuple(self._topics))
