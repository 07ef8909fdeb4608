"""How many clients per second come, get one event and leave, and which tasks they leave.

Rules of this file:
- There are always enough clients that the server never waits for one. The part of a core that the
  server took is measured too. It shows whether the server was the slow side.
- The contenders take turns, as in the scenarios that send events.
- A client that has its event closes its socket, which sends FIN. The measurement includes what the
  server then does for the stream, since the server does it before it serves the next client.
"""

import socket
import time
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from selectors import EVENT_READ, DefaultSelector
from typing import Self

from benchmarks.client import BUFFER_SIZE, EVENT, OK, TIMEOUT, IncompleteError, send_request
from benchmarks.plan import CHURNS, CONCURRENCY, CONTENDERS, TASKLESS, Size
from benchmarks.processes import cpu_seconds
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

WARM_UP = 10
"""The warm-up is a round whose connections are divided by this."""

PATIENCE = 2.0
"""Seconds that the streams have to end after the last client has left."""


Round = dict[str, tuple[float, float | None]]
"""By contender: connections per second, and the part of one core that the server took."""

Tasks = dict[str, tuple[int, int]]
"""The number of tasks in each of our servers before the streams, and after them."""


@dataclass(frozen=True, slots=True)
class Churned:
    """What was measured for the clients of one contender."""

    rates: list[float] = field(default_factory=list)
    """Connections per second in each round."""
    busy: list[float] = field(default_factory=list)
    """The part of one core that the server took in each round."""


def measure_churn(size: Size) -> tuple[dict[str, Churned], Tasks]:
    with serving(churn.server for churn in CHURNS) as running:
        say("churn: warming up")
        run_round(running, size.divisor * WARM_UP)
        rounds = []
        for number in range(size.churn_rounds):
            say(f"churn: round {number + 1} of {size.churn_rounds}")
            rounds.append(run_round(running, size.divisor))
        return collect(rounds), measure_tasks(running, size.left_streams)


def measure_tasks(running: dict[str, RunningServer], streams: int) -> Tasks:
    tasks = {}
    for contender in TASKLESS:
        say(f"tasks that {streams} streams leave behind: {contender}")
        tasks[contender] = tasks_around(running[CONTENDERS[contender]].port, streams)
    return tasks


def run_round(running: dict[str, RunningServer], divisor: int) -> Round:
    """Let a fraction of the clients of every contender come and go once."""
    return {
        churn.contender: run(running[churn.server], churn.connections // divisor)
        for churn in CHURNS
    }


def collect(rounds: list[Round]) -> dict[str, Churned]:
    churned = {contender: Churned() for contender in rounds[0]}
    for one in rounds:
        for contender, (rate, busy) in one.items():
            churned[contender].rates.append(rate)
            if busy is not None:
                churned[contender].busy.append(busy)
    return churned


def run(server: RunningServer, connections: int) -> tuple[float, float | None]:
    """Return the connections per second, and the part of a core that the server took."""
    before = cpu_seconds(server.pid)
    seconds = seconds_of(server.port, connections)
    after = cpu_seconds(server.pid)
    busy = (after - before) / seconds if before is not None and after is not None else None
    return connections / seconds, busy


def seconds_of(port: int, connections: int) -> float:
    """Let clients come, get one event and leave. Return how many seconds that took."""
    start = time.perf_counter()
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
    return time.perf_counter() - start


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
    seconds_of(port, streams)
    deadline = time.monotonic() + PATIENCE
    while (after := tasks_in(port)) > before and time.monotonic() < deadline:
        time.sleep(0.01)
    return before, after


def tasks_in(port: int) -> int:
    with closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as connection:
        connection.request("GET", "/tasks")
        return int(connection.getresponse().read())
