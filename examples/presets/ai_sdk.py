"""``python -m examples.presets.ai_sdk``: a chat for ``useChat`` of the Vercel AI SDK.

new DefaultChatTransport({api: "http://127.0.0.1:8000/api/chat"})
"""

from collections.abc import AsyncIterator

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import event_stream, presets


@event_stream(preset=presets.AI_SDK)
async def chat(request: Request) -> AsyncIterator[dict[str, str]]:
    asked = (await request.json())["messages"][-1]
    text = "".join(part["text"] for part in asked["parts"] if part["type"] == "text")
    yield {"type": "start", "messageId": "msg_1"}
    yield {"type": "text-start", "id": "text_1"}
    for word in text.split():
        yield {"type": "text-delta", "id": "text_1", "delta": f"{word} "}
        await anyio.sleep(0.05)
    yield {"type": "text-end", "id": "text_1"}
    yield {"type": "finish"}


app = Starlette(routes=[Route("/api/chat", chat, methods=["POST"])])

if __name__ == "__main__":
    serve(app)
