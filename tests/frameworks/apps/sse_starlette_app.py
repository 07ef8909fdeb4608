"""sse-starlette, with Starlette."""

from collections.abc import AsyncIterator

import anyio
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.frameworks.apps import starlette_app
from tests.frameworks.journal import heard, tell


async def some(count: int) -> AsyncIterator[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent(f'{{"n":{number}}}', id=str(number), event="n", comment="c")


async def first() -> AsyncIterator[str]:
    try:
        yield "first"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def all_first() -> AsyncIterator[str]:
    try:
        while True:
            yield "first"
    finally:
        tell("closed")


async def two() -> AsyncIterator[str]:
    yield "first"
    yield "second"
    await heard()
    raise RuntimeError("broken")


async def two_at_once() -> AsyncIterator[str]:
    yield "first"
    yield "second"
    raise RuntimeError("broken")


async def events(request: Request) -> Response:
    return EventSourceResponse(some(int(request.query_params["count"])))


async def quiet(_: Request) -> Response:
    return EventSourceResponse(first())


async def endless(_: Request) -> Response:
    return EventSourceResponse(all_first())


async def broken(_: Request) -> Response:
    return EventSourceResponse(two())


async def abrupt(_: Request) -> Response:
    return EventSourceResponse(two_at_once())


app = Starlette(
    routes=[
        Route("/page", starlette_app.page),
        Route("/events", events),
        Route("/handmade", starlette_app.events),
        Route("/quiet", quiet),
        Route("/endless", endless),
        Route("/broken", broken),
        Route("/abrupt", abrupt),
        *starlette_app.LINES,
    ]
)
