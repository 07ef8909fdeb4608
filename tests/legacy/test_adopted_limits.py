"""What answers events is under the policy of the application, whatever its client accepted."""

import asyncio
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import CloseReason, ServerSentEvent, SSEMiddleware
from sse_middleware.stream.closing import EVENT_TIMEOUT
from sse_middleware.testing import EventClient
from tests.legacy.apps import App, joined, part, sent, start
from tests.served import ClosedStreams, call, raw

pytestmark = pytest.mark.anyio

ACCEPTS = [None, "*/*", "application/json", "text/event-stream;q=0", "text/event-stream"]


class Foreign:
    """Not a generator: Starlette leaves one at a `yield` to the garbage collector."""

    def __init__(self) -> None:
        self._sent = False

    def __aiter__(self) -> "Foreign":
        return self

    async def __anext__(self) -> bytes:
        if self._sent:
            await anyio.sleep_forever()
        self._sent = True
        return b"data: 1\n\n"


async def events(_request: Request) -> Response:
    return StreamingResponse(Foreign(), media_type="text/event-stream")


async def created(_request: Request) -> Response:
    return StreamingResponse(Foreign(), 201, media_type="text/event-stream")


async def compressed(_request: Request) -> Response:
    coding = {"content-encoding": "gzip"}
    return StreamingResponse(Foreign(), headers=coding, media_type="text/event-stream")


async def later(_request: Request) -> Response:
    await anyio.sleep(0.3)
    return StreamingResponse(Foreign(), media_type="text/event-stream")


async def passing(request: Request, call_next: Any) -> Response:
    response: Response = await call_next(request)
    return response


def starlette() -> Any:
    endpoints = {"/": events, "/created": created, "/compressed": compressed, "/later": later}
    return Starlette(routes=[Route(path, endpoint) for path, endpoint in endpoints.items()])


def headers_of(accept: str | None) -> dict[str, str]:
    return {} if accept is None else {"accept": accept}


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "a middleware inside"])
async def test_a_foreign_stream_is_limited_pinged_and_drained(
    accept: str | None, inside: bool
) -> None:
    app = starlette()
    if inside:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    app.add_middleware(SSEMiddleware, max_streams=1, ping_interval=10, drain_grace=0)
    async with (
        EventClient(app) as client,
        client.http.stream("GET", "/", headers=headers_of(accept)) as response,
        raw(response) as chunks,
    ):
        assert response.status_code == 200
        assert await anext(chunks) == b"data: 1\n\n"
        refused = await client.http.get("/", headers=headers_of(accept))
        assert refused.status_code == 503
        assert await anext(chunks) == b": ping\n\n"


@pytest.mark.parametrize("accept", ACCEPTS)
async def test_it_is_ended_by_max_duration(accept: str | None) -> None:
    app = starlette()
    closed = ClosedStreams()
    app.add_middleware(SSEMiddleware, max_duration=10, observers=[closed])
    async with EventClient(app) as client:
        response = await client.http.get("/", headers=headers_of(accept))
        assert response.content == b"data: 1\n\n"
    assert closed.reasons == [CloseReason.MAX_DURATION]


@pytest.mark.parametrize("accept", ACCEPTS)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/", 200), ("GET", "/created", 201), ("GET", "/compressed", 200)],
)
async def test_no_method_status_or_coding_escapes_the_limits(
    accept: str | None, method: str, path: str, status: int
) -> None:
    app = starlette()
    closed = ClosedStreams()
    app.add_middleware(SSEMiddleware, max_streams=1, max_duration=10, observers=[closed])
    async with EventClient(app) as client:
        request = client.http.build_request(method, path, headers=headers_of(accept))
        response = await client.http.send(request, stream=True)
        assert response.status_code == status
        assert (await client.http.request(method, path)).status_code == 503
        async with raw(response) as chunks:
            assert b"".join([chunk async for chunk in chunks]) in (b"data: 1\n\n", b"")
    assert closed.reasons == [CloseReason.REFUSED, CloseReason.MAX_DURATION]


async def test_nothing_goes_into_a_compressed_stream() -> None:
    app = starlette()
    closed = ClosedStreams()
    app.add_middleware(
        SSEMiddleware, ping_interval=1, max_duration=10, max_event_size=1, observers=[closed]
    )
    messages = await sent(app, path="/compressed")
    assert joined(messages) == b"data: 1\n\n"
    assert messages[-1]["more_body"] is False
    assert closed.records[0].events == 1


