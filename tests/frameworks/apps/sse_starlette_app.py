"""sse-starlette, with Starlette."""

from collections.abc import AsyncIterator

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.frameworks.apps import bodies, starlette_app


async def some(count: int) -> AsyncIterator[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent(f'{{"n":{number}}}', id=str(number), event="n", comment="c")


async def events(request: Request) -> Response:
    return EventSourceResponse(some(int(request.query_params["count"])))


async def quiet(_: Request) -> Response:
    return EventSourceResponse(bodies.quiet_texts())


async def endless(_: Request) -> Response:
    return EventSourceResponse(bodies.endless_texts())


async def broken(_: Request) -> Response:
    return EventSourceResponse(bodies.broken_texts())


async def abrupt(_: Request) -> Response:
    return EventSourceResponse(bodies.abrupt_texts())


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
