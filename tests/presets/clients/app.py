"""What goes wrong in a stream of each preset: it says something, is silent, then fails or hangs.

/NAME/fail/...   a keep-alive, then an error
/NAME/hang/...   until the server stops
"""

import sys
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route

from examples.presets import anthropic, openai
from sse_middleware import SSEMiddleware, event_stream, presets
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
    """An observer that wakes who waits for a keep-alive."""

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
        await pings.wait()
        raise RuntimeError("secret")

    return stream


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
    app = SSEMiddleware(Starlette(routes=routes(pings)), drain_grace=0, observers=[pings])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
