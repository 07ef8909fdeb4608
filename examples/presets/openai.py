"""``python -m examples.presets.openai``: chat completions for OpenAI's clients.

client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="none")
client.chat.completions.create(model="echo", messages=[...], stream=True)
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import event_stream, presets


@event_stream(preset=presets.OPENAI)
async def completions(request: Request) -> AsyncIterator[dict[str, Any]]:
    asked = await request.json()
    for word in asked["messages"][-1]["content"].split():
        yield chunk(asked["model"], {"role": "assistant", "content": f"{word} "})
        await anyio.sleep(0.05)
    yield chunk(asked["model"], {}, "stop")


def chunk(model: str, delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
    }


app = Starlette(routes=[Route("/v1/chat/completions", completions, methods=["POST"])])

if __name__ == "__main__":
    serve(app)
