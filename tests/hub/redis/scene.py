"""Two workers on one Redis, hundreds of clients, and something that goes wrong.

Each worker is a uvicorn process. The clients are a process of their own, on real sockets. They are
killed and come back at random, to any worker. Events are published through the workers. While that
goes on, one worker is killed and replaced, and a fault strikes.

Rules of this file:
- The fault begins when a quarter of the events is published. The worker is killed at a half.
- After it, an event is published to each topic that everybody must see.
- What Redis had acknowledged and lost is no violation, if a gap tells it. It is counted.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from anyio.to_thread import run_sync

from tests.e2e.hub_crowd import Crowd, Report, watching
from tests.e2e.hub_publishers import Publishers, wait_until
from tests.e2e.hub_record import Ledger
from tests.e2e.workers import SHARED_APP, Worker

from .proxy import Proxy
from .server import RedisServer

TOPICS = [f"topic:{number}" for number in range(20)]

SEED = 20

LONGEST = 580.0
"""Seconds of a scene, without its beginning, on a machine that others use too. The full size takes
more than a minute of the processor's time."""

StartServer = Callable[..., RedisServer]


@dataclass(frozen=True)
class Size:
    """How large a scene is."""

    clients: int
    """Of each worker."""
    events: int
    rate: float
    """Events a second."""
    kept: int
    """Events of a topic."""
    pause: float
    """Seconds between two blows of a fault that strikes again and again."""


FULL = Size(clients=500, events=20_000, rate=700, kept=100, pause=1)
SMALL = Size(clients=30, events=1000, rate=400, kept=30, pause=0.2)


@dataclass
class Scene:
    """What a fault sees, and can do harm to."""

    size: Size
    redis: list[RedisServer]
    """The server that is written to at first, then others."""
    proxies: list[Proxy]
    """Of each worker, if the scene has any."""
    workers: list[Worker]
    publishers: Publishers
    survivor: RedisServer = field(init=False)
    """The server that is written to in the end."""

    def __post_init__(self) -> None:
        self.survivor = self.redis[0]

    async def published(self, share: float) -> None:
        """Wait until this share of the events is published."""
        await self.publishers.until(int(share * self.size.events))

    @property
    def share(self) -> float:
        """The share of the events that is published."""
        return self.publishers.done / self.size.events

    async def refused(self) -> None:
        """Wait until a hub has found out that Redis is away."""
        publishers, before = self.publishers, self.publishers.failed
        await wait_until(lambda: publishers.failed > before)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong.

    Args:
        strike: does harm.
        begin: starts Redis, and returns the servers.
        url: where the workers look for it.
        proxied: whether each worker has a proxy.
        begins_anew: whether Redis begins a new life, in which it may have lost what it had
            acknowledged. Then a publish with an unknown outcome can't be repeated.
        loses: whether it has lost something in the end, ``None`` if it depends.
        durable: whether the hubs believe that it can't.
        workers: how many processes one server has.
    """

    name: str
    strike: Callable[[Scene], Awaitable[None]]
    begin: Callable[[StartServer], Sequence[RedisServer]]
    url: Callable[[Sequence[RedisServer]], str] = lambda servers: servers[0].url
    proxied: bool = False
    begins_anew: bool = False
    loses: bool | None = False
    durable: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of a scene."""

    report: Report
    publishers: Publishers
    lost: Sequence[int]
    """The numbers of events that Redis had acknowledged and has lost."""
    seconds: float

    @property
    def told(self) -> str:
        """The figures, in words."""
        report, publishers = self.report, self.publishers
        unread = set(self.lost).intersection(report.unread)
        return (
            f"{len(publishers.published)} events, {publishers.refused} refusals, "
            f"{publishers.repeated} repeated, {publishers.unknown} with an unknown outcome; "
            f"{report.told}; acknowledged and lost: {len(self.lost)}, of which {len(unread)} "
            f"reached nobody; {self.seconds:.1f} s"
        )


async def play(fault: Fault, size: Size, start: StartServer, directory: Path) -> Outcome:
    """Let a fault strike, and check what each client has read."""
    redis = list(await run_sync(fault.begin, start))
    async with AsyncExitStack() as stack:
        proxies = [Proxy(redis[0].port) for _ in range(2 if fault.proxied else 0)]
        for proxy in proxies:
            await stack.enter_async_context(proxy.running())
        urls = [proxy.url for proxy in proxies] or [fault.url(redis)] * (2 // fault.workers)
        workers = [
            _worker(fault, size, url, directory / f"worker{number}")
            for number, url in enumerate(urls)
        ]
        await stack.enter_async_context(_running(workers))
        ports = [worker.port for worker in workers]
        publishers = Publishers(
            ports, TOPICS, size.rate, Random(SEED), repeats=not fault.begins_anew
        )
        scene = Scene(size, redis, proxies, workers, publishers)
        async with asyncio.timeout(LONGEST):
            return await _play(scene, fault)


def _worker(fault: Fault, size: Size, url: str, output: Path) -> Worker:
    durable = "yes" if fault.durable else "no"
    environment = {"HUB_URL": url, "HUB_KEPT": str(size.kept), "HUB_DURABLE": durable}
    return Worker(SHARED_APP, environment, output, fault.workers)


@asynccontextmanager
async def _running(workers: Sequence[Worker]) -> AsyncIterator[None]:
    try:
        async with asyncio.TaskGroup() as tasks:
            for worker in workers:
                tasks.create_task(run_sync(worker.start))
        yield
        for worker in workers:
            await run_sync(worker.stop)
    finally:
        for worker in workers:
            worker.kill()


async def _play(scene: Scene, fault: Fault) -> Outcome:
    publishers, size, begun = scene.publishers, scene.size, monotonic()
    clients = size.clients * fault.workers
    crowd = Crowd([worker.port for worker in scene.workers], clients, TOPICS, SEED)
    async with watching(crowd) as process:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishers.run(size.events))
            await scene.published(0.25)
            tasks.create_task(_replace_worker(scene))
            await fault.strike(scene)
        await publishers.publish_last()
        lives = await run_sync(lives_of, scene.survivor)
        ledger = Ledger(publishers.published, size.kept, lives)
        report = await process.finish(ledger)
    return Outcome(report, publishers, ledger.lost(), monotonic() - begun)


async def _replace_worker(scene: Scene) -> None:
    """Kill a worker, and start another one in its place. A server of several does that itself."""
    await scene.published(0.5)
    publishers, worker = scene.publishers, scene.workers[0]
    if len(scene.workers) > 1:
        await run_sync(worker.kill)
        await run_sync(worker.start)
        return
    await publishers.know(2)
    os.kill(next(iter(publishers.workers)), signal.SIGKILL)
    await publishers.know(3)


def lives_of(server: RedisServer) -> list[tuple[int, int]]:
    """Return the lives that a server knows: their marks, and the clocks at which they began."""
    lives = str(server.ask("HGET", "{sse}:clock", "i")).strip(";").split(";")
    return [(int(mark), int(start)) for mark, start in (life.split(":") for life in lives)]
