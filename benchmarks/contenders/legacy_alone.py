"""A Starlette application without this package: events framed by hand, and lines of JSON."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

LINE = b'{"id": 1, "text": "%b"}' % (b"x" * 65)
"""Ninety bytes, so that an event takes about a hundred."""


async def repeat(piece: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield piece


async def get_events(request: Request) -> StreamingResponse:
    events = repeat(b"data: %b\n\n" % LINE, int(request.query_params["n"]))
    return StreamingResponse(events, media_type="text/event-stream")


async def get_lines(request: Request) -> StreamingResponse:
    lines = repeat(LINE + b"\n", int(request.query_params["n"]))
    return StreamingResponse(lines, media_type="application/x-ndjson")


app = Starlette(routes=[Route("/adopted", get_events), Route("/lines", get_lines)])
