"""An application that the inspector shows: ``python -m tests.browser.inspected_app --port 8000``.

A client with the cookie ``operator`` may look. At ``/_sse`` it may act, too.
"""

import argparse
from collections.abc import AsyncIterator
from typing import Any

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from sse_middleware import (
    EventSourceResponse,
    Hub,
    Inspector,
    Keep,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    last_event_id,
)

hub = Hub(keep=Keep(50))


@event_stream(ping_interval=0.5)
async def clock(request: Request) -> AsyncIterator[ServerSentEvent]:
    """Count on from where the client has been, and end after five."""
    begun = int(last_event_id(request) or 0)
    for number in range(begun + 1, begun + 6):
        data = {"number": number, "note": "größer ✓"}
        yield ServerSentEvent(data=data, event="tick", id=str(number), retry=200)
        await anyio.sleep(0.1)


@event_stream(ping_interval=0.3)
async def quiet(_request: Request) -> AsyncIterator[Any]:
    """Say hello, then only keep alive."""
    yield {"hello": "I am quiet"}
    await anyio.sleep_forever()


@event_stream(ping_interval=None)
async def plot(_request: Request) -> AsyncIterator[Any]:
    """Send ten numbers a second."""
    while True:
        yield {"value": 17}
        await anyio.sleep(0.1)


@event_stream
async def failing(_request: Request) -> AsyncIterator[Any]:
    """Fail after the first event."""
    yield "all is well"
    raise RuntimeError("a secret")


@event_stream
async def named(request: Request) -> AsyncIterator[Any]:
    """Send an event whose name, data and id are the request's."""
    said = request.query_params["said"]
    yield ServerSentEvent(data={"said": said}, event=said, id=said, comment=said)
    await anyio.sleep_forever()


@event_stream(ping_interval=None)
async def many(_request: Request) -> AsyncIterator[Any]:
    """Send more lines than the console keeps, and then a large one."""
    for number in range(1000):
        yield {"number": number}
    yield "x" * 5_000_000
    await anyio.sleep_forever()


async def retrying(request: Request) -> Response:
    """Say when to come back, and end."""
    body = f"retry: {request.query_params['after']}\nid: 1\ndata: 1\n\n"
    return Response(body, media_type="text/event-stream")


async def endless(_request: Request) -> Response:
    """Send one line that never ends."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"data: " + b"x" * 100_000

    return StreamingResponse(body(), media_type="text/event-stream")


async def room(request: Request) -> Response:
    """Subscribe to a topic."""
    return EventSourceResponse(hub.subscribe(request.query_params["topic"]))


async def publish(request: Request) -> Response:
    """Publish what the query says."""
    query = request.query_params
    return JSONResponse({"id": await hub.publish(query["topic"], query["said"], event="message")})


async def answer() -> AsyncIterator[str]:
    """Yield tokens until it is stopped."""
    while True:
        yield "token"
        await anyio.sleep(0.2)


async def run(request: Request) -> Response:
    """View a run, which begins with its first viewer."""
    return EventSourceResponse(await hub.resumable(request.query_params["key"], answer))


async def sign_in(request: Request) -> Response:
    """Become an operator."""
    response = RedirectResponse(request.query_params["to"])
    response.set_cookie("operator", "yes", samesite="lax")
    return response


async def foreign(request: Request) -> Response:
    """Be a page that would like to act, in a frame or by itself."""
    target = request.query_params["of"]
    return HTMLResponse(f'<title>foreign</title><iframe src="{target}/_sse/"></iframe>')


def is_operator(request: Request) -> bool:
    """Return whether a request has the cookie."""
    return request.cookies.get("operator") == "yes"


def client_of(connection: HTTPConnection) -> str:
    """Return what a client calls itself: it may say anything."""
    return connection.headers.get("x-client", "browser")


app = Starlette(
    routes=[
        Route("/clock", clock),
        Route("/quiet/{name:path}", quiet),
        Route("/plot", plot),
        Route("/failing", failing),
        Route("/named", named),
        Route("/many", many),
        Route("/retrying", retrying),
        Route("/endless", endless),
        Route("/room", room),
        Route("/publish", publish),
        Route("/run", run),
        Route("/sign-in", sign_in),
        Route("/foreign", foreign),
        Mount("/_sse", Inspector(authorize=is_operator, control=True, interval=0.2)),
        Mount("/only-look/_sse", Inspector(authorize=is_operator, interval=0.2)),
    ],
    middleware=[
        Middleware(
            SSEMiddleware,
            hub=hub,
            client_key=lambda one: one.headers.get("x-client") or "127.0.0.1",
        )
    ],
)


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    """Be the application, and a proxy before it that cuts off a prefix."""
    if scope["type"] == "http" and scope["path"].startswith("/behind/"):
        scope = {**scope, "path": scope["path"].removeprefix("/behind")}
    await app(scope, receive, send)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvicorn.run(served, port=parser.parse_args().port, log_level="error")
