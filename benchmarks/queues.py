"""When the events of a burst arrive that is put into the queues of many streams at once.

This is how notifications reach all clients, and how a dashboard is updated.

Rules of this file:
- Each stream has a queue of its own. One request puts a burst into all of them, in a single step of
  the event loop.
- Each event carries the moment at which it was put. The client notes the moment at which it has
  read it. Both read the monotonic clock, which all processes of a machine share on Linux.
- The contenders take turns. Their streams stay open.
"""

import time
from collections.abc import Iterable
from contextlib import ExitStack
from http.client import HTTPConnection
from statistics import quantiles

from benchmarks.client import TIMEOUT, IncompleteError, idle_streams
from benchmarks.plan import QUEUE_CONTENDERS, Size
from benchmarks.processes import raise_open_files
from benchmarks.progress import say
from benchmarks.servers import serving
from benchmarks.tokens import read_some, selecting

Round = dict[str, tuple[float, float]]
"""By contender: the seconds that half of the events and 99 % of them took at most."""


def measure_queues(size: Size) -> tuple[list[Round], int]:
    """Return when events arrived in each round, and how many streams each contender had."""
    streams = min(size.queue_streams, raise_open_files() // len(QUEUE_CONTENDERS))
    with serving(QUEUE_CONTENDERS.values()) as running, ExitStack() as opened:
        for one in running.values():
            opened.enter_context(idle_streams(one.port, 1, "/queued"))  # loads modules
        connections = {
            contender: opened.enter_context(
                idle_streams(running[server].port, streams, "/queued", size.ping_period)
            )
            for contender, server in QUEUE_CONTENDERS.items()
        }
        rounds: list[Round] = []
        for number in range(size.queue_rounds):
            say(f"queues: round {number + 1} of {size.queue_rounds}")
            rounds.append({})
            for contender, server in QUEUE_CONTENDERS.items():
                with selecting(connections[contender]) as selector:
                    feed(running[server].port, size.queue_burst)
                    delays: list[float] = []
                    deadline = time.monotonic() + TIMEOUT
                    while len(delays) < streams * size.queue_burst:
                        if time.monotonic() > deadline:
                            raise IncompleteError(f"{contender} sent {len(delays)} events")
                        delays += read_some(selector, TIMEOUT)
                rounds[-1][contender] = middle_and_late(delays)
    return rounds, streams


def feed(port: int, burst: int) -> None:
    """Have a server put a burst into the queues of its streams."""
    connection = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", f"/feed?n={burst}")
        connection.getresponse().read()
    finally:
        connection.close()


def middle_and_late(delays: Iterable[float]) -> tuple[float, float]:
    cuts = quantiles(delays, n=100)
    return cuts[49], cuts[98]
