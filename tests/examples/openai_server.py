"""A model with OpenAI's interface: it repeats the question, word by word.

Before it says "..." it waits until /go is requested. A line on stdout tells when the stream of an
answer has ended.
"""

import argparse
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse
from sse_middleware.presets import OPENAI


class Gate:
    """What answers wait for."""

    def __init__(self) -> None:
        self.open = anyio.Event()

    async def go(self, _: Request) -> Response:
        self.open.set()
        self.open = anyio.Event()
        return Response()


async def answer(words: list[str], gate: Gate) -> AsyncIterator[dict[str, Any]]:
    try:
        yield {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}
        for word in words:
            if word == "...":
                await gate.open.wait()
            yield {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]}
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield {"choices": [], "usage": {"total_tokens": len(words)}}
    finally:
        print("the answer has ended", flush=True)  # noqa: T201 - the test reads it


async def complete(request: Request) -> Response:
    if request.headers["authorization"] != "Bearer secret":
        return JSONResponse({"error": {"message": "the key is wrong"}}, 401)
    body = await request.json()
    assert (body["model"], body["stream"]) == ("parrot", True)
    words = body["messages"][-1]["content"].split()
    return EventSourceResponse(answer(words, request.app.state.gate), preset=OPENAI)


def make_app() -> Starlette:
    gate = Gate()
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", complete, methods=["POST"]),
            Route("/go", gate.go, methods=["POST"]),
        ]
    )
    app.state.gate = gate
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    uvicorn.run(make_app(), host="127.0.0.1", port=port, log_level="warning")
