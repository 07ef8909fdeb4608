"""What a run costs beside a plain stream of the same generator (Linux only).

Rules of this file:
- A store has a server process, which streams both. They take turns within a round. The stores take
  turns from round to round.
- A run begins with its request, and it counts only if its viewer got every token, and its end.
- A paced token carries the moment of its ``yield``. The client notes the moment at which it has
  read it. Both read the monotonic clock, which all processes of a machine share on Linux.
- The CPU time is that of the server process with all its threads. Redis tells its own.
- Memory is measured in a fresh process for each case, once it grows no more. That of a plain stream
  is measured once, beside the hub in memory.
"""

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import quantiles

from benchmarks.broadcast import settle
from benchmarks.client import LAST_CHUNK, TIMEOUT, IncompleteError, idle_streams, send_request
from benchmarks.listeners import get
from benchmarks.processes import cpu_seconds, raise_open_files, resident_kib
from benchmarks.progress import say
from benchmarks.runs_plan import PATHS, PLAIN, RUN, RunsSize
from benchmarks.servers import RunningServer, serving_many
from benchmarks.stores import Place, redis_cpu
from benchmarks.tokens import READ_SIZE, WARM_UP, read_delays, selecting
from benchmarks.workers_plan import MEMORY, SHARED

CONTENDER = "runs"

TOKEN_END = b"}"
"""Occurs once in every token, and nowhere else. It can't be split between two reads."""

BEGUN_AT_ONCE = 50
"""Runs that begin together when the memory of those that have ended is measured."""

TTL = 600
"""Seconds that they are kept."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What was measured of one path, in one round."""

    rate: float
    """Tokens per second that arrived."""
    cpu: float
    """Seconds of the server's CPU time for each of them."""
    redis: float | None
    """The same of Redis."""


@dataclass(frozen=True, slots=True)
class Paced:
    """What was measured of paced tokens of one path, in one round."""

    cost: Cost
    median: float
    """Seconds from ``yield`` to the client."""
    late: float
    """The same for the slowest hundredth."""


Case = tuple[int, str]
"""How many streams there are at once, and their path."""

FastRound = dict[str, dict[Case, Cost]]
"""By store."""

PacedRound = dict[str, dict[str, Paced]]
"""By store and path."""


@dataclass(frozen=True, slots=True)
class Memory:
    """KiB of a server for each run. Each has yielded its tokens."""

    viewed: float
    """Of a run that goes on, and its viewer."""
    unviewed: float
    """Of a run that goes on, which nobody views."""
    ended: float
    """Of a run that has ended and is kept."""


def measured_stores(found: Mapping[str, Place]) -> dict[str, Place]:
    """Return where runs are kept, of all places that were found."""
    return {name: found[name] for name in (MEMORY, *SHARED) if name in found}


@contextmanager
def server_at(place: Place) -> Iterator[RunningServer]:
    """Run a server whose hub is in a place."""
    environment = {} if place.url is None else {"HUB_URL": place.url}
    with serving_many(CONTENDER, 1, environment) as (server,):
        yield server


def measure_tokens(
    found: Mapping[str, Place], size: RunsSize
) -> tuple[list[FastRound], list[PacedRound]]:
    """Return how fast tokens arrive, and when those arrive that are yielded at an even pace."""
    with ExitStack() as opened:
        servers = {name: opened.enter_context(server_at(found[name])) for name in found}
        for name, server in servers.items():  # loads modules
            for path in PATHS:
                read_all(server, found[name], path, 1, 1)
        return measure_fast(found, servers, size), measure_paced(found, servers, size)


def measure_fast(
    found: Mapping[str, Place], servers: Mapping[str, RunningServer], size: RunsSize
) -> list[FastRound]:
    """Return how fast tokens arrive that are yielded as fast as possible."""
    rounds: list[FastRound] = []
    for number in range(size.rounds):
        say(f"runs: round {number + 1} of {size.rounds}")
        rounds.append({})
        for name, server in servers.items():
            rounds[-1][name] = {
                (streams, path): read_all(server, found[name], path, streams, tokens)
                for streams, tokens in size.loads
                for path in PATHS
            }
    return rounds


def read_all(server: RunningServer, place: Place, path: str, streams: int, tokens: int) -> Cost:
    """Have streams yield tokens as fast as they can, and read all of them to their end."""
    with ExitStack() as opened:
        connections = [
            opened.enter_context(socket.create_connection(("127.0.0.1", server.port), TIMEOUT))
            for _ in range(streams)
        ]
        before, in_redis, start = cpu_of(server), redis_cpu(place), time.perf_counter()
        for connection in connections:
            send_request(connection, f"{path}?n={tokens}")
        arrived = read_to_end(connections)
        seconds = time.perf_counter() - start
        cpu, spent = cpu_of(server) - before, redis_cpu(place) - in_redis
    if arrived != streams * tokens:
        raise IncompleteError(f"{arrived} of {streams * tokens} tokens of {path} arrived")
    asyncio.run(settle(server))
    return cost_of(path, place, arrived, seconds, cpu, spent)


