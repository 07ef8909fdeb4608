"""Adopted responses: keep-alives, disconnects, errors, and cancellation."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from asgiref.testing import ApplicationCommunicator
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import EventSourceResponse, LegacyRoute, ServerSentEvent, SSEMiddleware
from sse_middleware.errors import BodyError
from sse_middleware.testing import EventClient, VirtualTime
from tests.legacy.apps import (
    NDJSON,
    App,
    Message,
    Send,
    joined,
    part,
    reading,
    sent,
    start,
    whole,
)
from tests.served import OopsError

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet")]
tidy = pytest.mark.usefixtures("nothing_left_behind")  # looks at all objects, so not everywhere

# ruff: noqa: SIM117 - a request within its client


async def test_keep_alives_come_between_events_and_never_within_one() -> None:
    for kind in (b"text/event-stream", NDJSON):
        framed = kind != NDJSON
        parts = [b"id: 1\nda", b"ta: x\n", b"\n", b"data: y\r\n", b"\r\n", b"data: z\n\n"]
        steps = [part(body) for body in (parts if framed else [b'"', b"x", b'"\n', b'"y"\n'])]
        pauses = [step for one in steps for step in (one, 40)]
        app = App(start(kind), *pauses, part(b"", more=False))
        served = SSEMiddleware(app, ping_interval=15, ping_blank_line=True)
        async with reading(served, timeout=1000) as client, client.stream("GET", "/") as stream:
            data = [event.raw_data async for event in stream]
            assert data == (["x", "y", "z"] if framed else ['"x"', '"y"'])
            assert len(stream.comments) == len(stream.body.split(b": ping\n\n")) - 1
            between = sum(
                body.endswith((b"\n\n", b"\r\n")) and body != b"data: y\r\n" for body in parts
            )
            assert len(stream.comments) >= 2 * (between if framed else len(steps))
            own = stream.body.replace(b": ping\n\n", b"")
            assert not framed or own == b"".join(parts)


async def test_keep_alives_have_no_blank_line_once_a_foreign_stream_has_sent_an_id() -> None:
    app = App(start(b"text/event-stream"), 20, part(b"id: 1\ndata: x\n\n"), 20)
    async with reading(SSEMiddleware(app)) as client, client.stream("GET", "/") as stream:
        await stream.next(30)
        await anyio.sleep(16)
        assert stream.body == b": ping\n\nid: 1\ndata: x\n\n: ping\n"


async def test_what_the_client_accepts_counts_although_the_application_sets_other_headers() -> None:
    app = App(start(NDJSON), part(b"1\n"), part(b"", more=False))

    async def resetting(scope: Any, receive: Any, send: Send) -> None:
        scope["headers"] = []
        await app(scope, receive, send)

    async with reading(SSEMiddleware(resetting)) as client, client.stream("GET", "/") as stream:
        assert [event.raw_data async for event in stream] == ["1"]


@pytest.mark.parametrize("size", [1, 2, 3, 10])
@pytest.mark.parametrize("event", [b"id: 1\ndata: x\n\n", b"data: x\nid:1\n\n"])
async def test_an_id_is_noticed_however_its_event_is_cut(event: bytes, size: int) -> None:
    cut = [part(event[at : at + size]) for at in range(0, len(event), size)]
    app = App(start(b"text/event-stream"), *cut, 20)
    async with reading(SSEMiddleware(app)) as client, client.stream("GET", "/") as stream:
        await stream.next_comment(30)
        assert stream.body == event + b": ping\n"


async def test_the_status_line_is_sent_at_once() -> None:
    app = App(start(), 10, part(b"1\n"), 1000)
    async with reading(SSEMiddleware(app, commit_after=0.5)) as client:
        before = anyio.current_time()
        async with client.stream("GET", "/") as stream:
            assert anyio.current_time() - before == pytest.approx(0)
            assert (await stream.next(20)).raw_data == "1"
            assert anyio.current_time() - before == pytest.approx(10)


async def test_no_message_is_sent_for_work_that_has_completed_nothing() -> None:
    app = whole(b"[%b1]" % (b" " * 200_000), kind=b"application/json")
    served = SSEMiddleware(app, legacy=[LegacyRoute("/", body="json")])
    _start, first, *others = await sent(served)
    assert first["body"] == b""  # some servers hold the headers back until there is a body
    assert [message["body"] for message in others] == [b"data: 1\n\n"]


async def test_a_route_has_settings_of_its_own() -> None:
    app = App(start(), part(b"1\n"), 100)
    served = SSEMiddleware(app, legacy=[LegacyRoute("/", ping_interval=1, ping="own")])
    async with reading(served) as client, client.stream("GET", "/") as stream:
        await anyio.sleep(10.5)
        assert stream.comments == ["own"] * 10


# The end of the connection


@tidy
async def test_a_disconnect_cancels_once_and_a_finally_may_await(
    virtual_time: VirtualTime,
) -> None:
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(start())
        await send(part(b"1\n"))
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            log.append("cancelled")
            raise
        finally:
            with anyio.CancelScope(shield=virtual_time.backend == "trio"):
                await anyio.sleep(1)
                await send(part(b"2\n"))
                log.append("cleaned up")

    async with reading(SSEMiddleware(app)) as client, client.stream("GET", "/") as stream:
        await stream.next()
        before = anyio.current_time()
        await stream.disconnect()
        assert anyio.current_time() - before == pytest.approx(1)
    assert log == ["cancelled", "cleaned up"]


@tidy
async def test_an_application_that_waits_for_room_is_cancelled_once() -> None:
    app = App(start(), *[part(b"1\n" * 5000)] * 50)
    served = SSEMiddleware(app)
    async with reading(served, window=1) as client, client.stream("GET", "/") as stream:
        await stream.next()
        await stream.disconnect()
    assert app.sent < 50
    assert app.log == ["cancelled", "finally"]


@tidy
async def test_the_application_may_read_the_disconnect() -> None:
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        async def listen() -> None:
            with anyio.CancelScope(shield=True):  # trio cancels children too
                while (await receive())["type"] != "http.disconnect":
                    pass
            log.append("http.disconnect")

        async with anyio.create_task_group() as tasks:
            await send(start())
            await send(part(b"1\n"))
            tasks.start_soon(listen)
            with anyio.CancelScope(shield=True):
                await left.wait()
                await anyio.sleep(1)

    left = anyio.Event()
    async with reading(SSEMiddleware(app)) as client, client.stream("GET", "/") as stream:
        await stream.next()
        left.set()
        await stream.disconnect()
    assert log == ["http.disconnect"]


@tidy
async def test_an_application_that_goes_on_is_ended_after_the_cleanup_timeout(
    virtual_time: VirtualTime,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ignored = 0

    async def app(scope: Any, receive: Any, send: Send) -> None:
        nonlocal ignored
        await send(start())
        await send(part(b"1\n"))
        while ignored < 3:
            try:
                await anyio.sleep(3)
                await send(part(b"2\n"))
            except anyio.get_cancelled_exc_class():
                ignored += 1
                if ignored == 2:
                    raise

    served = SSEMiddleware(app, cleanup_timeout=5)
    async with reading(served, timeout=100) as client, client.stream("GET", "/") as stream:
        await stream.next()
        before = anyio.current_time()
        await stream.disconnect()
        took = anyio.current_time() - before
    assert ignored == 2
    if virtual_time.backend == "asyncio":
        assert took == pytest.approx(5, abs=0.02)
        assert "GET / took more than cleanup_timeout to close" in caplog.text
    else:  # where each `await` is cancelled
        assert took == 0


@tidy
@pytest.mark.parametrize("blank", [True, False], ids=["no events", "after the end"])
async def test_an_application_that_never_stops_sending_does_not_stop_the_loop(blank: bool) -> None:
    log: list[str] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(start())
        await send(part(b"1\n", more=blank))
        try:
            while True:
                await send(part(b"\n"))
        finally:
            log.append("finally")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sent, SSEMiddleware(app))
        for _ in range(100):
            await checkpoint()
        assert not log
        tasks.cancel_scope.cancel()
    assert log == ["finally"]


@tidy
async def test_a_send_after_the_request_fails() -> None:
    kept: list[Send] = []

    async def app(_scope: Any, _receive: Any, send: Send) -> None:
        kept.append(send)
        await send(start())
        await send(part(b"1\n"))
        await anyio.sleep_forever()

    async with reading(SSEMiddleware(app)) as client, client.stream("GET", "/") as stream:
        await stream.next()
    with pytest.raises(BrokenPipeError, match="the request has ended"):
        await kept[0](part(b"2\n"))


async def test_a_slow_client_slows_the_application() -> None:
    line = b'"%b"\n' % (b"x" * 1000)
    app = App(start(), *[part(line)] * 500, part(b"", more=False))
    served = SSEMiddleware(app, max_buffer=10_000)
    async with reading(served, window=10_000) as client, client.stream("GET", "/") as stream:
        await stream.next()
        await anyio.sleep(10)
        before = app.sent
        assert before < 200  # two buffers, and what the client reads ahead
        await anyio.sleep(10)  # less than the send_timeout
        assert app.sent == before
        assert len([event async for event in stream]) == 499
    assert app.sent == 502


@tidy
async def test_two_tasks_of_the_application_may_send_to_a_slow_client() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        async def feed(name: bytes) -> None:
            for _ in range(100):
                await send(part(b'"%b"\n' % (name * 1000)))

        await send(start())
        async with anyio.create_task_group() as tasks:
            for name in (b"a", b"b", b"c"):
                tasks.start_soon(feed, name)
        await send(part(b"", more=False))

    served = SSEMiddleware(app, max_buffer=2000)
    async with reading(served, window=2000) as client, client.stream("GET", "/") as stream:
        await anyio.sleep(10)
        data = [event.raw_data async for event in stream]
    assert sorted(map(str, data)) == [f'"{name * 1000}"' for name in "abc" for _ in range(100)]


# Errors


@tidy
async def test_an_error_right_after_the_head_sends_nothing_and_is_raised() -> None:
    for script in ([OopsError("early")], [start(), OopsError("early")]):
        messages: list[Message] = []
        with pytest.raises(OopsError, match="early"):
            await sent(SSEMiddleware(App(*script), error_event=str), into=messages)
        assert messages == []


async def test_an_error_before_the_first_event_cuts_the_body_off() -> None:
    messages: list[Message] = []
    app = SSEMiddleware(App(start(), part(b"1"), 1, OopsError("early")))
    with pytest.raises(OopsError, match="early"):
        await sent(app, into=messages)
    assert messages[0]["status"] == 200
    assert all(message["more_body"] for message in messages[1:])


@tidy
async def test_an_error_after_events_sends_them_and_breaks_the_body() -> None:
    def report(error: Exception) -> ServerSentEvent:
        return ServerSentEvent(event="error", data=str(error))

    script = (start(), part(b"1\n2\n3"), OopsError("late"))
    cases: list[tuple[Any, bytes]] = [
        ({}, b""),
        ({"error_event": report}, b'event: error\ndata: "late"\n\n'),
    ]
    for settings, last in cases:
        messages: list[Message] = []
        with pytest.raises(OopsError, match="late"):
            await sent(SSEMiddleware(App(*script), **settings), into=messages)
        assert joined(messages) == b"data: 1\n\ndata: 2\n\n" + last
        assert all(message["more_body"] for message in messages[1:])


@tidy
async def test_a_malformed_body_fails_in_its_send_and_in_each_one_after() -> None:
    errors: list[BodyError] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(start())
        for more in (True, True, False):
            try:
                await send(part(b"1\nnope\n2\n", more=more))
            except BodyError as error:
                errors.append(error)

    served = SSEMiddleware(
        app, legacy=[LegacyRoute("/", malformed="fail")], error_event=lambda _: {"failed": True}
    )
    messages: list[Message] = []
    with pytest.raises(BodyError, match="GET /: piece 2 is malformed"):  # though it was swallowed
        await sent(served, into=messages)
    assert joined(messages) == b'data: 1\n\ndata: {"failed":true}\n\n'
    assert messages[-1]["more_body"]
    assert len(errors) == 3
    assert len({id(error) for error in errors}) == 1


@tidy
async def test_an_error_keeps_no_object_of_the_application_alive() -> None:
    class Payload:
        """Is in a frame of the application."""

    alive: list[weakref.ref[Payload]] = []

    async def app(scope: Any, receive: Any, send: Send) -> None:
        payload = Payload()
        alive.append(weakref.ref(payload))
        await send(start())
        await send(part(b"nope\n"))

    served = SSEMiddleware(app, legacy=[LegacyRoute("/", malformed="fail")])
    gc.disable()
    try:
        with pytest.raises(BodyError):
            await sent(served)
        assert [ref() for ref in alive] == [None]
    finally:
        gc.enable()


@tidy
async def test_a_body_without_its_last_message_is_broken() -> None:
    messages = await sent(SSEMiddleware(App(start(), part(b"1\n2"))))
    assert joined(messages) == b"data: 1\n\n"
    assert all(message["more_body"] for message in messages[1:])
    assert await sent(SSEMiddleware(App(start()))) == []


# Cancellation from outside


@tidy
@pytest.mark.parametrize(
    "script", [(100,), (start(), 100), (start(), part(b"1\n"), 100), (start(b"text/html"), 100)]
)
async def test_cancellation_from_outside_reaches_the_application_once(script: Any) -> None:
    app = App(*script)
    before = anyio.current_time()
    with anyio.move_on_after(7) as scope:
        await sent(SSEMiddleware(app))
    assert scope.cancelled_caught
    assert anyio.current_time() - before == pytest.approx(7)
    assert app.log == ["cancelled", "finally"]


@tidy
@pytest.mark.parametrize("script", [(100,), (start(), part(b"1\n"), 100)])
@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_cancellation_of_the_task_reaches_the_application_once(script: Any) -> None:
    app = App(*script)
    task = asyncio.ensure_future(sent(SSEMiddleware(app)))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.log == ["cancelled", "finally"]


@tidy
async def test_cancellation_from_outside_reaches_what_follows_the_body() -> None:
    app = App(start(), part(b"1\n", more=False), 100)
    messages: list[Message] = []
    with anyio.move_on_after(7) as scope:
        await sent(SSEMiddleware(app), into=messages)
    assert scope.cancelled_caught
    assert app.log == ["cancelled", "finally"]
    assert messages[-1] == part(b"data: 1\n\n", more=False)


# Other responses and middlewares


async def lines(count: int = 2, pause: float = 0) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{number}\n"
        await anyio.sleep(pause)


def starlette(endpoint: Any, *middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])], middleware=middleware)


class Passing(BaseHTTPMiddleware):
    """Adds a header, and nothing else."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        response.headers["x-passed"] = "1"
        return response


