"""The objects of a stream are freed when it ends, without the garbage collector.

A collection stops all streams at once, and the objects that wait for it take memory. This holds on
asyncio. On trio, nurseries and tasks refer to each other.
"""

import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any

import anyio
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

import sse_middleware
from sse_middleware import EventSourceResponse, LegacyRoute, SSEMiddleware, event_stream
from sse_middleware.settings import StreamSettings
from tests.served import OopsError

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

PACKAGE = sse_middleware.__name__


async def numbers(_request: Request) -> AsyncIterator[int]:
    for number in range(3):
        yield number


async def idle(_request: Request) -> AsyncIterator[int]:
    yield 0
    await anyio.sleep_forever()
    yield 0  # it could go on


async def sending(_request: Request) -> AsyncIterator[int]:
    while True:
        yield 0
        await anyio.lowlevel.checkpoint()


def plain(_request: Request) -> Iterator[int]:
    yield from range(3)


async def failing(_request: Request) -> AsyncIterator[int]:
    yield 0
    raise OopsError


async def failing_at_once(_request: Request) -> AsyncIterator[int]:
    raise OopsError
    yield


async def adopted(_request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[bytes]:
        yield b"data: 0\n\n"
        yield b"data: 1\n\n"

    return StreamingResponse(body(), media_type="text/event-stream")


STREAMS: dict[str, Any] = {
    "finishes": event_stream(numbers),
    "idle": event_stream(idle),
    "sending": event_stream(sending),
    "in a thread": event_stream(plain),
    "fails": event_stream(failing),
    "fails at once": event_stream(failing_at_once),
    "compressed": event_stream(compression=True)(idle),
    "finishes unread": event_stream(on_disconnect="finish")(numbers),
    "adopted": adopted,
}


def of_starlette(endpoint: Any) -> Any:
    return Starlette(routes=[Route("/", endpoint)])


def of_fastapi(endpoint: Any) -> Any:
    app = FastAPI()
    app.get("/", response_model=None)(endpoint)
    return app


class Visit:
    """A request as most servers hold it: its `receive` knows the scope. It ends with a body."""

    def __init__(self, until: Callable[[], Awaitable[object]] | None = None) -> None:
        self._arrived = anyio.Event()
        self._until = until or self._arrived.wait
        self._messages: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/",
            "root_path": "",
            "query_string": b"",
            "headers": [(b"accept", b"text/event-stream"), (b"accept-encoding", b"gzip")],
        }

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop()
        await self._until()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message.get("body"):
            self._arrived.set()


async def visit(
    app: Any, *, until: Callable[[], Awaitable[object]] | None = None, **scope: object
) -> None:
    """Request a stream, and leave once a body has arrived."""
    one = Visit(until)
    one.scope.update(scope)
    with suppress(OopsError):
        await app(one.scope, one.receive, one.send)


@contextmanager
def garbage() -> Iterator[list[str]]:
    """Collect the objects of ours that the block makes and only the collector frees."""
    found: list[str] = []
    gc.collect()
    gc.disable()
    try:
        yield found
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        found += [repr(thing) for thing in gc.garbage if is_ours(thing)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def is_ours(thing: Any) -> bool:
    if isinstance(thing, TracebackType):
        thing = thing.tb_frame
    if isinstance(thing, FrameType):
        name: Any = thing.f_globals.get("__name__")
    else:
        name = getattr(thing, "__module__", None) or type(thing).__module__
    return str(name).partition(".")[0] == PACKAGE


@pytest.mark.parametrize("framework", [of_starlette, of_fastapi])
@pytest.mark.parametrize("stream", STREAMS)
async def test_a_stream_that_has_ended_is_freed(
    framework: Callable[[Any], Any], stream: str
) -> None:
    app = SSEMiddleware(framework(STREAMS[stream]), drain=False)
    await visit(app)  # makes what is made once
    with garbage() as found:
        await visit(app)
    assert found == []


async def test_a_stream_whose_client_stays_is_freed() -> None:
    app = SSEMiddleware(of_starlette(STREAMS["finishes"]), drain=False)
    await visit(app)
    with garbage() as found:
        await visit(app, until=anyio.sleep_forever)
    assert found == []


async def test_a_stream_that_is_drained_is_freed() -> None:
    for _ in range(2):
        app = SSEMiddleware(of_starlette(STREAMS["idle"]), drain=False, drain_grace=0.0)
        with garbage() as found:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(visit, app)
                await anyio.wait_all_tasks_blocked()
                await app.drain()
    assert found == []


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_request_without_a_stream_is_freed(kind: str) -> None:
    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": f"{kind}.response.start", "status": 204})
        await send({"type": f"{kind}.response.body"})

    app = SSEMiddleware(answer, drain=False)
    await visit(app, type=kind)
    with garbage() as found:
        await visit(app, type=kind)
    assert found == []


async def test_a_polled_request_is_freed() -> None:
    async def document(_request: Request) -> JSONResponse:
        return JSONResponse({})

    route = LegacyRoute("/", poll=0.01)
    app = SSEMiddleware(of_starlette(document), legacy=[route], drain=False)
    await visit(app)
    with garbage() as found:
        await visit(app)
    assert found == []


async def test_a_response_without_the_middleware_is_freed() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(idle(Request(scope)))(scope, receive, send)

    await visit(app)
    with garbage() as found:
        await visit(app)
    assert found == []


async def test_garbage_would_be_found() -> None:
    with garbage() as found:
        settings = StreamSettings()
        object.__setattr__(settings, "ping", settings)
        del settings
    assert found
