"""`@event_stream` above the decorator of a route has no effect, so the server doesn't start."""

from collections.abc import AsyncIterator, Callable, Iterator
from functools import wraps
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from sse_middleware import ConfigurationError, EventSourceResponse, SSEMiddleware, event_stream

MESSAGE = r"\.events \(.*\): @event_stream has no effect above the route's decorator. Write it"


async def numbers() -> AsyncIterator[int]:
    yield 1


def of_an_application(**route: Any) -> FastAPI:
    app = FastAPI()

    @event_stream(ping_interval=5)
    @app.get("/", response_model=None, **route)
    async def events() -> AsyncIterator[int]:
        yield 1

    return app


def of_a_plain_generator() -> FastAPI:
    app = FastAPI()

    @event_stream
    @app.post("/", response_model=None)
    def events() -> Iterator[int]:
        yield 1

    return app


def of_a_router() -> FastAPI:
    app, router = FastAPI(), APIRouter()

    @event_stream
    @router.get("/x", response_model=None)
    async def events() -> AsyncIterator[int]:
        yield 1

    app.include_router(router, prefix="/r")
    return app


def of_a_mount() -> Starlette:
    return Starlette(routes=[Mount("/m", of_an_application())])


def of_starlette() -> Starlette:
    async def events(_request: Request) -> AsyncIterator[int]:
        yield 1

    app = Starlette(routes=[Route("/", events)])
    event_stream(events)
    return app


def with_a_response_class() -> FastAPI:
    return of_an_application(response_class=EventSourceResponse)


@pytest.mark.parametrize("openapi", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        of_an_application,
        of_a_plain_generator,
        of_a_router,
        of_a_mount,
        of_starlette,
        with_a_response_class,
    ],
)
class TestIsRefused:
    def test_when_the_application_starts(self, make: Callable[[], Any], openapi: bool) -> None:
        app = make()
        app.add_middleware(SSEMiddleware, openapi=openapi)
        with pytest.raises(ConfigurationError, match=MESSAGE), TestClient(app):
            pass

    def test_at_the_first_request_and_at_each(self, make: Callable[[], Any], openapi: bool) -> None:
        client = TestClient(SSEMiddleware(make(), openapi=openapi))
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=MESSAGE):
                client.get("/")


def test_the_server_is_told_not_to_start() -> None:
    """A server that may do without a lifespan goes on after any other error."""
    app = SSEMiddleware(of_an_application())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    call = app({"type": "lifespan"}, receive, send)
    with pytest.raises(ConfigurationError):
        call.send(None)
    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "@event_stream has no effect" in sent[0]["message"]


def test_a_function_may_be_an_endpoint_in_both_ways() -> None:
    app = FastAPI()
    app.add_middleware(SSEMiddleware)
    app.get("/raw", response_model=None, response_class=EventSourceResponse)(numbers)
    app.get("/tagged")(event_stream(numbers))
    with TestClient(app) as client:
        assert client.get("/tagged").text == "data: 1\n\n"


def test_what_wraps_a_tagged_function_is_no_mistake() -> None:
    async def events(_request: Request) -> AsyncIterator[int]:
        yield 1

    endpoint = event_stream(events)

    @wraps(events)
    async def wrapper(request: Request) -> Any:
        return await endpoint(request)

    app = Starlette(routes=[Route("/", wrapper), Route("/wrapped", wraps(endpoint)(wrapper))])
    app.add_middleware(SSEMiddleware)
    with TestClient(app) as client:
        assert client.get("/").text == "data: 1\n\n"


def test_an_application_that_mounts_itself_is_looked_at_once() -> None:
    app = of_an_application()
    app.mount("/again", app)
    app.add_middleware(SSEMiddleware)
    with pytest.raises(ConfigurationError, match=MESSAGE), TestClient(app):
        pass