def cost_of(
    path: str, place: Place, arrived: int, seconds: float, cpu: float, redis: float
) -> Cost:
    in_redis = redis / arrived if place.redis and path == RUN else None
    return Cost(arrived / seconds, cpu / arrived, in_redis)


def read_to_end(connections: list[socket.socket]) -> int:
    """Read responses to their ends. Returns how many tokens they had."""
    arrived, tails = 0, dict.fromkeys(connections, b"")
    with selecting(connections) as selector:
        while tails:
            ready = selector.select(TIMEOUT)
            if not ready:
                raise IncompleteError(f"{len(tails)} streams have stopped")
            for key, _ in ready:
                connection: socket.socket = key.fileobj  # type: ignore[assignment] # as registered
                received = connection.recv(READ_SIZE)
                if not received:
                    raise IncompleteError("a stream was closed")
                arrived += received.count(TOKEN_END)
                tails[connection] = (tails[connection] + received)[-len(LAST_CHUNK) :]
                if tails[connection] == LAST_CHUNK:
                    selector.unregister(connection)
                    del tails[connection]
    return arrived


def cpu_of(server: RunningServer) -> float:
    return cpu_seconds(server.pid) or 0.0


def measure_paced(
    found: Mapping[str, Place], servers: Mapping[str, RunningServer], size: RunsSize
) -> list[PacedRound]:
    """Return when tokens arrive that are yielded at an even pace, and what they cost."""
    rounds: list[PacedRound] = []
    for number in range(size.paced_rounds):
        say(f"runs: paced round {number + 1} of {size.paced_rounds}")
        rounds.append({})
        for name, server in servers.items():
            rounds[-1][name] = {path: pace(server, found[name], path, size) for path in PATHS}
    return rounds


def pace(server: RunningServer, place: Place, path: str, size: RunsSize) -> Paced:
    """Read paced streams for a while."""
    target = f"{path}?period={size.period}"
    with (
        idle_streams(server.port, size.paced_streams, target, size.period) as streams,
        selecting(streams) as selector,
    ):
        read_delays(selector, min(WARM_UP, size.seconds))
        before, in_redis, start = cpu_of(server), redis_cpu(place), time.perf_counter()
        delays = read_delays(selector, size.seconds)
        seconds = time.perf_counter() - start
        cpu, spent = cpu_of(server) - before, redis_cpu(place) - in_redis
    asyncio.run(get(server.port, "/end"))
    asyncio.run(settle(server))
    arrived = len(delays)
    if arrived < 2:
        raise IncompleteError(f"{arrived} tokens of {path} arrived in {seconds:.1f} s")
    cost = cost_of(path, place, arrived, seconds, cpu, spent)
    cuts = quantiles(delays, n=100)
    return Paced(cost, cuts[49], cuts[98])


def measure_memories(
    found: Mapping[str, Place], size: RunsSize
) -> tuple[float, dict[str, Memory], int]:
    """Return what a plain stream takes, what runs take by store, and how many there were."""
    runs, tokens = min(size.held_runs, raise_open_files()), size.held_tokens
    say(f"memory of {runs:,} plain streams")
    plain = viewed_kib(found[MEMORY], PLAIN, runs, size)
    memories: dict[str, Memory] = {}
    for name, place in found.items():
        say(f"memory of {runs:,} runs: {name}")
        memories[name] = Memory(
            viewed_kib(place, RUN, runs, size),
            unviewed_kib(place, runs, runs, f"n={tokens}&held=1", size.still),
            unviewed_kib(place, runs, BEGUN_AT_ONCE, f"n={tokens}", size.still),
        )
    return plain, memories, runs


def viewed_kib(place: Place, path: str, runs: int, size: RunsSize) -> float:
    """Return what each of some streams takes that go on after some tokens."""
    with server_at(place) as server:
        target = f"{path}?n={size.held_tokens}&held=1"
        with idle_streams(server.port, 1, target):  # loads modules
            before = still_kib(server, size.still)
        with idle_streams(server.port, runs, target):
            after = still_kib(server, size.still)
        asyncio.run(get(server.port, "/end"))
    return (after - before) / runs


def unviewed_kib(place: Place, runs: int, at_once: int, query: str, still: float) -> float:
    """Return what each of some runs takes that nobody views."""
    with server_at(place) as server:
        begin(server, 1, query)  # loads modules
        before = still_kib(server, still)
        for first in range(0, runs, at_once):
            begin(server, min(at_once, runs - first), query)
        after = still_kib(server, still)
        asyncio.run(get(server.port, "/end"))
    return (after - before) / runs


def begin(server: RunningServer, runs: int, query: str) -> None:
    asyncio.run(get(server.port, f"/begin?count={runs}&ttl={TTL}&{query}"))


def still_kib(server: RunningServer, still: float) -> float:
    """Return the resident memory of a server, once it grows no more."""
    kib, end = -1, time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        before, kib = kib, resident_kib(server.pid) or 0
        if kib <= before:
            break
        time.sleep(still)
    return kib
