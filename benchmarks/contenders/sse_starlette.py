"""sse-starlette, whose users encode the data themselves."""

import asyncio
import json
from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.contenders.items import ITEM

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


async def get_burst(request: Request) -> EventSourceResponse:
    return EventSourceResponse(burst(int(request.query_params["n"])))


async def get_paced(request: Request) -> EventSourceResponse:
    return EventSourceResponse(paced(int(request.query_params["n"])))


async def get_idle(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(idle())


app = Starlette(
    routes=[Route("/burst", get_burst), Route("/paced", get_paced), Route("/idle", get_idle)],
)
