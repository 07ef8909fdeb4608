"""``python -m examples.presets.anthropic``: messages for Anthropic's clients.

client = anthropic.Anthropic(base_url="http://127.0.0.1:8000", api_key="none")
client.messages.stream(model="echo", max_tokens=100, messages=[...])
"""

from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import event_stream, presets


@event_stream(preset=presets.ANTHROPIC)
async def messages(request: Request) -> AsyncIterator[dict[str, Any]]:
    asked = await request.json()
    words = asked["messages"][-1]["content"].split()
    yield {"type": "message_start", "message": message(asked["model"])}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    for word in words:
        delta = {"type": "text_delta", "text": f"{word} "}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
        await anyio.sleep(0.05)
    yield {"type": "content_block_stop", "index": 0}
    stop = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": len(words)}}
    yield {"type": "message_stop"}


def message(model: str) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


app = Starlette(routes=[Route("/v1/messages", messages, methods=["POST"])])

if __name__ == "__main__":
    serve(app)
