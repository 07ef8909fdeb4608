"""Falcon on ASGI: its own events, and streams of lines."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import falcon.asgi
from falcon.asgi import Request, Response, SSEvent

from tests.frameworks.apps import bodies
from tests.frameworks.journal import heard, tell


async def some(count: int) -> AsyncIterator[SSEvent]:
    for number in range(count):
        yield SSEvent(json={"n": number}, event="n", event_id=str(number), comment="c")


async def first() -> AsyncIterator[SSEvent]:
    try:
        yield SSEvent(text="first")
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def all_first() -> AsyncIterator[SSEvent]:
    try:
        while True:
            yield SSEvent(text="first")
    finally:
        tell("closed")


async def two() -> AsyncIterator[SSEvent]:
    yield SSEvent(text="first")
    yield SSEvent(text="second")
    await heard()
    raise RuntimeError("broken")


async def two_at_once() -> AsyncIterator[SSEvent]:
    yield SSEvent(text="first")
    yield SSEvent(text="second")
    raise RuntimeError("broken")


class Page:
    async def on_get(self, _: Request, response: Response) -> None:
        response.media = {"n": 0}


class Events:
    async def on_get(self, request: Request, response: Response) -> None:
        response.sse = some(request.get_param_as_int("count", required=True))


class Handmade:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "text/event-stream"
        response.stream = bodies.frames(request.get_param_as_int("count", required=True))


class Lines:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "application/x-ndjson"
        response.stream = bodies.json_lines(request.get_param_as_int("count", required=True))


class SomeEvents:
    def __init__(self, events: Callable[[], AsyncIterator[SSEvent]]) -> None:
        self.events = events

    async def on_get(self, _: Request, response: Response) -> None:
        response.sse = self.events()


class SomeLines:
    def __init__(self, body: Callable[[], AsyncIterator[bytes]]) -> None:
        self.body = body

    async def on_get(self, _: Request, response: Response) -> None:
        response.content_type = "application/x-ndjson"
        response.stream = self.body()


RESOURCES: dict[str, Any] = {
    "/page": Page(),
    "/events": Events(),
    "/handmade": Handmade(),
    "/quiet": SomeEvents(first),
    "/endless": SomeEvents(all_first),
    "/broken": SomeEvents(two),
    "/abrupt": SomeEvents(two_at_once),
    "/lines": Lines(),
    "/quiet-lines": SomeLines(bodies.quiet_lines),
    "/endless-lines": SomeLines(bodies.endless_lines),
    "/broken-lines": SomeLines(bodies.broken_lines),
}

app = falcon.asgi.App()
for path, resource in RESOURCES.items():
    app.add_route(path, resource)