async def test_a_compressed_stream_that_ends_stays_as_it_is() -> None:
    first = start(b"text/event-stream", headers=[(b"content-encoding", b"gzip")])
    messages = await sent(SSEMiddleware(App(first, part(b"\x1f\x8b"), part(b"\x08", more=False))))
    assert joined(messages) == b"\x1f\x8b\x08"
    assert (b"content-encoding", b"gzip") in messages[0]["headers"]
    assert messages[-1]["more_body"] is False


async def test_a_limit_within_a_foreign_event_is_told_once() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\nda", "more_body": True})
        await anyio.sleep_forever()

    closed = ClosedStreams()
    middleware = SSEMiddleware(app, idle_timeout=10, max_duration=10.5, observers=[closed])
    async with EventClient(middleware, run_lifespan=False) as client:
        begin = anyio.current_time()
        response = await client.http.get("/")  # time stands still while a task is always ready
        assert anyio.current_time() - begin == pytest.approx(10 + EVENT_TIMEOUT, abs=1)
    assert response.content == b"data: 1\n\nda"
    assert len(closed.reasons) == 1


async def test_a_stream_that_has_ended_at_a_boundary_is_not_ended_again() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\nda", "more_body": True})
        await anyio.sleep(10 + EVENT_TIMEOUT / 2)
        try:
            await send({"type": "http.response.body", "body": b"ta: 2\n\n", "more_body": True})
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2 * EVENT_TIMEOUT)

    def bye(_: CloseReason) -> ServerSentEvent:
        return ServerSentEvent(raw_data="bye")

    middleware = SSEMiddleware(app, idle_timeout=10, farewell=bye)
    async with EventClient(middleware, run_lifespan=False) as client:
        response = await client.http.get("/")
    assert response.content == b"data: 1\n\ndata: 2\n\ndata: bye\n\n"


@pytest.mark.parametrize("accept", [b"*/*", b"text/event-stream"])
@pytest.mark.parametrize("leaves", [0.1, 0.3, 0.5])
async def test_our_cancellation_never_reaches_the_server(accept: bytes, leaves: float) -> None:
    app = starlette()
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    app.add_middleware(SSEMiddleware)
    scope = {"type": "http", "method": "GET", "path": "/later", "headers": [(b"accept", accept)]}
    asked = False

    async def receive() -> Any:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await anyio.sleep(leaves)
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        await anyio.lowlevel.checkpoint()

    for _ in range(5):
        asked = False
        with anyio.fail_after(60):
            await app({**scope, "query_string": b"", "root_path": ""}, receive, send)
        assert not _cancellations()


def _cancellations() -> int:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return 0
    return 0 if task is None else task.cancelling()


async def test_a_key_that_can_not_be_made_leaves_the_error_page_to_the_application() -> None:
    def no_key(_connection: Any) -> str:
        raise LookupError("no key")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await StreamingResponse(Foreign(), media_type="text/event-stream")(scope, receive, send)
        except LookupError:
            await PlainTextResponse("the application's page", 400)(scope, receive, send)

    served = SSEMiddleware(app, max_streams_per_client=1, client_key=no_key)
    async with EventClient(served, run_lifespan=False) as client:
        response = await client.http.get("/")
    assert (response.status_code, response.text) == (400, "the application's page")


@pytest.mark.parametrize("accept", ACCEPTS)
async def test_what_is_no_stream_passes_as_it_is(accept: str | None) -> None:
    async def endpoint(_request: Request) -> Response:
        return JSONResponse({"a": 1})

    app = Starlette(routes=[Route("/", endpoint)])
    plain = app.build_middleware_stack()
    wrapped = SSEMiddleware(plain)
    answers = []
    for served in (plain, wrapped):
        async with EventClient(served, run_lifespan=False) as client:
            answer = await client.http.get("/", headers=headers_of(accept))
            answers.append((answer.status_code, answer.headers.raw, answer.content))
    assert answers[0] == answers[1]


async def test_what_ends_by_itself_while_it_drains_ends_well() -> None:
    ended = anyio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
        await ended.wait()

    middleware = SSEMiddleware(app, drain_grace=100)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message)

    async def one() -> None:
        await call(middleware, send=send)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(middleware.drain)
        await anyio.wait_all_tasks_blocked()
        ended.set()
    assert sent[-1]["more_body"] is False
    assert b"retry: " in b"".join(message.get("body", b"") for message in sent)


