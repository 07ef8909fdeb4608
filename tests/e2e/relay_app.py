"""A gateway that relays the upstream at UPSTREAM."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import SSEMiddleware, event_stream, relay


@event_stream(send_timeout=None)
async def relayed(request: Request) -> Any:
    client: httpx.AsyncClient = request.state.client
    return relay(client.stream("GET", os.environ["UPSTREAM"], timeout=None))


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    async with httpx.AsyncClient() as client:
        yield {"client": client}


app = Starlette(routes=[Route("/", relayed)], lifespan=lifespan)
app.add_middleware(SSEMiddleware)
