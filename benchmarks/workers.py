"""Hubs that several worker processes share: delays, and fan-out to clients of all workers (Linux).

Rules of this file:
- A worker is a server process with the contender `broadcast.hub`. Each figure has fresh processes.
- The first worker publishes. For delays there are two, and the client is at the other one. For the
  hub in memory there is one worker, which has the client as well.
- An event carries the moment at which it is published. The client notes the moment at which it has
  read it. Both read the monotonic clock, which all processes of a machine share on Linux.
- The same number of clients is spread over one worker or several. All of them, the client and Redis
  share the cores of one machine. So the CPU time of a delivery says how a hub grows, and the rate
  only as far as there are cores.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import uvloop

from benchmarks.broadcast import WARM_UP, Sent, publish, settle, subscribed
from benchmarks.listeners import get
from benchmarks.plan import BROADCASTERS, HUB
from benchmarks.processes import raise_open_files
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving_many
from benchmarks.stores import Place, redis_cpu
from benchmarks.workers_plan import MEMORY, SHARED, WorkersSize

CONTENDER = BROADCASTERS[HUB]


@dataclass(frozen=True, slots=True)
class FannedOut:
    """What was measured with some workers, in one round."""

    paced: Sent
    in_a_row: Sent
    redis: float | None
    """Seconds of Redis's CPU time for one of the events in a row."""
    deliveries: float
    """Per second, of events in a row."""
    deliveries_at_once: float
    """Per second, of events that are published at the same time."""
    published: float
    """Events per second, if every worker publishes and nobody subscribes."""


DelayRound = dict[str, dict[float, Sent]]
"""By store and rate."""

FanOutRound = dict[tuple[str, int], FannedOut]
"""By store and number of workers."""


@contextmanager
def workers(place: Place, number: int) -> Iterator[list[RunningServer]]:
    """Run workers that share a place."""
    environment = {} if place.url is None else {"HUB_URL": place.url}
    with serving_many(CONTENDER, number, environment) as servers:
        yield servers


def measure_delays(found: Mapping[str, Place], size: WorkersSize) -> list[DelayRound]:
    """Return how long events take from one worker to a client of the other."""
    rounds: list[DelayRound] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for number in range(size.delay_rounds):
            rounds.append({})
            for name in (MEMORY, *SHARED):
                if name in found:
                    say(f"delays: round {number + 1} of {size.delay_rounds}, {name}")
                    with workers(found[name], 1 if name == MEMORY else 2) as servers:
                        rounds[-1][name] = runner.run(delays(servers, size))
    return rounds


async def delays(servers: Sequence[RunningServer], size: WorkersSize) -> dict[float, Sent]:
    """Publish at the first worker, at several rates, to a client of the last one."""
    measured: dict[float, Sent] = {}
    async with subscribed(servers[-1:], 1) as arrivals:
        await publish(servers, arrivals, 1, count=WARM_UP)
        for rate in size.rates:
            count = max(size.least_paced, round(rate * size.rate_seconds))
            measured[rate] = await publish(servers, arrivals, 1, count=count, every=1 / rate)
    return measured


def measure_fan_out(found: Mapping[str, Place], size: WorkersSize) -> tuple[list[FanOutRound], int]:
    """Return what deliveries to clients of some workers cost, and how many clients there were."""
    clients = min(size.clients, raise_open_files())
    shared = [name for name in SHARED if name in found]
    cases = [(MEMORY, 1), *((name, number) for name in shared for number in size.workers)]
    rounds: list[FanOutRound] = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for one in range(size.fan_out_rounds):
            rounds.append({})
            for name, number in cases:
                say(f"fan-out: round {one + 1} of {size.fan_out_rounds}, {name}, {number} workers")
                with workers(found[name], number) as servers:
                    work = fan_out(servers, found[name], clients, size)
                    rounds[-1][name, number] = runner.run(work)
    return rounds, clients


async def fan_out(
    servers: Sequence[RunningServer], place: Place, clients: int, size: WorkersSize
) -> FannedOut:
    """Measure some workers once."""
    for server in servers:  # loads modules
        async with subscribed([server], 1) as arrivals:
            await publish([server], arrivals, 1, count=WARM_UP)
    published = await publish_everywhere(servers, size.published_by_each)
    for server in servers:  # each has heard what the others have published
        await settle(server)
    count, every = round(size.paced_rate * size.paced_seconds), 1 / size.paced_rate
    burst, bursts = size.burst, size.bursts
    async with subscribed(servers, clients) as arrivals:
        await publish(servers, arrivals, clients, count=WARM_UP)
        paced = await publish(servers, arrivals, clients, count=count, every=every)
        before = redis_cpu(place)
        in_a_row = await publish(servers, arrivals, clients, count=burst, every=0, times=bursts)
        redis = (redis_cpu(place) - before) / (burst * bursts) if place.redis else None
        at_once = await publish(servers, arrivals, clients, count=burst, tasks=True, times=bursts)
    deliveries = burst * clients
    rates = deliveries / in_a_row.whole, deliveries / at_once.whole
    return FannedOut(paced, in_a_row, redis, *rates, published)


async def publish_everywhere(servers: Sequence[RunningServer], count: int) -> float:
    """Have all workers publish at the same time, each one by one. Returns events per second."""
    begin = time.perf_counter()
    target = f"/publish?count={count}&every=0"
    await asyncio.gather(*(get(server.port, target) for server in servers))
    return count * len(servers) / (time.perf_counter() - begin)
