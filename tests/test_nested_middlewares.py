"""Other middlewares around ours and inside of it."""

import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_middleware import SSEMiddleware, event_stream
from sse_middleware.testing import EventClient
from tests.served import raw

pytestmark = pytest.mark.anyio


class Passing(BaseHTTPMiddleware):
    """Adds a header, and nothing else."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-passed"] = "1"
        return response


class Replacing(BaseHTTPMiddleware):
    """Discards the stream and answers itself."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        await call_next(request)
        return PlainTextResponse("instead")


OTHERS = [
    Middleware(Passing),
    Middleware(GZipMiddleware, minimum_size=1),
    Middleware(CORSMiddleware, allow_origins=["*"]),
]
SSE = Middleware(SSEMiddleware, ping_interval=15)
STACKS = [
    *([SSE, other] for other in OTHERS),
    *([other, SSE] for other in OTHERS),
    *([*before, SSE, *after] for before, after in itertools.permutations([OTHERS, OTHERS[:1]])),
    OTHERS,
]


def names(stack: Sequence[Middleware]) -> str:
    return "-".join(middleware.cls.__name__ for middleware in stack)  # type: ignore[attr-defined]


log: dict[str, list[str]] = {}


@event_stream
async def events(request: Request) -> AsyncIterator[str]:
    trace = log.setdefault(request.headers["x-test"], [])
    try:
        yield "x" * 2000
        await anyio.sleep(40)
        yield "late"
        await anyio.sleep_forever()
        yield ""  # it could go on
    finally:
        trace.append("finally")


ROUTES = [
    Route("/events", events),
    Mount("/mounted", routes=[Route("/events", events)]),
    Mount("/sub", Starlette(routes=[Route("/events", events)])),
]
HEADERS = {"accept-encoding": "gzip", "origin": "http://example.org"}


@pytest.mark.parametrize("stack", STACKS, ids=names)
@pytest.mark.parametrize("path", ["/events", "/mounted/events", "/sub/events"])
async def test_each_event_passes_at_once_and_the_disconnect_arrives(
    stack: list[Middleware], path: str, request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    headers = {**HEADERS, "x-test": name}
    app = Starlette(routes=ROUTES, middleware=stack)
    async with (
        EventClient(app, headers=headers) as client,
        client.http.stream("GET", path) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in response.headers
        async with raw(response) as chunks:
            assert [await anext(chunks) for _ in range(4)] == [
                b'data: "%s"\n\n' % (b"x" * 2000),
                b": ping\n\n",
                b": ping\n\n",
                b'data: "late"\n\n',
            ]
        assert log[name] == []
        await response.aclose()
        assert log[name] == ["finally"]


@pytest.mark.parametrize("stack", [[SSE, Middleware(Replacing)], [Middleware(Replacing), SSE]])
async def test_a_stream_that_is_discarded_is_ended(
    stack: list[Middleware], request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    app = Starlette(routes=ROUTES, middleware=stack)
    async with EventClient(app, headers={"x-test": name}) as client:
        response = await client.http.get("/events")
        assert response.headers["content-type"].startswith("text/plain")
        assert response.content == b"instead"
        assert log[name] == ["finally"]


async def test_an_outer_middleware_sees_the_endpoint_in_the_scope() -> None:
    seen: list[Any] = []

    class Outer:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            seen.append(scope.get("endpoint"))

    app = Starlette(routes=ROUTES, middleware=[Middleware(Outer), SSE])
    headers = {"x-test": "outer"}
    async with EventClient(app, headers=headers) as client, client.stream("GET", "/events"):
        pass
    assert events in seen
