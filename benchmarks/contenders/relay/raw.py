"""A `StreamingResponse` of the upstream's bytes, which knows nothing of events."""

from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from benchmarks.contenders.relay.client import upstream


async def chunks(request: Request) -> AsyncIterator[bytes]:
    async with upstream(request) as response:
        async for chunk in response.aiter_raw():
            yield chunk


async def passed(request: Request) -> StreamingResponse:
    return StreamingResponse(chunks(request), media_type="text/event-stream")


app = Starlette(routes=[Route("/passed/{scene}", passed)])