async def mid_event(then: list[bytes], cleanup: float = 0) -> tuple[bytes, list[CloseReason]]:
    """Drain a foreign stream that is within an event, and return its body."""
    go_on = anyio.Event()

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1\n\nda", "more_body": True})
        await go_on.wait()
        for body in then:
            await send({"type": "http.response.body", "body": body, "more_body": True})
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(cleanup)

    closed = ClosedStreams()
    middleware = SSEMiddleware(app, observers=[closed], drain_grace=0)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        sent.append(message)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, middleware, send=send))
        await anyio.wait_all_tasks_blocked()
        tasks.start_soon(middleware.drain)
        await anyio.sleep(0.1)
        go_on.set()
    assert sent[-1]["more_body"] is False
    return b"".join(message.get("body", b"") for message in sent), closed.reasons


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\n\r\n", b"\r\r"])
@pytest.mark.parametrize("comment", [b"", b": c\n"])
async def test_the_farewell_may_go_in_within_a_chunk(end: bytes, comment: bytes) -> None:
    rest = end + comment + b"data: "
    body, reasons = await mid_event([b"ta: 2" + rest + b"3", rest + b"4"])
    assert body.startswith(b"data: 1\n\ndata: 2" + end + b"retry: ")
    assert body.count(b"data") == 2
    assert reasons == [CloseReason.DRAINED]


@pytest.mark.parametrize("cleanup", [0, EVENT_TIMEOUT * 2])
async def test_the_farewell_waits_for_the_end_of_a_foreign_event(cleanup: float) -> None:
    body, reasons = await mid_event([b"ta: 2\n", b"\n"], cleanup)
    assert body.startswith(b"data: 1\n\ndata: 2\n\nretry: ")
    assert reasons == [CloseReason.DRAINED]


async def test_it_is_left_out_if_the_event_does_not_end() -> None:
    body, reasons = await mid_event([b"ta: 2"])
    assert body == b"data: 1\n\ndata: 2"
    assert reasons == [CloseReason.DRAINED]


@pytest.mark.parametrize("limit", ["max_duration", "idle_timeout"])
@pytest.mark.parametrize("rest", [[b"\n"], []], ids=["ends", "does not end"])
async def test_a_limit_waits_for_the_end_of_a_foreign_event_too(
    limit: str, rest: list[bytes]
) -> None:
    app = App(start(b"text/event-stream"), part(b"data: 1\n"), 2.5, *map(part, rest), 100.0)
    closed = ClosedStreams()
    settings: Any = {limit: 2}
    messages = await sent(SSEMiddleware(app, observers=[closed], **settings))
    assert joined(messages).partition(b"retry: ")[0] == b"data: 1\n" + b"".join(rest)
    assert messages[-1]["more_body"] is False
    assert closed.reasons == [CloseReason(limit)]


async def test_one_that_is_refused_may_send_from_another_task() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            response = StreamingResponse(Foreign(), media_type="text/event-stream")
            tasks.start_soon(response, scope, receive, send)

    middleware = SSEMiddleware(app, max_streams=1)
    async with EventClient(middleware, run_lifespan=False) as client, client.stream("GET", "/"):
        assert (await client.http.get("/")).status_code == 503


async def test_one_that_is_refused_may_go_on_sending() -> None:
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await StreamingResponse(Foreign(), media_type="text/event-stream")(scope, receive, send)
        finally:
            with anyio.CancelScope(shield=True):
                await send({"type": "http.response.body", "body": b"late"})
            sent.append("late")

    middleware = SSEMiddleware(app, max_streams=1)
    async with EventClient(middleware, run_lifespan=False) as client, client.stream("GET", "/"):
        refused = await client.http.get("/")
        assert refused.status_code == 503
        assert b"late" not in refused.content
        assert sent == ["late"]


async def test_a_slow_client_slows_a_foreign_application() -> None:
    event = b"data: " + b"x" * 50_000 + b"\n\n"
    go_on, sent, received = anyio.Event(), 0, b""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        nonlocal sent
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for _ in range(100):
            await send({"type": "http.response.body", "body": event, "more_body": True})
            sent += 1
        await send({"type": "http.response.body"})

    async def slow(message: Any) -> None:
        nonlocal received
        if message.get("body"):
            await go_on.wait()
        await anyio.lowlevel.checkpoint()
        received += message.get("body", b"")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, SSEMiddleware(app), send=slow))
        await anyio.wait_all_tasks_blocked()
        assert sent < 20
        go_on.set()
    assert received == event * 100
