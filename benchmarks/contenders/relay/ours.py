"""`relay`: byte for byte, with a function that returns the event, and with one that changes it."""

from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from benchmarks.contenders.relay.client import upstream
from sse_middleware import ServerSentEvent, SSEMiddleware, event_stream, relay


def unchanged(event: ServerSentEvent) -> ServerSentEvent:
    return event


def without_fingerprint(event: ServerSentEvent) -> Any:
    chunk = event.json()
    del chunk["system_fingerprint"]
    return chunk


async def passed(request: Request) -> Any:
    return relay(upstream(request))


async def read(request: Request) -> Any:
    return relay(upstream(request), map=unchanged)


async def changed(request: Request) -> Any:
    return relay(upstream(request), map=without_fingerprint)


app = Starlette(
    routes=[
        Route("/passed/{scene}", event_stream(passed)),
        Route("/read/{scene}", event_stream(read)),
        Route("/changed/{scene}", event_stream(changed)),
    ]
)
app.add_middleware(SSEMiddleware)
