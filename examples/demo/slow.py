"""Panel 8: a slow client and a fast one.

The fast one is the page. The slow one is a plain socket in a thread: a browser takes whatever
comes, even if its page doesn't read.
"""

import asyncio
import time
from collections import Counter
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from socket import SO_RCVBUF, SOL_SOCKET
from threading import Event, Thread
from typing import Annotated

import anyio
from fastapi import APIRouter, Request
from fastapi import Path as InPath

from sse_middleware import EventSourceResponse, LegacyRoute, sse_context
from sse_middleware.observers import EventsSent, StreamClosed, StreamRecord
from sse_middleware.wire import EventStreamDecoder, MessageEvent

from .shared import BURST, hub

router = APIRouter(prefix="/burst/{name}")

Name = Annotated[str, InPath(pattern=r"^\w{1,40}$")]

FILLER = "." * 8_000
RECEIVE_BUFFER = 65_536
"""Bytes that the kernel takes for the slow client. With a fourth of them it couldn't hurry."""

LIFETIME = 60.0
"""Seconds after which the slow client leaves in any case."""


@router.get("/events")
async def listen(name: Name) -> EventSourceResponse:
    """Stream a burst. Each client has a position of its own in it."""
    return EventSourceResponse(hub.subscribe(f"burst:{name}", after="start"))


@router.post("")
async def publish(name: Name, request: Request) -> dict[str, float]:
    """Publish 4 MB in some six seconds. Returns the longest that one event has taken, in ms."""
    begin_to_read(name, request)
    longest = 0.0
    for number in range(1, BURST + 1):
        began = time.perf_counter()
        at = time.time() * 1000
        await hub.publish(f"burst:{name}", {"number": number, "at": at, "filler": FILLER})
        longest = max(longest, time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return {"longest": round(longest * 1000, 1)}


class SlowClient(Thread):
    """Reads 4 KB ten times a second, until it is told to hurry."""

    def __init__(self, netloc: str, path: str, draining: anyio.Event) -> None:
        super().__init__(daemon=True)
        self.draining = draining
        self.connection = HTTPConnection(netloc, timeout=LIFETIME)
        self.path = path
        self.events = 0
        self.hurry = Event()

    def run(self) -> None:
        """Request the stream, and read it."""
        self.connection.connect()
        self.connection.sock.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
        self.connection.request("GET", self.path, headers={"X-Client": "slow"})
        with closing(self.connection):
            self.read(self.connection.getresponse())

    def read(self, response: HTTPResponse) -> None:
        """Read until all events are there, or the server stops."""
        decoder, deadline = EventStreamDecoder(), time.monotonic() + LIFETIME
        while self.events < BURST and time.monotonic() < deadline and not self.draining.is_set():
            if not (piece := response.read1(4096)):
                return
            found = decoder.feed(piece)
            self.events += sum(isinstance(event, MessageEvent) for event in found)
            self.hurry.wait(0.1)


clients: dict[str, SlowClient] = {}
sent: Counter[str] = Counter()
"""How many events the slow client of a burst was sent, by the path."""


def begin_to_read(name: str, request: Request) -> None:
    """Begin a slow client, and forget those that have ended."""
    for ended in [name for name, client in clients.items() if not client.is_alive()]:
        del clients[ended]
    draining = sse_context(request).draining
    clients[name] = SlowClient(request.url.netloc, f"/burst/{name}/events", draining)
    clients[name].start()


def count_sent(record: StreamRecord) -> None:
    """Count what slow clients are sent: the middleware has this function as an observer."""
    if record.stream.client == "slow":
        if isinstance(record, EventsSent):
            sent[record.stream.path] += record.events
        elif isinstance(record, StreamClosed):
            del sent[record.stream.path]


@router.get("/slow")
async def slow(name: Name) -> dict[str, int]:
    """Tell how far the slow client is. This endpoint is polled, and a stream for the page."""
    read = clients[name].events if name in clients else 0
    return {"sent": sent.get(f"/burst/{name}/events", read), "read": read}


ROUTES = [LegacyRoute("/burst/{name}/slow", poll=0.25)]


@router.post("/hurry")
async def hurry(name: Name) -> None:
    """Let the slow client read as fast as it can."""
    if name in clients:
        clients[name].hurry.set()


SHOWN = ("listen", "publish", "SlowClient")
