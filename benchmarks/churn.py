"""How many clients per second come, get one event and leave, and which tasks they leave.

Rules of this file:
- A rate is the number of connections per second of the server's CPU time. So it doesn't count the
  time in which other processes have the cores: the client, and whatever else runs on the machine.
- There are always enough clients that the server never waits for one. The part of the time in which
  it does is measured too: it neither runs nor waits for a core.
- The contenders take turns, as in the scenarios that send events.
- A client that has its event closes its socket, which sends FIN. The measurement includes what the
  server then does for the stream: it ends when the server sleeps after the last client has left.
"""

import socket
import time
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from selectors import EVENT_READ, DefaultSelector
from typing import Self

from benchmarks.client import BUFFER_SIZE, EVENT, OK, TIMEOUT, IncompleteError, send_request
from benchmarks.plan import CHURNS, CONCURRENCY, CONTENDERS, TASKLESS, Size
from benchmarks.processes import scheduled, wait_for_rest
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

WARM_UP = 10
"""The warm-up is a round whose connections are divided by this."""

PATIENCE = 2.0
"""Seconds that the streams have to end after the last client has left."""


@dataclass(frozen=True, slots=True)
class Came:
    """How the clients of one contender came and went in one round."""

    per_second: float
    per_cpu_second: float | None
    """Connections per second of the server's CPU time. ``None`` if there is no ``/proc``."""
    idle: float | None
    """The part of the time in which the server waited for clients."""


Round = dict[str, Came]
"""By contender."""

Tasks = dict[str, tuple[int, int]]
"""The number of tasks in each of our servers before the streams, and after them."""


def measure_churn(size: Size) -> tuple[list[Round], Tasks]:
    with serving(churn.server for churn in CHURNS) as running:
        say("churn: warming up")
        run_round(running, size.divisor * WARM_UP)
        rounds = []
        for number in range(size.churn_rounds):
            say(f"churn: round {number + 1} of {size.churn_rounds}")
            rounds.append(run_round(running, size.divisor))
        return rounds, measure_tasks(running, size.left_streams)


def measure_tasks(running: dict[str, RunningServer], streams: int) -> Tasks:
    tasks = {}
    for contender in TASKLESS:
        say(f"tasks that {streams} streams leave behind: {contender}")
        tasks[contender] = tasks_around(running[CONTENDERS[contender]].port, streams)
    return tasks


def run_round(running: dict[str, RunningServer], divisor: int) -> Round:
    """Let a fraction of the clients of every contender come and go once."""
    return {
        churn.contender: run(running[churn.server], max(1, churn.connections // divisor))
        for churn in CHURNS
    }


def run(server: RunningServer, connections: int) -> Came:
    """Let clients come and go, and wait until the server is done with them."""
    start, before = time.perf_counter(), scheduled(server.pid)
    come_and_go(server.port, connections)
    wait_for_rest(server.pid)
    seconds, after = time.perf_counter() - start, scheduled(server.pid)
    per_second = connections / seconds
    if before is None or after is None:
        return Came(per_second, None, None)
    cpu, queued = after.cpu - before.cpu, after.queued - before.queued
    return Came(per_second, connections / cpu, max(0, 1 - (cpu + queued) / seconds))


def come_and_go(port: int, connections: int) -> None:
    """Let clients come, get one event and leave."""
    with Visitors(port) as visitors:
        to_come = to_leave = connections
        arrive = min(CONCURRENCY, to_come)
        while to_leave:
            to_come -= arrive
            for _ in range(arrive):
                visitors.come()
            left = visitors.leave()
            to_leave -= left
            arrive = min(left, to_come)


class Visitors:
    """The clients that have no event yet."""

    def __init__(self, port: int) -> None:
        self._address = ("127.0.0.1", port)
        self._selector = DefaultSelector()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the connections that are still open: something failed."""
        for key in list(self._selector.get_map().values()):
            key.data.connection.close()
        self._selector.close()

    def come(self) -> None:
        """Let one more client ask for a stream."""
        connection = socket.socket()
        visitor = Visitor(connection)
        self._selector.register(connection, EVENT_READ, visitor)
        connection.connect(self._address)  # at once: the kernel accepts for the server
        send_request(connection, "/idle")

    def leave(self) -> int:
        """Wait until something arrives. Let the clients with their event leave: return how many."""
        ready = self._selector.select(TIMEOUT)
        if not ready:
            raise IncompleteError(f"nothing came for {TIMEOUT:g} s")
        leaving = [key.data for key, _ in ready if key.data.has_event()]
        for visitor in leaving:
            self._selector.unregister(visitor.connection)
            visitor.connection.close()
        return len(leaving)


@dataclass(slots=True)
class Visitor:
    """One client and what it has read."""

    connection: socket.socket
    received: bytes = b""

    def has_event(self) -> bool:
        """Read what there is, and say whether an event has arrived."""
        piece = self.connection.recv(BUFFER_SIZE)
        self.received += piece
        if not piece or not self.received.startswith(OK):
            raise IncompleteError(f"the connection was closed after {self.received!r}")
        return EVENT in self.received


def tasks_around(port: int, streams: int) -> tuple[int, int]:
    """Return how many tasks there are in a server before the streams, and after them."""
    before = tasks_in(port)
    come_and_go(port, streams)
    deadline = time.monotonic() + PATIENCE
    while (after := tasks_in(port)) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    return before, after


def tasks_in(port: int) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        connection.request("GET", "/tasks")
        return int(connection.getresponse().read())
