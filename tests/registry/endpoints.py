"""An application with one endpoint for each kind of stream, and what happened in them."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, LegacyRoute, SSEMiddleware, event_stream
from sse_middleware.testing import EventClient

KINDS = ["response", "sync", "decorated", "foreign", "polled"]
each_kind = pytest.mark.parametrize("kind", KINDS)


class Foreign(Response):
    """A stream of events that another library sends."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.background = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        self.log.append("started")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = b"data: 1\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await anyio.sleep_forever()
        finally:
            self.log.append("closed")


class Endpoints:
    """One endpoint for each kind of stream, and what happened in them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.generators: list[Any] = []

    async def numbers(self) -> AsyncIterator[int]:
        self.log.append("started")
        try:
            yield 1
            await anyio.sleep_forever()
            yield 0  # it could go on
        finally:
            self.log.append("closed")

    def made(self, generator: Any) -> Any:
        """Keep a generator, so that only the stream closes it."""
        self.generators.append(generator)
        return generator

    async def response(self, _request: Request) -> Response:
        background = BackgroundTask(self.log.append, "background")
        return EventSourceResponse(self.made(self.numbers()), background=background)

    async def sync_response(self, _request: Request) -> Response:
        def numbers() -> Iterator[int]:
            self.log.append("started")
            yield 1

        return EventSourceResponse(self.made(numbers()))

    def decorated(self) -> Any:
        @event_stream
        def decorated(_request: Request) -> AsyncIterator[int]:
            generator: AsyncIterator[int] = self.made(self.numbers())
            return generator

        return decorated

    async def foreign(self, _request: Request) -> Response:
        return Foreign(self.log)

    async def polled(self, _request: Request) -> Response:
        return PlainTextResponse("1")

    def application(self, **options: Any) -> SSEMiddleware:
        routes = [
            Route("/response", self.response),
            Route("/sync", self.sync_response),
            Route("/decorated", self.decorated()),
            Route("/foreign", self.foreign),
            Route("/polled", self.polled),
        ]
        legacy = [LegacyRoute("/polled", poll=1.0)]
        return SSEMiddleware(Starlette(routes=routes), legacy=legacy, **options)


async def read_whole(client: EventClient, path: str) -> httpx.Response:
    return await client.http.get(path, headers={"accept": "text/event-stream"})
