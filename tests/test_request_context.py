"""What a response finds of the middleware above it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.request_context import RequestContext
from tests.served import body_of, call

pytestmark = pytest.mark.anyio


async def ticks() -> AsyncIterator[None]:
    yield None


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


async def test_each_request_has_its_own_and_there_is_none_without_a_middleware() -> None:
    found: list[RequestContext | None] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        found.append(RequestContext.find(scope))

    middleware = SSEMiddleware(app, ping_interval=5)
    for entry in (middleware, middleware, app):
        await call(entry)
    first, second, without = found
    assert without is None
    assert first is not None
    assert second is not None
    assert first.connection is not second.connection
    assert first.settings is second.settings is middleware.settings
