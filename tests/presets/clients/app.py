"""What goes wrong in a stream of each preset: it says something, is silent, then fails or hangs.

/NAME/fail/...   a keep-alive, then an error
/NAME/hang/...   until the server stops
/ids, /bare      events with ids, and keep-alives between them, in /bare without blank lines
/back/...        an event with an id, then the id that the client comes back with
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from examples.presets import anthropic, openai
from sse_middleware import (
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    last_event_id,
    presets,
)
from sse_middleware.observers import PingSent, StreamRecord
from sse_middleware.presets.preset import Preset

FIRST: dict[str, tuple[Preset, Any]] = {
    "openai": (presets.OPENAI, openai.chunk("echo", {"content": "Hello"})),
    "anthropic": (
        presets.ANTHROPIC,
        {"type": "message_start", "message": anthropic.message("echo")},
    ),
    "ai_sdk": (presets.AI_SDK, {"type": "start", "messageId": "msg_1"}),
}


class Pings:
    """An observer that wakes the tests that wait for a keep-alive."""

    def __init__(self) -> None:
        self._next = anyio.Event()

    def __call__(self, record: StreamRecord) -> None:
        if isinstance(record, PingSent):
            self._next.set()
            self._next = anyio.Event()

    async def wait(self) -> None:
        await self._next.wait()


def endpoint(preset: Preset, first: Any, fate: str, pings: Pings) -> Any:
    @event_stream(preset=preset, ping_interval=0.05)
    async def stream(_: Request) -> AsyncIterator[Any]:
        yield first
        if fate == "hang":
            await anyio.sleep_forever()
            yield None  # it could go on
        await pings.wait()
        raise RuntimeError("secret")

    return stream


def with_ids(pings: Pings, **settings: Any) -> Any:
    """Return an endpoint whose clients see keep-alives before and after an id."""

    @event_stream(ping_interval=0.05, **settings)
    async def stream(_: Request) -> AsyncIterator[Any]:
        yield ServerSentEvent(data=FIRST["openai"][1])
        await pings.wait()
        yield ServerSentEvent(data=FIRST["openai"][1], id="7")
        for _again in range(3):
            await pings.wait()
        yield ServerSentEvent(data=FIRST["openai"][1])
        yield ServerSentEvent(raw_data="[DONE]")

    return stream


@event_stream
async def coming_back(request: Request) -> AsyncIterator[Any]:
    if not last_event_id(request):
        yield ServerSentEvent(data="first", id=request.path_params["id"], retry=1)
        return
    yield ServerSentEvent(data=last_event_id(request))
    await anyio.sleep_forever()


def page(_: Request) -> Response:
    return HTMLResponse("<p>A page of this origin.</p>")


def with_id_routes(pings: Pings) -> list[BaseRoute]:
    ids, bare = with_ids(pings), with_ids(pings, ping_blank_line=False)
    methods = ["GET", "POST"]
    return [
        Route("/", page),
        Route("/bare", bare, methods=methods),
        *(Route(path, ids, methods=methods) for path in ("/ids", "/ids/chat/completions")),
        Route("/back/{id}", coming_back),
    ]


def routes(pings: Pings) -> list[BaseRoute]:
    return [
        Mount(
            f"/{name}/{fate}",
            routes=[Route("/{path:path}", endpoint(*one, fate, pings), methods=["POST"])],
        )
        for name, one in FIRST.items()
        for fate in ("fail", "hang")
    ]


if __name__ == "__main__":
    pings = Pings()
    every_route = [*with_id_routes(pings), *routes(pings)]
    app = SSEMiddleware(Starlette(routes=every_route), drain_grace=0, observers=[pings])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
