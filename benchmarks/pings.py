"""What streams without events cost in CPU time, while each is sent a keep-alive (Linux only).

Rules of this file:
- Streams are opened evenly over one period, so that keep-alives come evenly too: all at once, as
  they would come from streams that were opened in a row, would be another scenario.
- The client reads what comes, so no buffer ever fills. Its own CPU time is not in the figure.
- The figure is CPU time per keep-alive that arrived: who sends fewer is not to look cheaper.
"""

import socket
import time
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector

from benchmarks.client import BUFFER_SIZE, IncompleteError, idle_streams
from benchmarks.plan import CONTENDERS, Size
from benchmarks.processes import cpu_seconds, raise_open_files
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

PING = b": ping"
"""Stands once in every keep-alive of every contender."""


@dataclass(frozen=True, slots=True)
class Idling:
    """What the keep-alives of one contender cost."""

    cpu: float
    """Seconds of CPU time in each second."""
    pings: float
    """Keep-alives that arrived in each second."""

    @property
    def per_ping(self) -> float:
        """Seconds of CPU time for each keep-alive."""
        return self.cpu / self.pings


def measure_pings(size: Size) -> tuple[dict[str, Idling], int]:
    """Return what keep-alives cost, and how many streams there were."""
    streams = min(size.pinged_streams, raise_open_files())
    idling = {}
    with serving(CONTENDERS.values()) as running:
        for contender, server in CONTENDERS.items():
            say(f"keep-alives of {streams} idle streams: {contender}")
            cost = cost_of_pings(running[server], streams, size)
            if cost is not None:
                idling[contender] = cost
    return idling, streams


def cost_of_pings(server: RunningServer, streams: int, size: Size) -> Idling | None:
    path = f"/pinged?period={size.ping_period}"
    with idle_streams(server.port, streams, path, size.ping_period) as connections:
        # Each is to have been pinged: the start of a stream is no cost of a keep-alive.
        read_pings(connections, size.ping_period)
        start, before = time.monotonic(), cpu_seconds(server.pid)
        pings = read_pings(connections, size.ping_seconds)
        seconds, after = time.monotonic() - start, cpu_seconds(server.pid)
    if not pings:
        raise IncompleteError(f"no keep-alive of {path} arrived")
    if before is None or after is None:
        return None
    return Idling((after - before) / seconds, pings / seconds)


def read_pings(connections: list[socket.socket], seconds: float) -> int:
    """Read what comes for so long, and return how many keep-alives were in it."""
    pings = 0
    end = time.monotonic() + seconds
    with DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, EVENT_READ, connection)
        while (left := end - time.monotonic()) > 0:
            pings += sum(count_pings(key.data) for key, _ in selector.select(left))
    return pings


def count_pings(connection: socket.socket) -> int:
    received = connection.recv(BUFFER_SIZE)
    if not received:
        raise IncompleteError("a stream that was to idle was closed")
    return received.count(PING)
