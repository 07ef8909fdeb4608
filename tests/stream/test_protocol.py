"""The ASGI messages themselves, as an independent caller sees them: asgiref's, on asyncio."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from asgiref.testing import ApplicationCommunicator
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, SSEMiddleware, event_stream
from tests.served import OopsError

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True),
]
middleware = pytest.mark.parametrize("middleware", [True, False], ids=["with", "without"])

DISCONNECT = {"type": "http.disconnect"}
HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class Caller:
    """A server for one request, with asgiref in between: it reads what the application sends."""

    def __init__(self, app: Any, **scope: Any) -> None:
        request = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": []}
        self._asgi = ApplicationCommunicator(app, {**request, **scope})  # type: ignore[no-untyped-call]

    async def say(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self._asgi.send_input(message)  # type: ignore[no-untyped-call]

    async def next(self) -> dict[str, Any]:
        message: dict[str, Any] = await self._asgi.receive_output(1000)  # type: ignore[no-untyped-call]
        return message

    async def end(self) -> list[dict[str, Any]]:
        """Wait for the application's end, raise its error, return what it has sent unread."""
        await self._asgi.wait(1000)  # type: ignore[no-untyped-call]
        return self.unread()

    def unread(self) -> list[dict[str, Any]]:
        queue = self._asgi.output_queue
        return [queue.get_nowait() for _ in range(queue.qsize())]


def body(content: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": content, "more_body": more}


def request(content: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": content, "more_body": more}


async def slow(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await anyio.sleep(10)


def app_of(items: AsyncIterator[Any], *, middleware: bool, **options: Any) -> Any:
    response = EventSourceResponse(items, **options)
    return SSEMiddleware(response) if middleware else response


@middleware
async def test_a_stream_is_a_start_a_body_for_each_event_and_a_last_body(
    *, middleware: bool
) -> None:
    caller = Caller(app_of(slow(2), middleware=middleware))
    await caller.say(request())
    assert await caller.end() == [
        {"type": "http.response.start", "status": 200, "headers": HEADERS},
        body(b"data: 0\n\n"),
        body(b"data: 1\n\n"),
        body(b"", more=False),
    ]


async def test_events_that_are_ready_share_one_body() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        yield 2

    start, *bodies = await Caller(EventSourceResponse(items())).end()
    assert start["type"] == "http.response.start"
    assert bodies == [body(b"data: 1\n\ndata: 2\n\n", more=False)]


@middleware
async def test_a_disconnect_ends_the_application_without_another_message(
    *, middleware: bool
) -> None:
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
            yield 0  # it could go on
        finally:
            closed.append(True)

    caller = Caller(app_of(items(), middleware=middleware))
    await caller.say(request())
    await caller.next()
    assert await caller.next() == body(b"data: 0\n\n")
    await caller.say(DISCONNECT)
    assert await caller.end() == []
    assert closed == [True]


@middleware
async def test_an_error_after_the_first_item_leaves_the_body_open_and_is_raised(
    *, middleware: bool
) -> None:
    async def items() -> AsyncIterator[int]:
        yield 0
        raise OopsError

    caller = Caller(app_of(items(), middleware=middleware))
    await caller.say(request())
    with pytest.raises(OopsError):
        await caller.end()
    start, *bodies = caller.unread()
    assert start["status"] == 200
    assert bodies == [body(b"data: 0\n\n")]


@middleware
async def test_an_error_before_the_first_item_sends_nothing_and_is_raised(
    *, middleware: bool
) -> None:
    async def items() -> AsyncIterator[int]:
        raise OopsError
        yield 0

    caller = Caller(app_of(items(), middleware=middleware))
    await caller.say(request())
    with pytest.raises(OopsError):
        await caller.end()
    assert caller.unread() == []


async def test_a_head_request_gets_the_headers_and_an_empty_body() -> None:
    caller = Caller(SSEMiddleware(EventSourceResponse(slow(1))), method="HEAD")
    assert await caller.end() == [
        {"type": "http.response.start", "status": 200, "headers": HEADERS},
        body(b"", more=False),
    ]


async def test_a_websocket_is_denied_by_a_stream() -> None:
    app = SSEMiddleware(EventSourceResponse(slow(2), status_code=403))
    extensions: dict[str, Any] = {"websocket.http.response": {}}
    caller = Caller(app, type="websocket", method=None, extensions=extensions)
    await caller.say({"type": "websocket.connect"})
    start, *bodies = await caller.end()
    assert start == {"type": "websocket.http.response.start", "status": 403, "headers": HEADERS}
    assert {message["type"] for message in bodies} == {"websocket.http.response.body"}
    assert b"".join(message["body"] for message in bodies) == b"data: 0\n\ndata: 1\n\n"
    assert [message["more_body"] for message in bodies] == [True, True, False]


async def test_another_response_passes_message_by_message() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])
        await PlainTextResponse("plain")(scope, receive, send)

    upload = [request(b"up", more=True), request(b"load")]
    caller = Caller(SSEMiddleware(app), method="POST")
    await caller.say(*upload)
    start, only = await caller.end()
    assert seen == upload
    assert only == {"type": "http.response.body", "body": b"plain"}
    assert dict(start["headers"])[b"content-type"] == b"text/plain; charset=utf-8"


class Replacing(BaseHTTPMiddleware):
    """Discards the stream and answers itself."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        await call_next(request)
        return PlainTextResponse("instead")


@pytest.mark.parametrize("outer", [Replacing, SSEMiddleware])
async def test_a_stream_that_is_discarded_ends_before_its_client_leaves(outer: Any) -> None:
    inner: Any = SSEMiddleware if outer is Replacing else Replacing
    closed = []

    @event_stream
    async def endless(_request: Request) -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
            yield 0  # it could go on
        finally:
            closed.append(True)

    app = Starlette(routes=[Route("/", endless)], middleware=[Middleware(outer), Middleware(inner)])
    caller = Caller(app)
    await caller.say(request())  # and no http.disconnect
    _, *bodies = await caller.end()
    assert b"".join(message["body"] for message in bodies) == b"instead"
    assert closed == [True]
