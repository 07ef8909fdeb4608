"""`sse_middleware` under Starlette, for the comparison with the peers that run there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.contenders.items import ITEM, QUEUES, feed, token
from benchmarks.contenders.tasks import get_tasks
from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware, event_stream


async def idle(_request: Request) -> AsyncIterator[Any]:
    yield ITEM
    await asyncio.Event().wait()
    yield None  # it could go on


async def tokens(request: Request) -> AsyncIterator[Any]:
    period = float(request.query_params["period"])
    while True:
        yield token()
        await asyncio.sleep(period)


async def token_events(request: Request) -> AsyncIterator[Any]:
    period = float(request.query_params["period"])
    while True:
        yield ServerSentEvent(data=token(), event="token")
        await asyncio.sleep(period)


async def queued(_request: Request) -> AsyncIterator[Any]:
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    QUEUES.add(queue)
    try:
        yield token()
        while True:
            yield await queue.get()
    finally:
        QUEUES.discard(queue)


async def get_feed(request: Request) -> Response:
    feed(int(request.query_params["n"]))
    return Response()


async def get_pinged(request: Request) -> EventSourceResponse:
    return EventSourceResponse(idle(request), ping_interval=float(request.query_params["period"]))


app = Starlette(
    routes=[
        Route("/idle", event_stream(idle)),
        Route("/tokens", event_stream(tokens)),
        Route("/token-events", event_stream(token_events)),
        Route("/queued", event_stream(queued)),
        Route("/feed", get_feed),
        Route("/pinged", get_pinged),
        Route("/tasks", get_tasks),
    ],
)
app.add_middleware(SSEMiddleware)
