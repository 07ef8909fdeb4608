"""Starlette: streams made by hand."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.frameworks.apps import bodies


def count_of(request: Request) -> int:
    return int(request.query_params["count"])


async def page(_: Request) -> Response:
    return JSONResponse({"n": 0})


async def events(request: Request) -> Response:
    return StreamingResponse(bodies.frames(count_of(request)), media_type="text/event-stream")


async def quiet(_: Request) -> Response:
    return StreamingResponse(bodies.quiet_frames(), media_type="text/event-stream")


async def endless(_: Request) -> Response:
    return StreamingResponse(bodies.endless_frames(), media_type="text/event-stream")


async def broken(_: Request) -> Response:
    return StreamingResponse(bodies.broken_frames(), media_type="text/event-stream")


async def abrupt(_: Request) -> Response:
    return StreamingResponse(bodies.abrupt_frames(), media_type="text/event-stream")


async def lines(request: Request) -> Response:
    body = bodies.json_lines(count_of(request))
    return StreamingResponse(body, media_type="application/x-ndjson")


async def quiet_lines(_: Request) -> Response:
    return StreamingResponse(bodies.quiet_lines(), media_type="application/x-ndjson")


async def endless_lines(_: Request) -> Response:
    return StreamingResponse(bodies.endless_lines(), media_type="application/x-ndjson")


async def broken_lines(_: Request) -> Response:
    return StreamingResponse(bodies.broken_lines(), media_type="application/x-ndjson")


LINES = [
    Route("/lines", lines),
    Route("/quiet-lines", quiet_lines),
    Route("/endless-lines", endless_lines),
    Route("/broken-lines", broken_lines),
]

app = Starlette(
    routes=[
        Route("/page", page),
        Route("/events", events),
        Route("/handmade", events),
        Route("/quiet", quiet),
        Route("/endless", endless),
        Route("/broken", broken),
        Route("/abrupt", abrupt),
        *LINES,
    ]
)
