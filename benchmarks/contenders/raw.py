"""Starlette's `StreamingResponse` with events that are already bytes: no library at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from benchmarks.contenders.items import FRAME, QUEUES, feed, token, token_frame
from benchmarks.contenders.leaving import PERIOD, report_end


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
    yield b""  # it could go on


async def tokens(period: float) -> AsyncIterator[str]:
    while True:
        yield f"data: {json.dumps(token())}\n\n"
        await asyncio.sleep(period)


async def token_bytes(period: float) -> AsyncIterator[bytes]:
    while True:
        yield token_frame()
        await asyncio.sleep(period)


async def queued() -> AsyncIterator[str]:
    queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    QUEUES.add(queue)
    try:
        yield f"data: {json.dumps(token())}\n\n"
        while True:
            yield f"data: {json.dumps(await queue.get())}\n\n"
    finally:
        QUEUES.discard(queue)


async def pinged(period: float) -> AsyncIterator[bytes]:
    yield FRAME
    while True:
        await asyncio.sleep(period)
        yield b": ping\n\n"


async def leave_idle(visit: int) -> AsyncIterator[bytes]:
    try:
        yield FRAME
        await asyncio.Event().wait()
        yield b""  # it could go on
    finally:
        report_end(visit)


async def leave_sending(visit: int) -> AsyncIterator[bytes]:
    try:
        while True:
            yield FRAME
            await asyncio.sleep(PERIOD)
    finally:
        report_end(visit)


def response(events: AsyncIterator[bytes | str]) -> StreamingResponse:
    return StreamingResponse(events, media_type="text/event-stream")


async def get_burst(request: Request) -> StreamingResponse:
    return response(burst(int(request.query_params["n"])))


async def get_paced(request: Request) -> StreamingResponse:
    return response(paced(int(request.query_params["n"])))


async def get_idle(_request: Request) -> StreamingResponse:
    return response(idle())


async def get_tokens(request: Request) -> StreamingResponse:
    return response(tokens(float(request.query_params["period"])))


async def get_token_bytes(request: Request) -> StreamingResponse:
    return response(token_bytes(float(request.query_params["period"])))


async def get_queued(_request: Request) -> StreamingResponse:
    return response(queued())


async def get_feed(request: Request) -> Response:
    feed(int(request.query_params["n"]))
    return Response()


async def get_pinged(request: Request) -> StreamingResponse:
    return response(pinged(float(request.query_params["period"])))


async def get_leave_idle(request: Request) -> StreamingResponse:
    return response(leave_idle(int(request.query_params["visit"])))


async def get_leave_sending(request: Request) -> StreamingResponse:
    return response(leave_sending(int(request.query_params["visit"])))


app = Starlette(
    routes=[
        Route("/burst", get_burst),
        Route("/paced", get_paced),
        Route("/idle", get_idle),
        Route("/tokens", get_tokens),
        Route("/token-bytes", get_token_bytes),
        Route("/queued", get_queued),
        Route("/feed", get_feed),
        Route("/pinged", get_pinged),
        Route("/leave-idle", get_leave_idle),
        Route("/leave-sending", get_leave_sending),
    ],
)
