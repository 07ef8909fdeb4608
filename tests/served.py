"""Small applications, often a single response, run by the test kit or called by hand."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint
from starlette.types import Message, Send

from sse_middleware import CloseReason, SSEMiddleware
from sse_middleware.observers import StreamClosed, StreamRecord
from sse_middleware.testing import EventClient, EventStream


class OopsError(Exception):
    """An error of the user's own."""


class ClosedStreams:
    """An observer that keeps the record of each closed stream. A test can wait for it."""

    def __init__(self) -> None:
        self.records: list[StreamClosed] = []
        self._more = anyio.Event()

    def __call__(self, record: StreamRecord) -> None:
        if isinstance(record, StreamClosed):
            self.records.append(record)
            self._more.set()
            self._more = anyio.Event()

    @property
    def reasons(self) -> list[CloseReason]:
        return [record.reason for record in self.records]

    async def wait_for(self, count: int) -> list[CloseReason]:
        """Wait until this many streams are closed, and return why they were."""
        while len(self.records) < count:
            await self._more.wait()
        return self.reasons


def observed(app: Any, **settings: Any) -> tuple[SSEMiddleware, ClosedStreams]:
    """Put the middleware around an application, and an observer into it."""
    closed_streams = ClosedStreams()
    return SSEMiddleware(app, observers=[closed_streams], **settings), closed_streams


def client_of(app: Any, **options: Any) -> EventClient:
    """Return a client of an application without a lifespan. Its long timeout is virtual time."""
    return EventClient(app, run_lifespan=False, timeout=10_000, **options)


@asynccontextmanager
async def events_of(app: Any, method: str = "GET", **options: Any) -> AsyncIterator[EventStream]:
    """Open a stream. At the end the client disconnects."""
    async with client_of(app, **options) as client, client.stream(method, "/") as events:
        yield events


@asynccontextmanager
async def chunks_of(
    app: Any, method: str = "GET", **options: Any
) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """Open a stream whose client reads a message only when it is asked for one."""
    async with (
        client_of(app, **options) as client,
        client.http.stream(method, "/") as response,
        raw(response) as chunks,
    ):
        yield chunks


@asynccontextmanager
async def raw(response: httpx.Response) -> AsyncIterator[AsyncGenerator[bytes, None]]:
    """Return the chunks of a response, each of them one message."""
    chunks: Any = response.aiter_raw()
    try:
        yield chunks
    finally:
        with anyio.CancelScope() as scope:  # httpx leaves generators open at a `yield`
            scope.cancel()
            await anext(chunks, None)


async def body_of(app: Any, method: str = "GET", **request: Any) -> bytes:
    """Return the whole body of a stream that ends."""
    async with client_of(app) as client:
        return (await client.http.request(method, "/", **request)).content


async def swallow(_message: Message) -> None:
    """Send to nowhere."""
    await checkpoint()


async def call(
    app: Any,
    *,
    leave: Callable[[], Awaitable[object]] = anyio.sleep_forever,
    send: Send = swallow,
) -> None:
    """Call `app` as a server whose client disconnects when `leave` returns."""

    async def receive() -> Message:
        await leave()
        return {"type": "http.disconnect"}

    await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)
