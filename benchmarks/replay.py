"""How fast kept events are replayed to one subscriber: no server, no sockets.

The events are in the hub's store. A client that has seen the first of them asks for the rest. Its
hub has just been opened, and nobody has subscribed to it.
"""

import asyncio
import time
from collections.abc import Iterator

from starlette.types import Message, Receive, Scope, Send

import sse_middleware
from benchmarks.client import IncompleteError
from benchmarks.contenders.broadcast.events import new_event
from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware

TOPIC = "room"

PUBLISHERS = 50
"""Tasks that publish what is replayed. A task for each event would leave garbage behind, whose
collection takes as long as half of a replay."""


class Replayed:
    """The server's side of one stream: it counts events, and leaves after the last one."""

    def __init__(self, count: int) -> None:
        self._left = count
        self._done = asyncio.Event()

    async def receive(self) -> Message:
        """Wait for the end, as a server does while its client stays."""
        await self._done.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Count the events of a message."""
        self._left -= message.get("body", b"").count(b"~")
        if self._left <= 0:
            self._done.set()

    def check(self) -> None:
        """Fail if there were too many."""
        if self._left:
            raise IncompleteError(f"{-self._left} events too many were replayed")


async def replay(count: int, url: str | None) -> float:
    hub = sse_middleware.Hub(url, keep=sse_middleware.Keep(count=count + 1, seconds=300))

    async def subscribe(scope: Scope, receive: Receive, send: Send) -> None:
        await EventSourceResponse(hub.subscribe(TOPIC))(scope, receive, send)

    app = SSEMiddleware(subscribe, hub=hub)
    async with hub:
        first = await hub.publish(TOPIC, new_item())
        numbers = iter(range(count))
        await asyncio.gather(*(publish_rest(hub, numbers) for _ in range(PUBLISHERS)))
        query = f"last_event_id={first}".encode()
        scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": query}
        replayed = Replayed(count)
        start = time.perf_counter()
        await app(scope, replayed.receive, replayed.send)
        seconds = time.perf_counter() - start
    replayed.check()
    return count / seconds


async def publish_rest(hub: sse_middleware.Hub, numbers: Iterator[int]) -> None:
    """Publish an event for each number that nobody else takes."""
    for _ in numbers:
        await hub.publish(TOPIC, new_item())


def new_item() -> ServerSentEvent:
    return ServerSentEvent(raw_data=new_event())


def replays_per_second(count: int, times: int, url: str | None = None) -> list[float]:
    """Return how many events a second are replayed, each time. Without a hub there are no times."""
    if not hasattr(sse_middleware, "Hub"):
        return []
    return [asyncio.run(replay(count, url)) for _ in range(times)]
