"""sse-starlette, whose users encode the data themselves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.contenders.items import ITEM, QUEUES, feed, token
from benchmarks.contenders.leaving import PERIOD, report_end

Events = AsyncIterator[dict[str, str]]


async def burst(count: int) -> Events:
    for _ in range(count):
        yield {"data": json.dumps(ITEM)}


async def paced(count: int) -> Events:
    for _ in range(count):
        await asyncio.sleep(0)
        yield {"data": json.dumps(ITEM)}


async def idle() -> Events:
    yield {"data": json.dumps(ITEM)}
    await asyncio.Event().wait()
    yield {}  # it could go on


async def tokens(period: float) -> Events:
    while True:
        yield {"data": json.dumps(token())}
        await asyncio.sleep(period)


async def token_events(period: float) -> Events:
    while True:
        yield {"data": json.dumps(token()), "event": "token"}
        await asyncio.sleep(period)


async def queued() -> Events:
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    QUEUES.add(queue)
    try:
        yield {"data": json.dumps(token())}
        while True:
            yield {"data": json.dumps(await queue.get())}
    finally:
        QUEUES.discard(queue)


async def leave_idle(visit: int) -> Events:
    try:
        yield {"data": json.dumps(ITEM)}
        await asyncio.Event().wait()
        yield {}  # it could go on
    finally:
        report_end(visit)


async def leave_sending(visit: int) -> Events:
    try:
        while True:
            yield {"data": json.dumps(ITEM)}
            await asyncio.sleep(PERIOD)
    finally:
        report_end(visit)


async def get_burst(request: Request) -> EventSourceResponse:
    return EventSourceResponse(burst(int(request.query_params["n"])))


async def get_paced(request: Request) -> EventSourceResponse:
    return EventSourceResponse(paced(int(request.query_params["n"])))


async def get_idle(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(idle())


async def get_tokens(request: Request) -> EventSourceResponse:
    return EventSourceResponse(tokens(float(request.query_params["period"])))


async def get_token_events(request: Request) -> EventSourceResponse:
    return EventSourceResponse(token_events(float(request.query_params["period"])))


async def get_queued(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(queued())


async def get_feed(request: Request) -> Response:
    feed(int(request.query_params["n"]))
    return Response()


async def get_pinged(request: Request) -> EventSourceResponse:
    return EventSourceResponse(idle(), ping=float(request.query_params["period"]))


async def get_leave_idle(request: Request) -> EventSourceResponse:
    return EventSourceResponse(leave_idle(int(request.query_params["visit"])))


async def get_leave_sending(request: Request) -> EventSourceResponse:
    return EventSourceResponse(leave_sending(int(request.query_params["visit"])))


app = Starlette(
    routes=[
        Route("/burst", get_burst),
        Route("/paced", get_paced),
        Route("/idle", get_idle),
        Route("/tokens", get_tokens),
        Route("/token-events", get_token_events),
        Route("/queued", get_queued),
        Route("/feed", get_feed),
        Route("/pinged", get_pinged),
        Route("/leave-idle", get_leave_idle),
        Route("/leave-sending", get_leave_sending),
    ],
)
