"""`sse_middleware` under Starlette, for its memory beside the peers that run there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.contenders.items import ITEM
from sse_middleware import SSEMiddleware, event_stream


async def idle(_request: Request) -> AsyncIterator[Any]:
    yield ITEM
    await asyncio.Event().wait()


app = Starlette(routes=[Route("/idle", event_stream(idle))])
app.add_middleware(SSEMiddleware)
