"""Starlette: streams made by hand."""

from collections.abc import AsyncIterator

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.frameworks.journal import tell


async def frames(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b': comment\r\nid: %d\nevent: n\nunknown: x\ndata: {"n":%d}\n\n' % (number, number)


async def quiet_frames() -> AsyncIterator[bytes]:
    try:
        yield b"data: 0\n\n"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def broken_frames() -> AsyncIterator[bytes]:
    yield b"data: 0\n\n"
    yield b"data: 1\n\n"
    raise RuntimeError("broken")


async def json_lines(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b'{"n":%d}\n' % number


def count_of(request: Request) -> int:
    return int(request.query_params["count"])


async def events(request: Request) -> Response:
    return StreamingResponse(frames(count_of(request)), media_type="text/event-stream")


async def quiet(_: Request) -> Response:
    return StreamingResponse(quiet_frames(), media_type="text/event-stream")


async def broken(_: Request) -> Response:
    return StreamingResponse(broken_frames(), media_type="text/event-stream")


async def lines(request: Request) -> Response:
    return StreamingResponse(json_lines(count_of(request)), media_type="application/x-ndjson")


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/quiet", quiet),
        Route("/broken", broken),
        Route("/lines", lines),
    ]
)
