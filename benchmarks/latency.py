"""How much time passes between a client's leaving and the ``finally`` of its generator.

Rules of this file:
- The client notes the moment before it sends FIN or RST. The server prints the moment of the
  ``finally``. Both read the monotonic clock, which all processes of a machine share on Linux. So
  the figure doesn't include the time that the answer takes to arrive.
- The contenders take turns at every single disconnect.
- If a stream sends, the moments at which clients leave are spread evenly over the period between
  two events. This shows a library that only notices at the next event.
- A generator that is left to the garbage collector is no error here: its time is infinite. It may
  end while the client waits for another one, so the server prints the number of the visit, too.
"""

import math
import select
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import IO

from benchmarks.client import TIMEOUT, request, wait_for_event
from benchmarks.contenders.leaving import PERIOD
from benchmarks.plan import Leave, Size
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

PATIENCE = 1.0
"""Seconds after which a generator counts as left to the garbage collector."""

Latencies = dict[Leave, list[float]]
"""Seconds from leaving to the ``finally``, or infinity if they are more than `PATIENCE`."""


Running = dict[str, dict[str, RunningServer]]
"""By server and by the contender that it runs."""


def measure_latencies(size: Size) -> Latencies:
    latencies: Latencies = {leave: [] for leave in size.leaves}
    visits = count()
    with ExitStack() as servers:
        running = {
            by: servers.enter_context(serving(contenders_of(by, size.leaves), by))
            for by in dict.fromkeys(leave.by for leave in size.leaves)
        }
        say(f"latency: {size.disconnects} disconnects of each stream")
        # The first request loads modules, which is no cost of leaving.
        run_round(running, size.leaves, visits, 0)
        for number in range(size.disconnects):
            pause = PERIOD * number / size.disconnects
            for leave, seconds in run_round(running, size.leaves, visits, pause):
                latencies[leave].append(seconds)
    return latencies


def contenders_of(server: str, leaves: Iterable[Leave]) -> list[str]:
    return [leave.server for leave in leaves if leave.by == server]


def run_round(
    running: Running, leaves: Iterable[Leave], visits: Iterator[int], pause: float
) -> list[tuple[Leave, float]]:
    """Leave every stream once in every way."""
    return [
        (leave, latency(running[leave.by][leave.server], leave, next(visits), pause))
        for leave in leaves
    ]


def latency(server: RunningServer, leave: Leave, visit: int, pause: float) -> float:
    """Open a stream, leave it `pause` after its first event, and return how long its end took."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as connection:
        request(connection, f"{leave.path}?visit={visit}")
        wait_for_event(connection)
        time.sleep(pause)
        left = time.monotonic()
        WAYS[leave.way](connection)
        return wait_for_end(server.output, visit) - left


def fin(connection: socket.socket) -> None:
    """Say that nothing more will come. A close would send RST if there was unread data."""
    connection.shutdown(socket.SHUT_WR)


def rst(connection: socket.socket) -> None:
    """Abort the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


WAYS: dict[str, Callable[[socket.socket], None]] = {"FIN": fin, "RST": rst}


def wait_for_end(output: IO[bytes], visit: int) -> float:
    """Return when the ``finally`` of a visit ran, on the monotonic clock, or infinity."""
    deadline = time.monotonic() + PATIENCE
    while select.select([output], [], [], max(0, deadline - time.monotonic()))[0]:
        number, moment = output.readline().split()
        if int(number) == visit:
            return float(moment)
    return math.inf
