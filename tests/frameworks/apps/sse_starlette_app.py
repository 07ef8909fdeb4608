"""sse-starlette, with Starlette."""

from collections.abc import AsyncIterator

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.frameworks.apps import starlette_app
from tests.frameworks.journal import tell


async def some(count: int) -> AsyncIterator[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent(f'{{"n":{number}}}', id=str(number), event="n", comment="c")


async def none() -> AsyncIterator[str]:
    try:
        yield "0"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def two() -> AsyncIterator[str]:
    yield "0"
    yield "1"
    raise RuntimeError("broken")


async def events(request: Request) -> Response:
    return EventSourceResponse(some(int(request.query_params["count"])))


async def quiet(_: Request) -> Response:
    return EventSourceResponse(none())


async def broken(_: Request) -> Response:
    return EventSourceResponse(two())


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/quiet", quiet),
        Route("/broken", broken),
        Route("/lines", starlette_app.lines),
    ]
)
