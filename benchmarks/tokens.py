"""What an event costs where hundreds of streams send one every few milliseconds (Linux only).

This is how tokens of language models are streamed.

Rules of this file:
- The contenders take turns in short rounds. Each round opens the streams anew, and lets them send
  for a while before it measures.
- Each event carries the moment of its ``yield``. The client notes the moment at which it has read
  it. Both read the monotonic clock, which all processes of a machine share on Linux.
- The cost is the server's CPU time divided by the events that arrived. An event that a contender
  doesn't send in time makes none cheaper.
- A stream waits for its period after each event, so a contender that is too slow sends fewer.
"""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from selectors import EVENT_READ, DefaultSelector
from statistics import quantiles

from benchmarks.client import IncompleteError, idle_streams
from benchmarks.plan import TOKEN_LOADS, Size, TokenLoad
from benchmarks.processes import cpu_seconds
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

STAMP = re.compile(rb'"at": ?(\d+)')
"""The moment of an event's ``yield`` in nanoseconds, in every contender's events."""

READ_SIZE = 64 * 1024

WARM_UP = 0.5
"""Seconds for which the streams send before they are measured."""


@dataclass(frozen=True, slots=True)
class Tokens:
    """What was measured for one contender in one round."""

    cpu: float
    """Seconds of the server's CPU time for each event."""
    rate: float
    """Events per second that arrived."""
    median: float
    """Seconds from ``yield`` to the client."""
    late: float
    """The same for the slowest hundredth."""


Round = dict[str, Tokens]


def measure_tokens(size: Size) -> list[Round]:
    """Return what was measured in each round. It is empty if there is no ``/proc``."""
    rounds: list[Round] = []
    with serving(load.server for load in TOKEN_LOADS) as running:
        for number in range(size.token_rounds):
            say(f"tokens: round {number + 1} of {size.token_rounds}")
            rounds.append(run_round(running, size))
    return rounds


def run_round(running: dict[str, RunningServer], size: Size) -> Round:
    return {load.contender: run(running[load.server], load, size) for load in TOKEN_LOADS}


def run(server: RunningServer, load: TokenLoad, size: Size) -> Tokens:
    path = f"{load.path}?period={size.token_period}"
    with (
        idle_streams(server.port, size.token_streams, path, size.token_period) as streams,
        selecting(streams) as selector,
    ):
        read_delays(selector, min(WARM_UP, size.token_seconds))
        start, before = time.monotonic(), cpu_seconds(server.pid)
        delays = read_delays(selector, size.token_seconds)
        seconds, after = time.monotonic() - start, cpu_seconds(server.pid)
    if len(delays) < 2:
        raise IncompleteError(f"{load.contender} sent {len(delays)} events in {seconds:.1f} s")
    cpu = (after or 0) - (before or 0)
    cuts = quantiles(delays, n=100)
    return Tokens(cpu / len(delays), len(delays) / seconds, cuts[49], cuts[98])


@contextmanager
def selecting(streams: list[socket.socket]) -> Iterator[DefaultSelector]:
    with DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream, EVENT_READ)
        yield selector


def read_delays(selector: DefaultSelector, seconds: float) -> list[float]:
    """Read for some seconds. Return how many seconds each event took to arrive."""
    delays: list[float] = []
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        delays += read_some(selector, left)
    return delays


def read_some(selector: DefaultSelector, seconds: float) -> list[float]:
    """Read what is there, or comes within some seconds. Return how long each event took."""
    delays: list[float] = []
    for key, _ in selector.select(seconds):
        connection: socket.socket = key.fileobj  # type: ignore[assignment] # as registered
        received = connection.recv(READ_SIZE)
        now = time.monotonic_ns()
        if not received:
            raise IncompleteError("a stream was closed")
        delays += [(now - int(at)) / 1e9 for at in STAMP.findall(received)]
    return delays
