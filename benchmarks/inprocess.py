"""What the middleware costs a request that is no stream: no server, no sockets.

The client accepts a stream, as a browser's ``EventSource`` does. It might get one.

Both applications run in the same event loop, in short rounds that take turns. The fastest round of
each is the one that nothing else disturbed. Their difference is the middleware's cost.
"""

import asyncio
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware import SSEMiddleware

REQUESTS = 1_000
"""Requests of one round. It takes about a millisecond: other processes seldom interrupt it."""

SCOPE: Scope = {
    "type": "http",
    "method": "GET",
    "path": "/",
    "headers": [(b"accept", b"text/event-stream")],
}


async def answer(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer with one body, like an ASGI application without a framework."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(_message: Message) -> None:
    """Send to nobody."""


async def seconds_per_request(app: ASGIApp) -> float:
    start = time.perf_counter()
    for _ in range(REQUESTS):
        await app(dict(SCOPE), receive, send)
    return (time.perf_counter() - start) / REQUESTS


async def overhead(rounds: int) -> float:
    alone: list[float] = []
    wrapped: list[float] = []
    middleware = SSEMiddleware(answer)
    for _ in range(rounds):
        alone.append(await seconds_per_request(answer))
        wrapped.append(await seconds_per_request(middleware))
    return min(wrapped) - min(alone)


def request_overhead(rounds: int) -> float:
    """Return the microseconds that the middleware adds to a request."""
    return asyncio.run(overhead(rounds)) * 1e6
