"""A stream of sse-starlette's own, which ends by itself when uvicorn is told to stop."""

from collections.abc import AsyncIterator

import anyio
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import SSEMiddleware

from .drain_app import lifespan, plain


async def items() -> AsyncIterator[str]:
    yield '"open"'
    await anyio.sleep_forever()


async def foreign(_: Request) -> EventSourceResponse:
    return EventSourceResponse(items())


app = Starlette(
    routes=[Route("/plain", plain), Route("/foreign", foreign)],
    middleware=[Middleware(SSEMiddleware)],
    lifespan=lifespan,
)
