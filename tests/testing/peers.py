"""The same endpoints, by each way that there is to send events."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware, event_stream

LONG = "x" * 1000


class Items:
    """What the endpoints yield, and the log of what happens to them.

    Args:
        event: makes an event of data and an id.
    """

    def __init__(self, event: Callable[..., Any]) -> None:
        self.event = event
        self.log: list[str] = []

    async def three(self, request: Request) -> AsyncIterator[Any]:
        for number in range(3):
            yield self.event({"number": number})

    async def endless(self, request: Request) -> AsyncIterator[Any]:
        try:
            for number in range(1_000_000):
                yield self.event(number)
                await anyio.sleep(1)
        finally:
            self.log.append("finally")

    async def burst(self, request: Request) -> AsyncIterator[Any]:
        try:
            while True:
                self.log.append("yield")
                yield self.event(LONG)
        finally:
            self.log.append("finally")

    async def early(self, request: Request) -> AsyncIterator[Any]:
        raise LookupError("early")
        yield self.event(0)

    async def late(self, request: Request) -> AsyncIterator[Any]:
        yield self.event(1)
        await anyio.sleep(1)
        raise LookupError("late")

    async def echo(self, request: Request) -> AsyncIterator[Any]:
        body = await request.body()
        yield self.event([request.method, request.headers.get("x-name")])
        yield self.event(json.loads(body or b"null"))

    async def resume(self, request: Request) -> AsyncIterator[Any]:
        number = int(request.headers.get("last-event-id", 0)) + 1
        yield self.event(number, id=str(number))
        await anyio.sleep_forever()

    def all(self) -> dict[str, Callable[[Request], AsyncIterator[Any]]]:
        """Return each endpoint under its name, which is its path."""
        names = ("three", "endless", "burst", "early", "late", "echo", "resume")
        return {name: getattr(self, name) for name in names}


def _plain(data: Any, id: str | None = None) -> Any:
    """Return data as it is, where nothing else is to be said."""
    return data if id is None else ServerSentEvent(data=data, id=id)


def _keyword(event: Callable[..., Any], data: Any, id: str | None = None) -> Any:
    return event(data=data, id=id)


def _framed(data: Any, id: str | None = None) -> bytes:
    return f"data: {json.dumps(data)}\n{'' if id is None else f'id: {id}'}\n\n".encode()


def _routes(items: Items, answer: Callable[[Any], Callable[..., Any]]) -> list[Route]:
    both = ["GET", "POST"]
    return [Route(f"/{name}", answer(one), methods=both) for name, one in items.all().items()]


def _returns(response: Callable[[Any], Response], items: Callable[..., Any]) -> Callable[..., Any]:
    async def endpoint(request: Request) -> Response:
        await _read_body(request)
        return response(items(request))

    return endpoint


async def _read_body(request: Request) -> None:
    """Read the body before the response listens to what else comes."""
    await request.body()


def _fastapi(items: Items, response_class: type[Response]) -> FastAPI:
    app = FastAPI(dependencies=[Depends(_read_body)])
    for name, one in items.all().items():
        add = app.api_route(f"/{name}", methods=["GET", "POST"], response_class=response_class)
        add(one)
    return app


def tagged_with_middleware(items: Items) -> ASGIApp:
    return Starlette(routes=_routes(items, event_stream), middleware=[Middleware(SSEMiddleware)])


def tagged_alone(items: Items) -> ASGIApp:
    return Starlette(routes=_routes(items, event_stream))


def response_class(items: Items) -> ASGIApp:
    pytest.importorskip("fastapi", minversion="0.135")  # before, its endpoints couldn't yield
    app = _fastapi(items, EventSourceResponse)
    app.add_middleware(SSEMiddleware)
    return app


def by_hand(items: Items) -> ASGIApp:
    response = partial(StreamingResponse, media_type="text/event-stream")
    return Starlette(routes=_routes(items, partial(_returns, response)))


def fastapi_native(items: Items) -> ASGIApp:
    sse = pytest.importorskip("fastapi.sse")
    items.event = partial(_keyword, sse.ServerSentEvent)
    return _fastapi(items, sse.EventSourceResponse)


def sse_starlette(items: Items) -> ASGIApp:
    library = pytest.importorskip("sse_starlette")
    if int(version("sse_starlette").partition(".")[0]) < 3:
        pytest.skip("before 3.0 all its streams share an event of one event loop")
    return Starlette(routes=_routes(items, partial(_returns, library.EventSourceResponse)))


def _as_dict(data: Any, **fields: str) -> dict[str, str]:
    return {"data": json.dumps(data), **fields}


@dataclass(frozen=True)
class Peer:
    """One way, and what is true for it alone."""

    make: Callable[[Items], ASGIApp]
    event: Callable[..., Any] = _plain
    status_of_early_failure: int = 200
    """Of the response of an endpoint that fails before its first event."""
    raises: type[Exception] = LookupError
    """What comes out where an endpoint raises a `LookupError`: this, or a group with it."""
    may_raise_when_left: tuple[type[Exception], ...] = ()
    """Errors of its own, where its client leaves within a burst, if the tasks fall so."""

    def app(self) -> tuple[ASGIApp, list[str]]:
        """Return the application and its log."""
        items = Items(self.event)
        return self.make(items), items.log


PEERS = [
    Peer(tagged_with_middleware, status_of_early_failure=500),
    Peer(tagged_alone, status_of_early_failure=500),
    Peer(response_class, status_of_early_failure=500),
    Peer(by_hand, _framed),
    # Its task group raises what a task of it did, in a group.
    Peer(fastapi_native, raises=ExceptionGroup, may_raise_when_left=(ExceptionGroup,)),
    Peer(sse_starlette, _as_dict),
]
