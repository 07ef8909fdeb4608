"""``python -m examples.gateway``: a gateway in front of a model with OpenAI's interface.

    client = openai.OpenAI(base_url="http://127.0.0.1:8000/v1", api_key="...")
    client.chat.completions.create(model="...", messages=[...], stream=True)

A stream passes byte for byte, and any other answer as it is. It needs httpx.

    UPSTREAM_URL  of the model, such as https://api.openai.com/v1 or http://localhost:11434/v1
    UPSTREAM_KEY  the gateway's own key. Without it the client's key is passed on
    HIDE          a field that is removed from each chunk of a stream, such as system_fingerprint
"""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import (
    ServerSentEvent,
    SSEMiddleware,
    UpstreamError,
    event_stream,
    presets,
    relay,
)

UPSTREAM_URL = os.environ.get("UPSTREAM_URL", "http://localhost:11434/v1")
UPSTREAM_KEY = os.environ.get("UPSTREAM_KEY")
HIDE = os.environ.get("HIDE")

THINKS = 120.0
"""Seconds that a model may take for its first byte, and between two chunks."""

OF_THE_REQUEST = (400, 404, 409, 413, 422, 429)
"""What the upstream says about these is for the client. The rest is about the gateway."""


def hide(event: ServerSentEvent) -> Any:
    """Remove a field from a chunk."""
    chunk = event.json()
    del chunk[HIDE]
    return chunk


@event_stream(preset=presets.OPENAI, commit_after=THINKS)
async def complete(request: Request) -> Any:
    client: httpx.AsyncClient = request.state.client
    body = await request.body()
    key = f"Bearer {UPSTREAM_KEY}" if UPSTREAM_KEY else request.headers.get("authorization", "")
    headers = {"authorization": key, "content-type": "application/json"}
    if json.loads(body).get("stream"):
        upstream = client.stream("POST", "/chat/completions", content=body, headers=headers)
        return relay(upstream, map=hide if HIDE else None)
    answer = await client.post("/chat/completions", content=body, headers=headers)
    return Response(answer.content, answer.status_code, media_type=answer.headers["content-type"])


async def refuse(_request: Request, error: Exception) -> Response:
    """Answer a stream that the upstream has refused."""
    assert isinstance(error, UpstreamError)
    print(error, flush=True)
    if error.upstream_status in OF_THE_REQUEST:
        return Response(error.body, error.upstream_status, error.headers, error.media_type)
    reason = {"message": "The model can't be reached.", "type": "server_error", "code": None}
    return JSONResponse({"error": reason}, error.status_code, error.headers)


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
    timeout = httpx.Timeout(10, read=THINKS)
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=UPSTREAM_URL, timeout=timeout, limits=limits) as client:
        yield {"client": client}


app = Starlette(
    routes=[Route("/v1/chat/completions", complete, methods=["POST"])],
    exception_handlers={UpstreamError: refuse},
    lifespan=lifespan,
)
app.add_middleware(SSEMiddleware)

if __name__ == "__main__":
    serve(app)
