"""What goes wrong in a stream of each preset: it says something, is silent, then fails or hangs.

/NAME/fail/...   keep-alives, then an error
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
from sse_middleware.preset import Preset

FIRST: dict[str, tuple[Preset, Any]] = {
    "openai": (presets.OPENAI, openai.chunk("echo", {"content": "Hello"})),
    "anthropic": (
        presets.ANTHROPIC,
        {"type": "message_start", "message": anthropic.message("echo")},
    ),
    "ai_sdk": (presets.AI_SDK, {"type": "start", "messageId": "msg_1"}),
}


def endpoint(preset: Preset, first: Any, fate: str) -> Any:
    @event_stream(preset=preset, ping_interval=0.05)
    async def stream(_: Request) -> AsyncIterator[Any]:
        yield first
        if fate == "hang":
            await anyio.sleep_forever()
        await anyio.sleep(0.3)
        raise RuntimeError("secret")

    return stream


def routes() -> list[BaseRoute]:
    return [
        Mount(
            f"/{name}/{fate}",
            routes=[Route("/{path:path}", endpoint(*one, fate), methods=["POST"])],
        )
        for name, one in FIRST.items()
        for fate in ("fail", "hang")
    ]


if __name__ == "__main__":
    app = SSEMiddleware(Starlette(routes=routes()), drain_grace=0)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="critical")
