"""Starlette's `StreamingResponse` with events that are bytes already: no library at all."""

import asyncio
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.contenders.items import FRAME


async def burst(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield FRAME


async def paced(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(0)
        yield FRAME


async def idle() -> AsyncIterator[bytes]:
    yield FRAME
    await asyncio.Event().wait()


def response(events: AsyncIterator[bytes]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream")


async def get_burst(request: Request) -> StreamingResponse:
    return response(burst(int(request.query_params["n"])))


async def get_paced(request: Request) -> StreamingResponse:
    return response(paced(int(request.query_params["n"])))


async def get_idle(_request: Request) -> StreamingResponse:
    return response(idle())


app = Starlette(
    routes=[Route("/burst", get_burst), Route("/paced", get_paced), Route("/idle", get_idle)],
)
