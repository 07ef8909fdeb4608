"""`RequestContext` and `sse_context`: what is found of the middleware above."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import (
    ConfigurationError,
    EventSourceResponse,
    RequestContext,
    SSEMiddleware,
    event_stream,
    sse_context,
)
from sse_middleware.records import CloseReason
from sse_middleware.testing import EventClient
from tests.served import body_of, call

pytestmark = pytest.mark.anyio


async def ticks() -> AsyncIterator[None]:
    yield None


async def endless() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()
    yield 2  # it could go on


async def test_settings_of_the_response_lie_over_those_of_the_middleware() -> None:
    app = EventSourceResponse([None, 1], serializer=lambda _: "own", ping_interval=None)
    middleware = SSEMiddleware(app, ping="mw", serializer=lambda _: "mw")
    assert await body_of(middleware) == b": mw\n\ndata: own\n\n"


async def test_of_two_middlewares_the_inner_one_decides() -> None:
    app = SSEMiddleware(SSEMiddleware(EventSourceResponse(ticks()), ping="inner"), ping="outer")
    assert await body_of(app) == b": inner\n\n"


async def test_of_a_scope_that_is_copied_is_found_too() -> None:
    async def copying(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(ticks())({**scope}, receive, send)

    assert await body_of(SSEMiddleware(copying, ping="above")) == b": above\n\n"


async def test_a_stream_that_begins_after_its_request_ends_at_once() -> None:
    left: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        left.append((scope, receive, send))

    await call(SSEMiddleware(app))
    [(scope, receive, send)] = left
    with anyio.fail_after(5):
        await EventSourceResponse(endless())(scope, receive, send)
    slot = RequestContext.needed_by("the test", scope).slot
    assert slot is not None
    assert slot.reason is CloseReason.CLIENT_DISCONNECTED


async def test_a_handler_outside_of_the_middleware_may_answer_with_a_stream() -> None:
    async def failing(_request: Request) -> None:
        raise KeyError("no")

    async def handler(_request: Request, _error: Exception) -> EventSourceResponse:
        return EventSourceResponse(endless())

    app = Starlette(routes=[Route("/", failing)], exception_handlers={Exception: handler})
    app.add_middleware(SSEMiddleware, ping_interval=5, ping="ours")
    async with EventClient(app) as client, client.stream("GET", "/") as events:
        assert (await events.next()).json() == 1
        with pytest.raises(KeyError):  # Starlette raises it again
            await events.disconnect()


async def test_each_request_has_its_own_and_there_is_none_without_a_middleware() -> None:
    found: list[RequestContext | None] = []
    connections: list[object] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        found.append(context := RequestContext.find(scope))
        connections.append(context and context.connection)

    middleware = SSEMiddleware(app, ping_interval=5)
    for entry in (middleware, middleware, app):
        await call(entry)
    first, second, without = found
    assert without is None
    assert first is not None
    assert second is not None
    assert first is not second
    assert connections[0] is not connections[1]
    assert first.settings is second.settings is middleware.settings


async def until_the_drain(context: RequestContext) -> AsyncIterator[int | str]:
    yield context.stats().open
    await context.draining.wait()
    yield "farewell"


def starlette() -> Any:
    async def events(request: Request) -> AsyncIterator[int | str]:
        async for item in until_the_drain(sse_context(request)):
            yield item

    async def drain(request: Request) -> EventSourceResponse:
        await sse_context(request).drain()
        return EventSourceResponse([])

    return Starlette(routes=[Route("/events", event_stream(events)), Route("/drain", drain)])


def fastapi() -> Any:
    app = FastAPI()
    Context = Annotated[RequestContext, Depends(sse_context)]  # noqa: N806 - a type

    @app.get("/events")
    @event_stream
    async def events(context: Context) -> AsyncIterator[int | str]:
        async for item in until_the_drain(context):
            yield item

    @app.get("/drain", response_model=None)
    async def drain(context: Context) -> EventSourceResponse:
        await context.drain()
        return EventSourceResponse([])

    return app


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_an_application_learns_of_its_streams_by_the_context(make: Any) -> None:
    app = make()
    app.add_middleware(SSEMiddleware, drain_grace=100)
    async with (
        EventClient(app) as client,
        client.stream("GET", "/events") as events,
        anyio.create_task_group() as tasks,
    ):
        assert (await events.next()).json() == 1
        tasks.start_soon(client.http.get, "/drain")
        assert (await events.next()).json() == "farewell"


@pytest.mark.parametrize("make", [starlette, fastapi])
async def test_without_the_middleware_the_error_names_the_cure(make: Any) -> None:
    async with EventClient(make()) as client:
        with pytest.raises(ConfigurationError, match=r"app\.add_middleware\(SSEMiddleware\)"):
            await client.http.get("/events")
