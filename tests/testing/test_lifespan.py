"""The lifespan of an application, as the kit runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware import event_stream
from sse_middleware.testing import EventClient, NoAnswerError

pytestmark = pytest.mark.anyio


async def state(request: Request) -> Response:
    return JSONResponse({name: getattr(request.state, name) for name in request.query_params})


def only_lifespan(*answers: str, error: Exception | None = None) -> ASGIApp:
    """Return an application that gives these answers, each to one message."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for answer in answers:
            await receive()
            await send({"type": f"lifespan.{answer}"})
        await receive()
        if error is not None:
            raise error
        await anyio.sleep_forever()

    return app


async def test_surrounds_the_requests() -> None:
    log = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        log.append("up")
        yield
        log.append("down")

    @event_stream
    async def events(request: Request) -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            log.append("stream ended")

    app = Starlette(routes=[Route("/", events)], lifespan=lifespan)
    async with EventClient(app) as client:
        assert log == ["up"]
        await client.http.send(client.http.build_request("GET", "/"), stream=True)
    assert log == ["up", "stream ended", "down"]


async def test_each_request_has_a_copy_of_its_state() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {"opened": True}

    async def change(request: Request) -> Response:
        request.state.given = "changed"
        return JSONResponse(None)

    routes = [Route("/", state), Route("/change", change)]
    async with EventClient(
        Starlette(routes=routes, lifespan=lifespan), state={"given": 1}
    ) as client:
        await client.http.get("/change")
        answer = await client.http.get("/?opened&given")
    assert answer.json() == {"opened": True, "given": 1}


async def test_may_be_unknown_to_the_application() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http", "no lifespan here"
        await JSONResponse(1)(scope, receive, send)

    async with EventClient(app) as client:
        assert (await client.http.get("/")).json() == 1


async def test_may_be_switched_off() -> None:
    scopes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope["type"])
        await JSONResponse(1)(scope, receive, send)

    async with EventClient(app, run_lifespan=False) as client:
        await client.http.get("/")
    assert scopes == ["http"]


async def test_a_failed_startup_is_raised_with_its_reason() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield

    with pytest.raises(NoAnswerError, match="no database") as caught:
        async with EventClient(Starlette(lifespan=lifespan)):
            pytest.fail("it started")
    assert str(caught.value).startswith("lifespan.startup.failed: Traceback")
    assert isinstance(caught.value.__cause__, LookupError)


async def test_a_failed_shutdown_is_raised_with_its_reason() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        raise LookupError("still in use")

    with pytest.raises(NoAnswerError, match=r"shutdown\.failed(.|\n)*still in use"):
        async with EventClient(Starlette(lifespan=lifespan)):
            pass


@pytest.mark.parametrize(
    ("answers", "complaint"),
    [
        ([], "no lifespan.startup.complete within patience=2 s"),
        (["startup.complete"], "no lifespan.shutdown.complete within patience=2 s"),
        (["startup.failed"], "lifespan.startup.failed: without a message"),
        (["startup.complete", "shutdown.failed"], "lifespan.shutdown.failed: without a message"),
    ],
)
async def test_an_application_that_does_not_complete_it_is_an_error(
    answers: list[str], complaint: str
) -> None:
    with pytest.raises(NoAnswerError) as caught:
        async with EventClient(only_lifespan(*answers), patience=2):
            pass
    assert str(caught.value) == complaint


async def test_an_error_at_the_shutdown_is_raised_to_the_test() -> None:
    app = only_lifespan("startup.complete", error=LookupError("still in use"))
    with pytest.raises(LookupError, match="still in use"):
        async with EventClient(app):
            pass


async def test_shuts_down_also_after_a_request_that_failed() -> None:
    log = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        log.append("down")

    @event_stream
    async def events(request: Request) -> AsyncIterator[int]:
        yield 1
        raise LookupError("of the request")

    app = Starlette(routes=[Route("/", events)], lifespan=lifespan)
    with pytest.raises(LookupError, match="of the request"):
        async with EventClient(app) as client:
            await client.http.send(client.http.build_request("GET", "/"), stream=True)
    assert log == ["down"]


async def test_shuts_down_when_the_test_is_cancelled() -> None:
    log = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await anyio.sleep(1)
        log.append("down")

    with anyio.move_on_after(5) as scope:
        async with EventClient(Starlette(lifespan=lifespan)):
            await anyio.sleep(60)
    assert scope.cancelled_caught
    assert log == ["down"]


async def test_may_be_cancelled_during_the_startup() -> None:
    with anyio.move_on_after(5) as scope:
        async with EventClient(only_lifespan()):
            pytest.fail("it started")
    assert scope.cancelled_caught
