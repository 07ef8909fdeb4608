"""What a publish costs in each store, and how fast each store's events are replayed (no server).

Rules of this file:
- One process publishes, with an event loop of uvloop, as a worker has. Nobody subscribes.
- One by one means that each publish is awaited before the next begins. Fifty at a time are fifty
  tasks that do so. A batch is one `append` of the store, which the hub itself calls for single
  events. Encoding an event is a part of all three.
- Each way is measured for the same time, not for the same number of events: the stores differ too
  much. The stores take turns.
- The CPU time is that of this process, with all its threads. Redis tells its own.
- A topic keeps what topics keep by default. A topic to be replayed keeps all.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.progress import say
from benchmarks.redis_server import APPEND_ONLY, RunningRedis, missing_redis, redis_server
from benchmarks.replay import new_item, replays_per_second
from benchmarks.workers_plan import (
    BATCH,
    BATCHED,
    MEMORY,
    REDIS,
    REDIS_AOF,
    SHARED,
    SQLITE,
    WorkersSize,
)
from sse_middleware import Hub, Keep
from sse_middleware.hub.abc import Store
from sse_middleware.hub.publishing import EventEncoder
from sse_middleware.hub.stores import store_maker

TOPIC = "published"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a hub keeps its events."""

    url: str | None
    redis: RunningRedis | None = None
    """The server, if it is in Redis."""


@dataclass(frozen=True, slots=True)
class Published:
    """What was measured of one way to publish, in one round."""

    rate: float
    """Events per second."""
    python: float
    """Seconds of this process's CPU time for an event."""
    redis: float | None
    """The same of Redis."""


Way = int | str
"""How many publishes wait at the same time, or `BATCHED`."""

Round = dict[str, dict[Way, Published]]
"""By store and way."""

Replays = dict[str, list[float]]
"""Events per second, by store."""


@contextmanager
def places() -> Iterator[dict[str, Place]]:
    """Have an empty place for each store's events. Without a redis-server, some are missing."""
    with ExitStack() as opened:
        directory = opened.enter_context(TemporaryDirectory())
        found = {MEMORY: Place(None), SQLITE: Place(f"sqlite:///{Path(directory) / 'events.db'}")}
        if missing_redis() is None:
            for name, options in ((REDIS, ()), (REDIS_AOF, APPEND_ONLY)):
                server = opened.enter_context(redis_server(*options))
                found[name] = Place(server.url, server)
        yield found


def measure_publishing(found: Mapping[str, Place], size: WorkersSize) -> list[Round]:
    """Return what publishing costs."""
    rounds: list[Round] = []
    ways: tuple[Way, ...] = (*size.concurrency, BATCHED)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for number in range(size.publish_rounds):
            rounds.append({name: {} for name in found})
            for way in ways:
                say(f"publishing: round {number + 1} of {size.publish_rounds}, {way}")
                for name, place in found.items():
                    published = runner.run(publish(place, way, size.publish_seconds))
                    rounds[-1][name][way] = published
    return rounds


async def publish(place: Place, way: Way, seconds: float) -> Published:
    """Publish for some seconds."""
    async with opened(place.url, Keep()) as (hub, store):
        await hub.publish(TOPIC, new_item())  # connects
        tasks = 1 if isinstance(way, str) else way
        begin, cpu, in_redis = time.perf_counter(), time.process_time(), redis_cpu(place)
        work = [
            append_until(store, begin + seconds)
            if way == BATCHED
            else publish_until(hub, begin + seconds)
            for _ in range(tasks)
        ]
        events = sum(await asyncio.gather(*work))
        elapsed, cpu = time.perf_counter() - begin, time.process_time() - cpu
        spent = redis_cpu(place) - in_redis
    return Published(events / elapsed, cpu / events, spent / events if place.redis else None)


def redis_cpu(place: Place) -> float:
    return place.redis.cpu_seconds() if place.redis else 0.0


@asynccontextmanager
async def opened(url: str | None, keep: Keep) -> AsyncIterator[tuple[Hub, Store]]:
    """Have an open hub, and its store."""
    store = store_maker(url, prefix=None, durable=False, client=None)()
    async with Hub(store=lambda: store, keep=keep) as hub:
        yield hub, store


async def publish_until(hub: Hub, end: float) -> int:
    """Publish one by one. Returns how many there were."""
    published = 0
    while time.perf_counter() < end:
        await hub.publish(TOPIC, new_item())
        published += 1
    return published


async def append_until(store: Store, end: float) -> int:
    """Append batches, one by one. Returns how many events there were."""
    encoder, keep, published = EventEncoder(), Keep(), 0
    while time.perf_counter() < end:
        batch = [encoder.encode(new_item(), None) for _ in range(BATCH)]
        await store.append(TOPIC, batch, keep)
        published += BATCH
    return published


def measure_replays(found: Mapping[str, Place], size: WorkersSize) -> Replays:
    """Return how fast kept events are replayed."""
    replays: Replays = {}
    for name in (MEMORY, *SHARED):
        if name in found:
            say(f"replay of kept events: {name}")
            url = found[name].url
            replays[name] = replays_per_second(size.replayed_events, size.replays, url)
    return replays
