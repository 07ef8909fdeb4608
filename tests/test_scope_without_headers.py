"""A server may leave ``headers`` out of the scope: the specification gives them a default."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import (
    EventSourceResponse,
    LegacyRoute,
    SSEMiddleware,
    StreamStatsEndpoint,
    event_stream,
    last_event_id,
)
from sse_middleware.compat import sse_starlette as compat
from tests.served import call

pytestmark = pytest.mark.anyio


@event_stream
async def native(request: Request) -> AsyncIterator[str]:
    yield last_event_id(request)


async def compatible(_: Request) -> Response:
    return compat.EventSourceResponse([1])


async def streaming(chunk: bytes, media_type: str) -> Response:
    async def body() -> AsyncIterator[bytes]:
        yield chunk

    return StreamingResponse(body(), media_type=media_type)


async def events(_: Request) -> Response:
    return await streaming(b"data: 1\n\n", "text/event-stream")


async def lines(_: Request) -> Response:
    return await streaming(b"1\n", "application/x-ndjson")


async def document(_: Request) -> Response:
    return Response("1")


ENDPOINTS: dict[str, Any] = {
    "native": native,
    "compatible": compatible,
    "events": events,
    "lines": lines,
    "converted": lines,
    "polled": document,
    "document": document,
    "stats": StreamStatsEndpoint(),
}


async def statuses(app: Any, path: str) -> list[int]:
    sent: list[Any] = []
    arrived = anyio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if message.get("body"):
            arrived.set()

    async def headless(scope: Any, receive: Any, send: Any) -> None:
        del scope["headers"]
        scope["path"] = path
        await app(scope, receive, send)

    await call(headless, leave=arrived.wait, send=send)
    return [message["status"] for message in sent if "status" in message]


@pytest.mark.parametrize("name", ENDPOINTS)
async def test_every_kind_of_answer(name: str) -> None:
    app = SSEMiddleware(
        Starlette(routes=[Route(f"/{name}", ENDPOINTS[name])]),
        legacy=[LegacyRoute("/converted", always=True), LegacyRoute("/polled", poll=1)],
        compression=True,
    )
    assert await statuses(app, f"/{name}") == [200]


async def test_without_the_middleware() -> None:
    assert await statuses(EventSourceResponse([1], compression=True), "/") == [200]
