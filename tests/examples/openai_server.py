"""A model with OpenAI's interface: it repeats the question, word by word.

A question that ends with "..." is never answered to its end. A line on stdout tells when the stream
of an answer has ended.
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


async def answer(words: list[str]) -> AsyncIterator[dict[str, Any]]:
    try:
        yield {"choices": [{"index": 0, "delta": {"role": "assistant"}}]}
        for word in words:
            yield {"choices": [{"index": 0, "delta": {"content": f"{word} "}}]}
        if words[-1].endswith("..."):
            await anyio.sleep_forever()
        yield {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        yield {"choices": [], "usage": {"total_tokens": len(words)}}
    finally:
        print("the answer has ended", flush=True)  # noqa: T201 - the test reads it


async def complete(request: Request) -> Response:
    if request.headers["authorization"] != "Bearer secret":
        return JSONResponse({"error": {"message": "the key is wrong"}}, 401)
    body = await request.json()
    assert (body["model"], body["stream"]) == ("parrot", True)
    return EventSourceResponse(answer(body["messages"][-1]["content"].split()), preset=OPENAI)


app = Starlette(routes=[Route("/v1/chat/completions", complete, methods=["POST"])])

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    uvicorn.run(app, host="127.0.0.1", port=parser.parse_args().port, log_level="warning")
