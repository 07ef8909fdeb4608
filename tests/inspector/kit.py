"""Applications with an inspector, and what its page would know of them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from sse_middleware import (
    EventSourceResponse,
    Hub,
    Inspector,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    last_event_id,
    sse_context,
)
from sse_middleware.testing import EventClient, EventStream

ACT = {"sec-fetch-site": "same-origin", "x-sse-inspector": "1"}
"""The headers with which the page acts."""


def anybody(_request: Request) -> bool:
    return True


@event_stream
async def numbers(request: Request) -> AsyncIterator[Any]:
    """Yield as many numbers as the query says, then wait."""
    for number in range(int(request.query_params.get("count", 1))):
        yield number
    await anyio.sleep_forever()


@event_stream
async def finite(request: Request) -> AsyncIterator[Any]:
    yield ServerSentEvent(data=last_event_id(request), id="7")


@event_stream
async def failing(_request: Request) -> AsyncIterator[Any]:
    yield 1
    raise RuntimeError("a secret")


async def drain(request: Request) -> Response:
    await sse_context(request).drain()
    return PlainTextResponse("drained")


async def answer() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


def application(
    hub: Hub | None = None,
    *,
    settings: Any = None,
    hub_shown: Hub | None = None,
    **inspector: Any,
) -> Starlette:
    """Return an application, with its hub in the middleware."""

    async def room(request: Request) -> Response:
        assert hub is not None
        return EventSourceResponse(hub.subscribe(request.path_params["name"]))

    async def run(request: Request) -> Response:
        assert hub is not None
        return EventSourceResponse(await hub.resumable(request.path_params["key"], answer))

    options = {"ping_interval": None, "hub": hub, **(settings or {})}
    return Starlette(
        routes=[
            Route("/numbers", numbers),
            Route("/finite", finite),
            Route("/failing", failing),
            Route("/drain", drain),
            Route("/rooms/{name:path}", room),
            Route("/runs/{key:path}", run),
            Mount("/_sse", Inspector(**{"authorize": anybody, "hub": hub_shown, **inspector})),
        ],
        middleware=[Middleware(SSEMiddleware, **options)],
    )


class Page:
    """What a page knows: the lists as the changes have made them."""

    def __init__(self, events: EventStream) -> None:
        self.events = events
        self.hello: dict[str, Any] = {}
        self.latest: dict[str, Any] = {}
        self.rows: dict[str, dict[str, Any]] = {"streams": {}, "topics": {}, "runs": {}}
        self.order: dict[str, list[str]] = {"streams": [], "topics": [], "runs": []}
        self.closes: list[dict[str, Any]] = []

    async def next(self) -> "Page":
        """Take the next changes."""
        event = await self.events.next()
        if event.event == "hello":
            self.hello = event.json()
            return await self.next()
        assert event.event == "changes"
        self.latest = event.json()
        for name, rows in self.rows.items():
            change = self.latest.get(name, {"rows": {}})
            rows.update(change["rows"])
            self.order[name] = change.get("order", self.order[name])
        self.closes += self.latest.get("closes", [])
        return self

    async def until(self, holds: Callable[["Page"], bool]) -> "Page":
        """Take changes until a condition holds: some may be on their way."""
        while not holds(self):
            await self.next()
        return self

    def shown(self, name: str) -> list[dict[str, Any]]:
        return [self.rows[name][id_] for id_ in self.order[name]]

    @property
    def paths(self) -> list[str]:
        return [row["path"] for row in self.shown("streams")]


@asynccontextmanager
async def page_of(client: EventClient, query: str = "") -> AsyncIterator[Page]:
    """Open the stream of a page, and take what there is."""
    async with client.stream("GET", f"/_sse/stream{query}") as events:
        yield await Page(events).next()
