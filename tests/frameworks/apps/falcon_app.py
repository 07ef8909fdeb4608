"""Falcon on ASGI: its own events, and a stream of lines."""

from collections.abc import AsyncIterator

import anyio
import falcon.asgi
from falcon.asgi import Request, Response, SSEvent

from tests.frameworks.apps import starlette_app
from tests.frameworks.journal import tell


async def some(count: int) -> AsyncIterator[SSEvent]:
    for number in range(count):
        yield SSEvent(json={"n": number}, event="n", event_id=str(number), comment="c")


async def none() -> AsyncIterator[SSEvent]:
    try:
        yield SSEvent(text="0")
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def two() -> AsyncIterator[SSEvent]:
    yield SSEvent(text="0")
    yield SSEvent(text="1")
    raise RuntimeError("broken")


class Events:
    async def on_get(self, request: Request, response: Response) -> None:
        response.sse = some(request.get_param_as_int("count", required=True))


class Quiet:
    async def on_get(self, _: Request, response: Response) -> None:
        response.sse = none()


class Broken:
    async def on_get(self, _: Request, response: Response) -> None:
        response.sse = two()


class Lines:
    async def on_get(self, request: Request, response: Response) -> None:
        response.content_type = "application/x-ndjson"
        response.stream = starlette_app.json_lines(request.get_param_as_int("count", required=True))


app = falcon.asgi.App()
for path, resource in (
    ("/events", Events()),
    ("/quiet", Quiet()),
    ("/broken", Broken()),
    ("/lines", Lines()),
):
    app.add_route(path, resource)
