"""Endpoints that treat a subscription as something else: the error says what to do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from sse_middleware import Hub, SSEMiddleware, event_stream
from tests.served import client_of

pytestmark = pytest.mark.anyio

hub = Hub()
app = FastAPI()
app.add_middleware(SSEMiddleware)


@app.get("/returned", response_model=None)
async def returned() -> Any:
    return hub.subscribe("a")


@app.get("/iterated")
@event_stream
async def iterated() -> AsyncIterator[Any]:
    events: Any = hub.subscribe("a")
    async for event in events:
        yield event


@app.get("/in-a-loop")
@event_stream
async def in_a_loop() -> AsyncIterator[Any]:
    events: Any = hub.subscribe("a")
    for event in events:
        yield event


@pytest.mark.parametrize("path", ["/returned", "/iterated", "/in-a-loop"])
async def test_the_error_says_what_to_do(path: str) -> None:
    async with client_of(app) as client:
        with pytest.raises((TypeError, ValueError), match=r"return EventSourceResponse\(hub"):
            await client.http.get(path)
