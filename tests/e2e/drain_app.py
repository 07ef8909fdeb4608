"""The application whose streams end when its server is told to stop.

What happens is told by lines on stdout, which several workers share with what the server prints:

- ``started``: a worker, by its lifespan
- ``told``: a generator has heard that the application drains
- ``opened`` and ``closed``: a generator, and an `await` in its ``finally`` has completed

It runs on asyncio and on trio.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware, event_stream

CLEANUP = 0.05
"""Seconds that the ``finally`` of a generator takes."""


def tell(what: str) -> None:
    """Print a line in one piece, whoever else prints."""
    os.write(1, f"{what}\n".encode())


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


async def stream(_: Request) -> AsyncIterator[str]:
    async with told_about():
        yield "open"
        await anyio.sleep_forever()
        yield ""  # it could go on


async def watching(request: Request) -> AsyncIterator[str]:
    """End by itself."""
    async with told_about():
        yield "open"
        await request.scope["sse_middleware"].draining.wait()
        yield "bye"


async def late(request: Request) -> AsyncIterator[str]:
    """Hear of the drain, and take longer than anyone waits."""
    async with told_about():
        yield "open"
        await request.scope["sse_middleware"].draining.wait()
        tell("told")
        await anyio.sleep_forever()
        yield ""  # it could go on


async def silent(_: Request) -> AsyncIterator[str]:
    """Have nothing to say, so that not even the status line is sent."""
    async with told_about():
        await anyio.sleep_forever()
        yield "never"


async def flow(_: Request) -> AsyncIterator[str]:
    """Have always more to say."""
    async with told_about():
        while True:
            yield "x" * 1024


async def drain(request: Request) -> PlainTextResponse:
    """Drain, as the application's own maintenance may."""
    tell("draining")
    await request.scope["sse_middleware"].drain()
    return PlainTextResponse("drained")


async def plain(_: Request) -> PlainTextResponse:
    return PlainTextResponse("plain")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    tell("started")
    yield


def listening(hub: Hub) -> Callable[[Request], Awaitable[EventSourceResponse]]:
    """Return an endpoint whose streams are subscribers."""

    async def listen(_: Request) -> EventSourceResponse:
        if not hub.is_open:
            await hub.open()  # daphne has no lifespan
        await hub.publish("room", "open", once="open")
        tell("opened")
        closed = BackgroundTask(tell, "closed")
        return EventSourceResponse(hub.subscribe("room", after="start"), background=closed)

    return listen


def made() -> Starlette:
    """Make one more application."""
    hub = Hub()
    return Starlette(
        routes=[
            Route("/plain", plain),
            Route("/stream", event_stream(stream)),
            Route("/hub", listening(hub)),
            Route("/silent", event_stream(commit_after=3600)(silent)),
            Route("/flow", event_stream(send_timeout=0.2)(flow)),
            Route("/drain", drain),
            Route("/watching", event_stream(watching)),
            Route("/late", event_stream(drain_grace=60)(late)),
        ],
        middleware=[Middleware(SSEMiddleware, hub=hub)],
        lifespan=lifespan,
    )


app = made()

two = Starlette(routes=[Mount("/one", made()), Mount("/other", made())], lifespan=lifespan)
"""Two applications, each with a middleware of its own."""
