"""The application whose synchronous generators block after their clients have left.

It tells what happens as `drain_app` does. It also tells ``blocks`` when a generator is about to
block, and ``ended`` when a stream has ended.
"""

import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from sse_middleware import EncodingError, SSEMiddleware, event_stream
from sse_middleware.observers import StreamClosed, StreamRecord

from .drain_app import lifespan, plain, tell

CLEANUP = 0.5
"""The `cleanup_timeout`, in seconds."""

MAX_STREAMS = 5

PATIENCE = 5.0
"""Seconds that each thread has to end."""

release = threading.Event()


def waiting(_: Request) -> Iterator[str]:
    """Wait for what never comes."""
    yield "open"
    tell("blocks")
    queue.Queue[str]().get()


def held(_: Request) -> Iterator[str]:
    """Wait until the application is told to release it."""
    try:
        yield "open"
        tell("blocks")
        release.wait()
    finally:
        tell("closed")


def foreign(request: Request) -> StreamingResponse:
    """Have Starlette pull the generator, in threads of anyio's pool."""
    content = (b'data: "open"\n\n' for _ in held(request))
    return StreamingResponse(content, media_type="text/event-stream")


async def pooled(request: Request) -> AsyncIterator[object]:
    """Wait for a thread of anyio's pool."""
    async for item in iterate_in_threadpool(held(request)):
        yield item


def refused(_: Request) -> Iterator[object]:
    """Yield nothing that can be sent, and hear nothing of that."""
    try:
        yield "open"
        while True:
            with suppress(EncodingError):
                yield object()
    finally:
        tell("closed")


def worker_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("sse_middleware ")]


def threads(_: Request) -> JSONResponse:
    return JSONResponse(len(worker_threads()))


def joined(_: Request) -> JSONResponse:
    """Answer when the threads have ended, or at least after a while."""
    for one in worker_threads():
        one.join(PATIENCE)
    return JSONResponse(len(worker_threads()))


def let_go(_: Request) -> PlainTextResponse:
    release.set()
    return PlainTextResponse("released")


def tell_of_end(record: StreamRecord) -> None:
    if isinstance(record, StreamClosed):
        tell("ended")


app = Starlette(
    routes=[
        Route("/plain", plain),
        Route("/waiting", event_stream(waiting)),
        Route("/held", event_stream(held)),
        Route("/foreign", foreign),
        Route("/pooled", event_stream(pooled)),
        Route("/refused", event_stream(refused)),
        Route("/refused-for-a-moment", event_stream(max_duration=0.5)(refused)),
        Route("/threads", threads),
        Route("/joined", joined),
        Route("/let-go", let_go),
    ],
    middleware=[
        Middleware(
            SSEMiddleware,
            max_streams=MAX_STREAMS,
            cleanup_timeout=CLEANUP,
            observers=[tell_of_end],
        )
    ],
    lifespan=lifespan,
)
