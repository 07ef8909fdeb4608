"""A worker process of an application that has runs, and the work that its runs do."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send

from sse_middleware.events import ServerSentEvent
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.run import RunState
from sse_middleware.middleware import SSEMiddleware
from sse_middleware.response import EventSourceResponse
from tests.hub.simulation.audit import RunServer
from tests.hub.simulation.client import Violation
from tests.hub.simulation.processes import Network, ProcessLoop, RemoteLink
from tests.hub.simulation.store import SimulatedStore

CLEANUP = 0.5
"""Seconds that a generator takes to clean up."""

RUNS: dict[str, dict[str, Any]] = {
    "brief": {"ttl": 6.0},
    "long": {"ttl": 600.0},
    "watched": {"ttl": 30.0, "stop_when_unwatched": 4.0},
}
"""The keys, and how their runs are made."""


class Factory(Protocol):
    """The world, as its processes see it."""

    random: Any
    network: Network
    server: RunServer

    def work(self, process: "RunProcess", key: str) -> "Work":
        """Note that a factory was called."""


class Work:
    """What a run does: what the world commands."""

    def __init__(self, process: "RunProcess", key: str, number: int) -> None:
        self.process = process
        self.key = key
        self.number = number
        self.ended: float | None = None
        """When."""
        self._commands = deque[tuple[str, float]]()
        self._came = asyncio.Event()

    def command(self, what: str, pause: float = 0) -> None:
        """Have it do something: ``"yield"``, ``"end"`` or ``"fail"``, after some seconds."""
        self._commands.append((what, pause))
        self.process.loop.post(self._came.set)

    def end_soon(self) -> None:
        """Have it end as soon as it has done what it is at."""
        self._commands.clear()
        self.command("end")

    async def items(self) -> AsyncIterator[list[int]]:
        count = 0
        try:
            while True:
                while not self._commands:
                    self._came.clear()
                    await self._came.wait()
                what, pause = self._commands.popleft()
                if pause:
                    await asyncio.sleep(pause)
                if what == "end":
                    return
                if what == "fail":
                    raise RuntimeError("this work fails")
                yield [self.number, count]
                count += 1
        finally:
            await asyncio.sleep(CLEANUP)
            self.ended = self.process.loop.time()


class RunProcess:
    """One worker."""

    def __init__(self, world: Factory) -> None:
        self.world = world
        self.loop = ProcessLoop(world.network.time)
        self.link = RemoteLink(world, world.network, world.server, self.loop)
        self.hub = Hub(store=partial(SimulatedStore, self.link), drain_grace_resumable=0.5)
        self.runs = True
        """Whether it has neither crashed nor ended."""
        self.paused = False
        self.is_open = False
        self._closing = asyncio.Event()
        self._app = SSEMiddleware(
            self._respond,
            hub=self.hub,
            drain=False,
            openapi=False,
            ping_interval=2,
            send_timeout=8,
            cleanup_timeout=2,
            error_event=lambda error: ServerSentEvent(event="failed", data=type(error).__name__),
        )
        world.network.loops.append(self.loop)
        self.task = self.loop.start(self._live())

    async def _live(self) -> None:
        async with self.hub:
            self.is_open = True
            await self._closing.wait()
            self.is_open = False
        self.runs = False

    def close(self) -> None:
        """End it as it should end."""
        self.loop.post(self._closing.set)

    def pause(self) -> None:
        """Have it stand still."""
        self.paused = True
        if self.loop in self.world.network.loops:
            self.world.network.loops.remove(self.loop)

    def go_on(self) -> None:
        """Have it go on after a pause."""
        if self.paused and self.runs:
            self.paused = False
            self.loop.next = 0.0
            self.world.network.loops.append(self.loop)

    def crash(self) -> None:
        """End without a word."""
        self.pause()
        self.runs = False
        self.link.die()

    @property
    def is_well(self) -> bool:
        """Whether nothing disturbs it."""
        link = self.link
        disturbed = link.fails or link.stalled or link.delay or link.lost_answers or link.silent
        return not disturbed and self.is_open and not self.paused

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, key = scope["path"].strip("/").split("/")
        if path == "attach":
            viewer = await self.hub.attach(key)
        else:
            comes_back = any(name == b"last-event-id" for name, _ in scope["headers"])

            def factory() -> AsyncIterator[list[int]]:
                if comes_back:
                    raise Violation("a client that came back has begun a run")
                return self.world.work(self, key).items()

            restart = path == "restart"
            viewer = await self.hub.resumable(key, factory, restart=restart, **RUNS[key])
        await EventSourceResponse(viewer)(scope, receive, send)

    async def stop(self, key: str) -> bool:
        return await self.hub.stop(key)

    async def state(self, key: str) -> RunState | None:
        return await self.hub.state(key)
