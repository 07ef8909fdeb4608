"""What every contender publishes, and the queue that its users give to each client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from time import monotonic_ns
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

T = TypeVar("T")

OPEN = '{"open":true}'
"""The data of the first event of a stream whose library sends nothing by itself."""


def new_event() -> str:
    """Return the data of an event of a hundred bytes, with the moment at which it is published."""
    return f'{{"id":17,"at":{monotonic_ns()},"text":"~ a short message to everybody in the room"}}'


class Queues:
    """A queue for each client."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[Any]] = set()

    def put(self, item: Any) -> None:
        """Put an item into each of them."""
        for queue in self._queues:
            queue.put_nowait(item)

    async def items(self, first: T) -> AsyncIterator[T]:
        """Yield `first`, and then everything that is put from now on."""
        queue: asyncio.Queue[T] = asyncio.Queue()
        self._queues.add(queue)
        try:
            yield first
            while True:
                yield await queue.get()
        finally:
            self._queues.discard(queue)


async def publish_all(
    publish: Callable[[str], Awaitable[object]], query: Mapping[str, str]
) -> None:
    """Publish events: each at its moment, each in a step of the event loop, or all in one."""
    if "tasks" in query:
        await asyncio.gather(*(publish(new_event()) for _ in range(int(query["count"]))))
        return
    loop = asyncio.get_running_loop()
    begin = loop.time()
    every = float(query["every"]) if "every" in query else None
    for number in range(int(query["count"])):
        if every is not None:
            await asyncio.sleep(begin + number * every - loop.time())
        await publish(new_event())


def broadcasting(
    subscribe: Callable[[Request], Awaitable[Response]],
    publish: Callable[[str], Awaitable[object]],
) -> Starlette:
    """Return the application of a contender that runs under Starlette."""

    async def get_publish(request: Request) -> Response:
        await publish_all(publish, request.query_params)
        return Response()

    return Starlette(routes=[Route("/subscribe", subscribe), Route("/publish", get_publish)])
