"""A hub's side of a store, and what lies between it and the server."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sse_middleware.hub.abc import Appended, OnEvent, OnTick, Snapshot
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend
from tests.hub.simulation.server import Server, Surroundings

AnswerT = TypeVar("AnswerT")

TOPICS = ("a", "b", "c")
KEEP = Keep(count=6, seconds=100)


class Link:
    """What lies between a hub and its server."""

    def __init__(
        self, world: Surroundings, server: Server, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.world = world
        self.server = server
        self.read_from: dict[int, Server] = {}
        """Where it led when something was last read of each incarnation, by its mark."""
        self.loop = loop
        self.delay = 0.0
        self.fails = False
        self.stalled = False
        self.drops = 0
        """How many of the next events are lost."""
        self.reads = 0
        self.listener: SimulatedListener | None = None

    async def call(self, work: Callable[[Server], AnswerT]) -> AnswerT:
        """Have the server do something, and return its answer."""
        await self._trip()
        answer = work(self.server)
        await self._trip()
        return answer

    async def publish(self, work: Callable[[Server], AnswerT]) -> AnswerT:
        """Have the server append something, which takes no time."""
        if self.fails:
            raise ConnectionError("the link is down")
        return work(self.server)

    async def _trip(self) -> None:
        if self.delay:
            await asyncio.sleep(self.delay * self.world.random.random())
        if self.fails:
            raise ConnectionError("the link is down")

    def loses(self, listener: "SimulatedListener", message: Any) -> bool:
        """Whether a message to a listener is lost."""
        lost = bool(message[0] == "event" and self.drops)
        self.drops -= lost
        return lost

    def bring(self, deliver: Callable[[], object]) -> None:
        """Have a message of a listener delivered a little later."""
        seconds = self.delay * self.world.random.random()
        self.loop.call_later(seconds, deliver)

    def call_back(self, function: Callable[[], object]) -> None:
        """Call a function in the event loop of the hub."""
        self.loop.call_soon(function)


class SimulatedStore:
    """A hub's side of a link."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def append(
        self,
        topic: str,
        events: Sequence[bytes],
        keep: Keep,
        *,
        once: str | None = None,
        run: RunAppend | None = None,
    ) -> Appended:
        def append(server: Server) -> Appended:
            clocks = server.append(topic, events, keep, run)
            return Appended(clocks, server.incarnations[-1].mark)

        return await self.link.publish(append)

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        def read(server: Server) -> Snapshot:
            self.link.reads += 1
            self.link.read_from[server.incarnations[-1].mark] = server
            return server.read(topics, after, limit)

        return await self.link.call(read)

    async def begin_run(self, topic: str, new: NewRun) -> Run:
        return await self.link.call(lambda server: server.begin_run(topic, new))

    async def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        return await self.link.call(lambda server: server.find_run(topic, watched=watched))

    async def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        return await self.link.call(lambda server: server.renew_run(topic, token, keep, seconds))

    async def stop_run(self, topic: str) -> Run | None:
        return await self.link.call(lambda server: server.stop_run(topic))

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
        await self.link.call(lambda _: self.topics.update(topics))

    def remove(self, topics: Sequence[str]) -> None:
        self.topics.difference_update(topics)

    async def tick(self) -> None:
        await self.link.call(self._tick)

    def _tick(self, server: Server) -> None:
        if server is self.server:  # where appends go
            self.send(("tick", server.clock, server.incarnations[-1].mark))

    def send(self, message: Any) -> None:
        if not self.link.loses(self, message):
            self.waiting.append(message)
            self.link.bring(self._deliver)

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
            self.link.call_back(self.on_broken)

    def close(self) -> None:
        self.open = False
        self.waiting.clear()
        if self in self.server.listeners:
            self.server.listeners.remove(self)


def number_of(block: bytes) -> int:
    """Return the number that is an event's payload."""
    number = json.loads(block.partition(b"data: ")[2])[1]
    assert isinstance(number, int)
    return number
