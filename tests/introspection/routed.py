"""Streams of several kinds as endpoints, and the template of the path that a stream has."""

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sse_middleware import EventSourceResponse, SSEMiddleware, event_stream
from tests.served import ClosedStreams, client_of


@event_stream
async def stream(request: Request) -> AsyncIterator[int]:
    yield 1


async def foreign_stream(request: Request) -> Response:
    return StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream")


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a stream, as an application without routes."""
    await EventSourceResponse([1])(scope, receive, send)


async def template_of(
    app: Any, path: str, closed_streams: ClosedStreams, **options: Any
) -> str | None:
    """Request one stream, and return the template that observers are told."""
    async with client_of(app) as client, client.stream("GET", path, **options) as events:
        await events.next()
    return closed_streams.records[-1].stream.route


async def template_with(app: Any, path: str, *, middleware: str, **options: Any) -> str | None:
    """As `template_of`, for an application with the middleware ``inside`` or ``outside`` of it."""
    closed_streams = ClosedStreams()
    if middleware == "inside":
        app.add_middleware(SSEMiddleware, observers=[closed_streams])
    else:
        app = SSEMiddleware(app, observers=[closed_streams])
    return await template_of(app, path, closed_streams, **options)