SSE = Middleware(SSEMiddleware, ping_interval=15)
PASSING = Middleware(Passing)


@tidy
async def test_what_follows_the_body_is_not_cancelled_by_its_end() -> None:
    log: list[float] = []

    async def background() -> None:
        await anyio.sleep(3)
        log.append(anyio.current_time())

    async def endpoint(request: Request) -> Response:
        task = BackgroundTask(background)
        return StreamingResponse(lines(), media_type="application/x-ndjson", background=task)

    async with EventClient(starlette(endpoint, SSE)) as client:
        async with client.stream("GET", "/") as stream:
            before = anyio.current_time()
            assert len([event async for event in stream]) == 2
            await anyio.sleep(5)
    assert log == [pytest.approx(before + 3)]


@tidy
async def test_what_follows_the_body_is_not_cancelled_by_a_disconnect() -> None:
    app = App(start(), part(b"1\n" * 20_000, more=False), 8)
    served = SSEMiddleware(app)
    async with reading(served, window=1) as client, client.stream("GET", "/") as stream:
        await stream.next()
        assert not app.log
        before = anyio.current_time()
        await stream.disconnect()
        assert anyio.current_time() - before == pytest.approx(8)
    assert app.log == ["finally"]


@tidy
async def test_a_native_stream_is_not_adopted() -> None:
    async def endpoint(request: Request) -> Response:
        return EventSourceResponse(numbers())

    async def numbers() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data=1, id="1")
        await anyio.sleep(40)

    for middleware in ([SSE], [SSE, SSE], [SSE, PASSING, SSE]):
        async with EventClient(starlette(endpoint, *middleware)) as client:
            async with client.stream("GET", "/") as stream:
                await stream.next()
                await anyio.sleep(35)
                assert stream.body == b"data: 1\nid: 1\n\n" + b": ping\n" * 2


