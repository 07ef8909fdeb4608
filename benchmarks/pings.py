"""How much CPU time streams without events take for their keep-alives (Linux only).

Rules of this file:
- Streams are opened evenly over one period, so that keep-alives come evenly, too. Streams that are
  opened in a row would send them all at once, which is another scenario.
- The client reads what comes, so no buffer ever fills. Its own CPU time is not in the figure.
- All contenders are measured at the same time, in rounds: the machine is shared, and its speed
  changes.
- The figure is CPU time per keep-alive that arrived. A contender that sends fewer doesn't look
  cheaper.
"""

import socket
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector

from benchmarks.client import BUFFER_SIZE, IncompleteError, idle_streams
from benchmarks.plan import PING_CONTENDERS, Size
from benchmarks.processes import cpu_seconds, raise_open_files
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

PING = b": ping"
"""Occurs once in every keep-alive of every contender."""


@dataclass(frozen=True, slots=True)
class Idling:
    """What the keep-alives of one contender cost in one round."""

    cpu: float
    """Seconds of CPU time per second."""
    pings: float
    """Keep-alives that arrived per second."""

    @property
    def per_ping(self) -> float:
        """Seconds of CPU time per keep-alive."""
        return self.cpu / self.pings


Round = dict[str, Idling]


def measure_pings(size: Size) -> tuple[list[Round], int]:
    """Return what keep-alives cost, and how many streams of each contender there were."""
    streams = min(size.pinged_streams, raise_open_files() // len(PING_CONTENDERS))
    with serving(PING_CONTENDERS.values()) as running, ExitStack() as opened:
        servers = {contender: running[server] for contender, server in PING_CONTENDERS.items()}
        connections = {}
        for contender, server in servers.items():
            say(f"keep-alives of {streams} idle streams: opening those of {contender}")
            path = f"/pinged?period={size.ping_period}"
            idle = idle_streams(server.port, streams, path, size.ping_period)
            connections[contender] = opened.enter_context(idle)
        # Wait until each has got a keep-alive: the start of a stream is no cost of a keep-alive.
        read_pings(connections, size.ping_period)
        say("keep-alives of all of them at the same time")
        rounds = [run_round(servers, connections, size) for _ in range(size.ping_rounds)]
        return rounds, streams


def run_round(
    servers: dict[str, RunningServer], connections: dict[str, list[socket.socket]], size: Size
) -> Round:
    start = time.monotonic()
    before = {contender: cpu_seconds(server.pid) for contender, server in servers.items()}
    pings = read_pings(connections, size.ping_seconds)
    seconds = time.monotonic() - start
    costs = {}
    for contender, server in servers.items():
        if not pings[contender]:
            raise IncompleteError(f"no keep-alive of {contender} arrived")
        began, ended = before[contender], cpu_seconds(server.pid)
        if began is not None and ended is not None:
            costs[contender] = Idling((ended - began) / seconds, pings[contender] / seconds)
    return costs


def read_pings(connections: dict[str, list[socket.socket]], seconds: float) -> Counter[str]:
    """Read for some seconds, and return how many keep-alives of each contender came."""
    pings: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with DefaultSelector() as selector:
        for contender, those in connections.items():
            for connection in those:
                selector.register(connection, EVENT_READ, (contender, connection))
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                contender, connection = key.data
                pings[contender] += count_pings(connection)
    return pings


def count_pings(connection: socket.socket) -> int:
    received = connection.recv(BUFFER_SIZE)
    if not received:
        raise IncompleteError("an idle stream was closed")
    return received.count(PING)
