"""What users write by hand: httpx-sse decodes the upstream, and sse-starlette sends the events."""

import json
from collections.abc import AsyncIterator

from httpx_sse import EventSource, ServerSentEvent
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.contenders.relay.client import upstream


async def events(request: Request) -> AsyncIterator[ServerSentEvent]:
    async with upstream(request) as response:
        async for event in EventSource(response).aiter_sse():
            yield event


async def passed_events(request: Request) -> AsyncIterator[dict[str, str]]:
    async for event in events(request):
        yield {"data": event.data}


async def changed_events(request: Request) -> AsyncIterator[dict[str, str]]:
    async for event in events(request):
        chunk = json.loads(event.data)
        del chunk["system_fingerprint"]
        yield {"data": json.dumps(chunk)}


async def passed(request: Request) -> EventSourceResponse:
    return EventSourceResponse(passed_events(request))


async def changed(request: Request) -> EventSourceResponse:
    return EventSourceResponse(changed_events(request))


app = Starlette(routes=[Route("/passed/{scene}", passed), Route("/changed/{scene}", changed)])
