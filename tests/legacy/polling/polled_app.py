"""An application, for a real server, whose polled endpoint hangs at its first call."""

import os

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_middleware import LegacyRoute, SSEMiddleware


async def plain(_: Request) -> Response:
    return PlainTextResponse("plain")


async def hanging(_: Request) -> Response:
    os.write(1, b"called\n")
    try:
        await anyio.sleep_forever()
    finally:
        os.write(1, b"cancelled\n")
    raise AssertionError


async def forbidden(_: Request) -> Response:
    return PlainTextResponse("no", status_code=403, headers={"x-own": "1"})


app = Starlette(
    routes=[Route("/plain", plain), Route("/hanging", hanging), Route("/forbidden", forbidden)]
)
app.add_middleware(
    SSEMiddleware,
    legacy=[LegacyRoute("/hanging", poll=1.0), LegacyRoute("/forbidden", poll=1.0)],
    max_streams=2,
    on_disconnect="finish",
)