STACKS = [
    [SSE],
    [SSE, SSE],
    [PASSING, SSE],
    [SSE, PASSING],
    [SSE, PASSING, SSE],
    [PASSING, SSE, PASSING, SSE, PASSING],
]


@tidy
@pytest.mark.parametrize("stack", STACKS, ids=len)
async def test_a_stream_passes_through_other_middlewares(stack: list[Middleware]) -> None:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        return StreamingResponse(produce(body), media_type="application/x-ndjson")

    async def produce(body: bytes) -> AsyncIterator[bytes]:
        try:
            yield b'"%b"\n' % body
            await anyio.sleep(20)
            yield b"2\n"
            await anyio.sleep(20)
        finally:
            log.append("finally")

    log: list[str] = []
    async with EventClient(starlette(endpoint, *stack), timeout=50) as client:
        async with client.stream("POST", "/", content=b"hello") as stream:
            assert (await stream.next()).raw_data == '"hello"'
            assert (await stream.next()).raw_data == "2"
            assert stream.body == b'data: "hello"\n\n: ping\n\ndata: 2\n\n'
            assert ("x-passed" in stream.response.headers) == (PASSING in stack)
            assert stream.response.headers.get_list("vary") == ["Accept"]
            await stream.disconnect()
            assert log == ["finally"]
        async with client.stream("POST", "/", content=b"again") as stream:
            assert len([event async for event in stream]) == 2
        plain = await client.http.post("/", content=b"x", headers={"accept": "*/*"})
        assert plain.content == b'"x"\n2\n'
        assert plain.headers["vary"] == "Accept"


