"""What an event for many subscribers costs, and when it reaches them (Linux only).

This is how a chat room, a dashboard or a price is sent to all who watch it.

Rules of this file:
- One publisher in the server's process publishes for all. Each event carries the moment at which
  it is published. The client notes the moment at which it has read it. Both read the monotonic
  clock, which all processes of a machine share on Linux.
- Paced events are published one by one, twenty a second. Where that is more than a core can
  deliver, they are fewer. Events in a row have one step of the event loop each, as where many
  requests publish, or where a publisher awaits something between two events. Events at once are
  published in a single step.
- The cost is the server's CPU time divided by the deliveries: the publisher's own work is in it.
- The contenders take turns. Each of them has its streams to itself, and closes them.
- Memory is the growth of a fresh process by its first streams of that number, without events.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median, quantiles

import uvloop

import sse_middleware
from benchmarks.client import TIMEOUT
from benchmarks.listeners import Arrivals, get, open_listeners, without_collector
from benchmarks.plan import BETTER_CHANNEL, BROADCASTERS, HUB, Size
from benchmarks.processes import cpu_seconds, raise_open_files, resident_kib
from benchmarks.progress import say
from benchmarks.servers import RunningServer, missing_better_sse, serving

SUBSCRIBE = "/subscribe"

MOST_DELIVERIES = 20_000
"""Deliveries of paced events per second: less than a core can do, for every contender."""

LEAST_EVENTS = 8
"""Paced events of a round, however many deliveries that makes."""

QUIET = 0.05
"""Seconds in which a server does next to nothing once it has seen that its clients have left."""

WARM_UP = 3
"""Events that are published before any is measured."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was measured while events were published."""

    per_delivery: float
    """Seconds of the servers' CPU time."""
    per_event: float
    """The same for one event that is published."""
    median: float
    """Seconds from publishing to the client."""
    late: float
    """The same for the slowest hundredth."""
    whole: float
    """Seconds from the first event's publishing until the last event has arrived everywhere."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """What was measured for one contender in one round."""

    paced: Sent
    in_a_row: Sent
    at_once: Sent
    kib: float
    """Resident memory per subscriber. Only the first round's process is a fresh one."""


Round = dict[str, Broadcast]
"""By contender."""

Broadcasts = dict[int, list[Round]]
"""The rounds, by the number of subscribers."""


def left_out() -> dict[str, str]:
    """Return the contenders that can't take part, and why."""
    reasons: dict[str, str] = {}
    if not hasattr(sse_middleware, "Hub"):
        reasons[HUB] = "this version of `sse_middleware` has no `Hub`"
    if missing := missing_better_sse():
        reasons[BETTER_CHANNEL] = missing
    return reasons


def measure_broadcasts(size: Size) -> tuple[Broadcasts, dict[str, str], int]:
    """Return what was measured, who was left out, and how many streams the limits permit."""
    reasons = left_out()
    contenders = {name: server for name, server in BROADCASTERS.items() if name not in reasons}
    most = raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        measured = {
            number: runner.run(measure_rounds(contenders, number, size))
            for number in size.subscribers
            if number <= most
        }
    return measured, reasons, most


async def measure_rounds(contenders: Mapping[str, str], number: int, size: Size) -> list[Round]:
    rounds: list[Round] = []
    end = time.monotonic() + size.broadcast_budget
    with serving(contenders.values()) as running:
        for server in running.values():  # loads modules
            async with subscribed([server], 1) as arrivals:
                await publish([server], arrivals, 1, count=WARM_UP)
        while len(rounds) < size.broadcast_rounds and (not rounds or time.monotonic() < end):
            rounds.append({})
            for contender, name in contenders.items():
                say(f"broadcast to {number}: round {len(rounds)}, {contender}")
                rounds[-1][contender] = await run(running[name], number, size)
    return rounds


async def run(server: RunningServer, number: int, size: Size) -> Broadcast:
    """Measure a contender once."""
    rate = min(size.broadcast_rate, MOST_DELIVERIES / number)
    count = max(LEAST_EVENTS, round(rate * size.broadcast_seconds))
    burst, bursts = size.broadcast_burst, max(1, size.broadcast_bursts // number)
    before = resident_kib(server.pid) or 0
    async with subscribed([server], number) as arrivals:
        kib = ((resident_kib(server.pid) or 0) - before) / number
        await publish([server], arrivals, number, count=WARM_UP)
        paced = await publish([server], arrivals, number, count=count, every=1 / rate)
        in_a_row = await publish([server], arrivals, number, count=burst, every=0, times=bursts)
        at_once = await publish([server], arrivals, number, count=burst, times=bursts)
    await settle(server)
    return Broadcast(paced, in_a_row, at_once, kib)


@asynccontextmanager
async def subscribed(servers: Sequence[RunningServer], number: int) -> AsyncIterator[Arrivals]:
    """Hold streams open during the block. Nothing else than their events is counted."""
    arrivals = Arrivals()
    ports = [server.port for server in servers]
    listeners = await open_listeners(ports, number, SUBSCRIBE, arrivals)
    try:
        with without_collector():
            yield arrivals
    finally:
        for listener in listeners:
            listener.transport.abort()


async def publish(
    servers: Sequence[RunningServer],
    arrivals: Arrivals,
    number: int,
    *,
    count: int,
    every: float | None = None,
    tasks: bool = False,
    times: int = 1,
) -> Sent:
    """Have the first server publish events, and wait until all have arrived, some times."""
    target = f"/publish?count={count}" + ("" if every is None else f"&every={every}")
    target += "&tasks=1" if tasks else ""
    seconds, delays, wholes = 0.0, [], []
    for _ in range(times):
        before = cpu_of(servers)
        await get(servers[0].port, target)
        await arrivals.wait_for(count * number)
        seconds += cpu_of(servers) - before
        taken = arrivals.take()
        delays += [(arrived - published) / 1e9 for published, arrived in taken]
        first, last = min(published for published, _ in taken), max(one for _, one in taken)
        wholes.append((last - first) / 1e9)
    cuts = quantiles(delays, n=100)
    costs = (seconds / len(delays), seconds / (count * times))
    return Sent(*costs, cuts[49], cuts[98], median(wholes))


def cpu_of(servers: Iterable[RunningServer]) -> float:
    return sum(cpu_seconds(server.pid) or 0 for server in servers)


async def settle(server: RunningServer) -> None:
    """Wait until a server has nothing to do: the next contender needs the machine."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        before = cpu_seconds(server.pid) or 0
        await asyncio.sleep(QUIET)
        if (cpu_seconds(server.pid) or 0) - before < QUIET / 10:
            return
