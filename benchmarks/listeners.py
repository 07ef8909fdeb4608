"""Thousands of subscribers in one process, which only count events and take time stamps.

Rules of this file:
- What a listener reads is kept as it came, with the moment at which it came. It is parsed when
  nothing is measured any more.
- Events are counted by one byte, which can't be split between two reads.
- The garbage collector is off while events arrive: it would be in the delays.
"""

# ruff: noqa: D102 - asyncio documents the methods of a protocol

import asyncio
import gc
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

from benchmarks.client import OK, TIMEOUT, IncompleteError

MARK = b"~"
"""Occurs once in every event that is published, after its moment, and nowhere else."""

STAMP = re.compile(rb'"at": ?(\d+)')
"""The moment at which an event was published, in nanoseconds."""

AT_ONCE = 100
"""Connections that are opened at the same time: fewer than a server's backlog."""

HEAD_END = b"\r\n\r\n"


class Arrivals:
    """What all listeners of one server have read since it was last taken."""

    def __init__(self) -> None:
        self.count = 0
        self.reads: list[tuple[int, int, bytes]] = []
        """When, by which listener, and what."""
        self._expected = 0
        self._complete: asyncio.Future[None] | None = None
        self.lost = 0

    def add(self, number: int, data: bytes) -> None:
        """Take what a listener has read."""
        self.reads.append((time.monotonic_ns(), number, data))
        self.count += data.count(MARK)
        if self._complete and self.count >= self._expected and not self._complete.done():
            self._complete.set_result(None)

    async def wait_for(self, count: int) -> None:
        """Wait until this many events have arrived since they were last taken."""
        self._expected, self._complete = count, asyncio.get_running_loop().create_future()
        if self.count < count:
            try:
                await asyncio.wait_for(self._complete, TIMEOUT)
            except TimeoutError:
                raise IncompleteError(f"{self.count} of {count} events arrived") from None
        if self.count > count or self.lost:
            raise IncompleteError(f"{self.count} of {count} events, {self.lost} streams closed")

    def take(self) -> list[tuple[int, int]]:
        """Return when each event was published and when it arrived, and forget the events."""
        moments: list[tuple[int, int]] = []
        unfinished: dict[int, bytes] = {}
        for now, number, data in self.reads:
            *ended, unfinished[number] = (unfinished.get(number, b"") + data).split(MARK)
            for event in ended:
                moments += [(int(at), now) for at in STAMP.findall(event)]
        if len(moments) != self.count:
            raise IncompleteError(f"{self.count} events arrived, {len(moments)} of them whole")
        self.count, self.reads = 0, []
        return moments


class Listener(asyncio.Protocol):
    """One subscriber."""

    def __init__(self, number: int, target: str, arrivals: Arrivals) -> None:
        self._number = number
        self._target = target
        self._arrivals = arrivals
        self._begin = b""
        self.transport: asyncio.WriteTransport
        self.subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)  # uvloop's has another base
        accept = "Accept: text/event-stream\r\n"
        self.transport.write(f"GET {self._target} HTTP/1.1\r\nHost: h\r\n{accept}\r\n".encode())

    def data_received(self, data: bytes) -> None:
        if self.subscribed.done():
            self._arrivals.add(self._number, data)
        else:
            self._begin += data
            head, _, body = self._begin.partition(HEAD_END)
            if body:
                self._open(head)

    def _open(self, head: bytes) -> None:
        if head.startswith(OK):
            self.subscribed.set_result(None)
        else:
            self.subscribed.set_exception(IncompleteError(f"the answer was {head!r}"))

    def connection_lost(self, _error: Exception | None) -> None:
        self._arrivals.lost += 1
        if not self.subscribed.done():
            self.subscribed.set_exception(IncompleteError("a stream was closed at once"))


async def open_listeners(
    ports: Sequence[int], count: int, target: str, arrivals: Arrivals
) -> list[Listener]:
    """Open streams, evenly spread over some ports. Each of them has got its first bytes."""
    loop = asyncio.get_running_loop()
    listeners = [Listener(number, target, arrivals) for number in range(count)]
    for first in range(0, count, AT_ONCE):
        some = listeners[first : first + AT_ONCE]
        for number, one in enumerate(some, first):
            port = ports[number % len(ports)]
            await loop.create_connection(partial(itself, one), "127.0.0.1", port)
        for one in some:
            await asyncio.wait_for(one.subscribed, TIMEOUT)
    return listeners


def itself(listener: Listener) -> Listener:
    return listener


async def get(port: int, target: str) -> None:
    """Make a request and wait for the head of its response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        head = await asyncio.wait_for(reader.readuntil(HEAD_END), TIMEOUT)
    finally:
        writer.close()
    if not head.startswith(OK):
        raise IncompleteError(f"{target} was answered by {head!r}")


@contextmanager
def without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