@tidy
async def test_of_two_middlewares_the_inner_one_converts() -> None:
    inner = SSEMiddleware(whole(b"1\n"), legacy=[LegacyRoute("/", event="inner")])
    outer = SSEMiddleware(inner, legacy=[LegacyRoute("/", event="outer")])
    assert joined(await sent(outer)) == b"event: inner\ndata: 1\n\n"


@tidy
async def test_of_two_middlewares_the_outer_one_converts_what_the_inner_one_does_not_know() -> None:
    app = whole(b"1\n", kind=b"application/x-foo")
    outer = SSEMiddleware(SSEMiddleware(app), adapters={"application/x-foo": "lines"})
    assert joined(await sent(outer)) == b"data: 1\n\n"


@tidy
async def test_a_request_body_reaches_the_application_while_its_response_is_adopted() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        await send(start())
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send(part(b"%d\n" % len(message["body"])))
        await send(part(b"", more=False))

    async def upload() -> AsyncIterator[bytes]:
        for size in (5, 40_000, 50_000, 1):
            yield b"x" * size
            await anyio.sleep(1)

    async with reading(SSEMiddleware(app)) as client:
        async with client.stream("POST", "/", content=upload()) as stream:
            assert [event.json() async for event in stream] == [5, 40_000, 50_000, 1, 0]


