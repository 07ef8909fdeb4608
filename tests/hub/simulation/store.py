"""A store of several servers, and what lies between them and the hubs."""

import asyncio
import copy
import json
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sse_middleware.hub.abc import (
    MARK_BITS,
    Entry,
    Incarnation,
    Kept,
    OnEvent,
    OnTick,
    Snapshot,
    State,
)
from sse_middleware.hub.keep import Keep

TOPICS = ("a", "b", "c")
KEEP = Keep(count=6, seconds=100)
BEGIN = 10**15
"""The store's clock when the world begins."""


class Surroundings(Protocol):
    """The world, as its store sees it."""

    loop: asyncio.AbstractEventLoop
    random: random.Random

    def note(self, server: "Server", topic: str, block: bytes) -> None:
        """Note what a server has acknowledged."""


class Server:
    """One server of a store, and what it would have after a crash."""

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self.skew = 0
        self.clock = BEGIN
        self.incarnations = [Incarnation(new_mark(world), BEGIN)]
        self.topics: dict[str, list[tuple[int, int, bytes, int]]] = {}
        self.last: dict[str, int] = {}
        self.listeners: list[SimulatedListener] = []
        self.saved: deque[Any] = deque(maxlen=8)

    def now(self) -> int:
        return BEGIN + int((self.world.loop.time() - 1000) * 1e6) + self.skew

    def save(self) -> None:
        self.saved.append(copy.deepcopy((self.clock, self.topics, self.last)))

    def lose(self, appends: int) -> None:
        """Forget the last appends."""
        if appends:
            appends = min(appends, len(self.saved))
            if appends:
                self.clock, self.topics, self.last = copy.deepcopy(self.saved[-appends])
        self.saved.clear()

    def begin_anew(self) -> None:
        self.incarnations.append(Incarnation(new_mark(self.world), self.clock))
        del self.incarnations[:-6]

    def expire(self) -> None:
        for topic, entries in list(self.topics.items()):
            if entries and entries[-1][3] <= self.now():
                del self.topics[topic]
        for topic, last in list(self.last.items()):
            if topic not in self.topics and last <= self.now() - 24 * 3600 * 10**6:
                del self.last[topic]

    def append(self, topic: str, blocks: Sequence[bytes], keep: Keep) -> list[int]:
        self.expire()
        self.save()
        clocks = []
        for block in blocks:
            self.clock = max(self.now(), self.clock + 1)
            before = self.last.get(topic, 0)
            self.last[topic] = self.clock
            expires = self.now() + int(keep.seconds * 1e6)
            self.topics.setdefault(topic, []).append((self.clock, before, block, expires))
            del self.topics[topic][: -keep.count]
            clocks.append(self.clock)
            self.world.note(self, topic, block)
            entry = Entry(self.clock, before, block)
            for listener in tuple(self.listeners):
                if topic in listener.topics:
                    listener.send(("event", topic, entry, self.incarnations[-1].mark))
        return clocks

    def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        self.expire()
        found = {}
        for topic in topics:
            entries = self.topics.get(topic, [])
            new = [one for one in entries if one[0] > after]
            first = Entry(entries[0][0], entries[0][1], b"") if entries else None
            taken = tuple(Entry(*one[:3]) for one in new[:limit])
            found[topic] = Kept(first, taken, len(new) > limit, self.last.get(topic))
        return Snapshot(State(self.clock, self.now(), tuple(self.incarnations)), found)


class Link:
    """What lies between a hub and its server."""

    def __init__(self, world: Surroundings, server: Server) -> None:
        self.world = world
        self.server = server
        self.delay = 0.0
        self.fails = False
        self.stalled = False
        self.drops = 0
        """How many of the next events are lost."""
        self.reads = 0
        self.listener: SimulatedListener | None = None

    async def trip(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay * self.world.random.random())
        if self.fails:
            raise ConnectionError("the link is down")


class SimulatedStore:
    """A hub's side of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def append(
        self, topic: str, events: Sequence[bytes], keep: Keep, *, once: str | None = None
    ) -> list[int]:
        if self.link.fails:
            raise ConnectionError("the link is down")
        return self.link.server.append(topic, events, KEEP)

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        await self.link.trip()
        self.link.reads += 1
        snapshot = self.link.server.read(topics, after, limit)
        await self.link.trip()
        return snapshot

    def listen(
        self, on_event: OnEvent, on_tick: OnTick, on_broken: Callable[[], object]
    ) -> "SimulatedListener":
        self.link.listener = SimulatedListener(self.link, on_event, on_tick, on_broken)
        return self.link.listener

    async def aclose(self) -> None:
        pass


class SimulatedListener:
    """A connection on which messages arrive in order, later."""

    def __init__(
        self, link: Link, on_event: OnEvent, on_tick: OnTick, on_broken: Callable[[], object]
    ) -> None:
        self.link, self.server = link, link.server
        self.on_event, self.on_tick, self.on_broken = on_event, on_tick, on_broken
        self.topics = set[str]()
        self.open = True
        self.waiting: deque[Any] = deque()
        self.server.listeners.append(self)

    async def add(self, topics: Sequence[str]) -> None:
        await self.link.trip()
        self.topics.update(topics)

    def remove(self, topics: Sequence[str]) -> None:
        self.topics.difference_update(topics)

    async def tick(self) -> None:
        await self.link.trip()
        server = self.link.server  # where appends go
        if server is self.server:
            self.send(("tick", server.clock, server.incarnations[-1].mark))

    def send(self, message: Any) -> None:
        if message[0] == "event" and self.link.drops:
            self.link.drops -= 1
        else:
            self.waiting.append(message)
            loop = self.link.world.loop
            loop.call_later(self.link.delay * self.link.world.random.random(), self._deliver)

    def _deliver(self) -> None:
        if self.open and self.waiting and not self.link.stalled:
            kind, *values = self.waiting.popleft()
            (self.on_event if kind == "event" else self.on_tick)(*values)

    def deliver_all(self) -> None:
        while self.open and self.waiting and not self.link.stalled:
            self._deliver()

    def cut(self) -> None:
        if self.open:
            self.open = False
            self.close()
            self.link.world.loop.call_soon(self.on_broken)

    def close(self) -> None:
        self.open = False
        self.waiting.clear()
        if self in self.server.listeners:
            self.server.listeners.remove(self)


def new_mark(world: Surroundings) -> int:
    return world.random.randrange(1 << MARK_BITS)


def number_of(block: bytes) -> int:
    """Return the number that is an event's payload."""
    number = json.loads(block.partition(b"data: ")[2])[1]
    assert isinstance(number, int)
    return number
