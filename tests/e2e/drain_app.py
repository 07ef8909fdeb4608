"""The application whose streams end when its server is told to stop.

What happens is told by lines on stdout, which several workers share with what the server prints:

- ``started``: a worker, by its lifespan
- ``told``: the word has come that the server is to stop
- ``opened`` and ``closed``: a generator, and an `await` in its ``finally`` has completed

It runs on asyncio and on trio.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware import ServerSentEvent, SSEMiddleware, event_stream
from sse_middleware.shutdown import listen

FAREWELL = 1234
"""The milliseconds of the ``retry`` that each stream ends with."""

CLEANUP = 0.05
"""Seconds that the ``finally`` of a generator takes."""


def tell(what: str) -> None:
    """Print a line in one piece, whoever else prints."""
    os.write(1, f"{what}\n".encode())


class Draining:
    """Has the streams below end, and the server wait for them. Its place is the middleware's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._told: anyio.Event | None = None  # made in the event loop
        self._streams = 0
        self._fewer = anyio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, self._when_no_streams_are_left(receive), send)
            return
        if self._told is None:
            self._told = anyio.Event()
            listen(self._hear)
        scope["told"] = self._told
        self._streams += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._streams -= 1
            self._fewer.set()
            self._fewer = anyio.Event()

    def _hear(self) -> None:
        assert self._told is not None
        self._told.set()
        tell("told")

    def _when_no_streams_are_left(self, receive: Receive) -> Receive:
        """Let the lifespan shut down last: granian waits for nothing else."""

        async def received() -> Message:
            message = await receive()
            while message["type"] == "lifespan.shutdown" and self._streams:
                await self._fewer.wait()
            return message

        return received


@asynccontextmanager
async def told_about() -> AsyncIterator[None]:
    tell("opened")
    try:
        yield
    finally:
        on_trio = anyio.get_cancelled_exc_class() is not asyncio.CancelledError
        with anyio.CancelScope(shield=on_trio):  # there, no await of a cancelled block completes
            await anyio.sleep(CLEANUP)
        tell("closed")


async def stream(request: Request) -> AsyncIterator[Any]:
    async with told_about():
        yield "open"
        await request.scope["told"].wait()
        yield ServerSentEvent(retry=FAREWELL)


async def deaf(_: Request) -> AsyncIterator[str]:
    """Don't end, whoever is told what."""
    async with told_about():
        yield "open"
        await anyio.sleep_forever()


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    tell("started")
    yield


def made() -> Starlette:
    """Make one more application."""
    return Starlette(
        routes=[
            Route("/plain", plain),
            Route("/stream", event_stream(stream)),
            Route("/deaf", event_stream(deaf)),
        ],
        middleware=[Middleware(Draining), Middleware(SSEMiddleware)],
        lifespan=lifespan,
    )


app = made()

two = Starlette(routes=[Mount("/one", made()), Mount("/other", made())], lifespan=lifespan)
"""Two applications, each with a middleware of its own."""