@tidy
async def test_a_response_that_is_not_adopted_streams_as_before() -> None:
    async def endpoint(request: Request) -> Response:
        return StreamingResponse(lines(3, pause=10), media_type="text/html")

    async with EventClient(starlette(endpoint, SSE)) as client:
        async with client.stream("GET", "/") as stream:
            await anyio.sleep(5)
            assert stream.body == b"0\n"
            await anyio.sleep(10)
            assert stream.body == b"0\n1\n"
        async with client.stream("GET", "/") as stream:
            await stream.disconnect()


@tidy
async def test_a_middleware_that_answers_itself_ends_the_stream() -> None:
    log: list[str] = []

    class Replacing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            await call_next(request)
            return PlainTextResponse("instead")

    async def endpoint(request: Request) -> Response:
        return StreamingResponse(produce(), media_type="application/x-ndjson")

    async def produce() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"1\n"
                await anyio.sleep(1)
        finally:
            log.append("finally")

    app = starlette(endpoint, Middleware(Replacing), SSE)
    async with EventClient(app) as client, client.stream("GET", "/") as stream:
        with pytest.raises(AssertionError, match="not an event stream"):
            await stream.next()
        assert stream.body == b"instead"
    assert log == ["finally"]


communicator: Any = ApplicationCommunicator  # it has no types


def test_the_messages_as_asgiref_sees_them() -> None:
    async def main() -> None:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"accept", b"text/event-stream")],
        }
        app = communicator(SSEMiddleware(App(start(), part(b"1\n"), 60)), scope)
        await app.send_input({"type": "http.request", "body": b"", "more_body": False})
        assert (await app.receive_output())["status"] == 200
        assert await app.receive_output() == part(b"data: 1\n\n")
        await app.send_input({"type": "http.disconnect"})
        await app.wait()

    asyncio.run(main())
