"""Responses that an application makes itself, adopted: in memory and in virtual time."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from asgiref.testing import ApplicationCommunicator
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import EventSourceResponse, LegacyRoute, ServerSentEvent, SSEMiddleware
from sse_middleware.errors import BodyError
from sse_middleware.legacy.body_adapters import Lines
from sse_middleware.testing import EventClient, VirtualTime

pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")  # looks at all objects, so not everywhere

Message = dict[str, Any]
Headers = Sequence[tuple[bytes, bytes]]
Send = Callable[[Message], Awaitable[None]]
NDJSON = b"application/x-ndjson"
EVENTS = "text/event-stream"


@pytest.fixture
def anyio_backend(virtual_time: VirtualTime) -> tuple[str, dict[str, Any]]:
    return virtual_time.backend, virtual_time.backend_options


class OopsError(Exception):
    """An error of the user's own."""


def start(kind: bytes | None = NDJSON, status: int = 200, headers: Headers = ()) -> Message:
    types = [] if kind is None else [(b"content-type", kind)]
    return {"type": "http.response.start", "status": status, "headers": [*types, *headers]}


def part(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


class App:
    """Sends messages, and waits where there is a number of seconds."""

    def __init__(self, *script: Message | float | Exception) -> None:
        self.script = script
        self.sent = 0
        self.log: list[str] = []
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        self.scope = scope
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, dict):
                    await send(step)
                    self.sent += 1
                else:
                    await anyio.sleep(step)
        except anyio.get_cancelled_exc_class():
            self.log.append("cancelled")
            raise
        finally:
            self.log.append("finally")


def whole(*bodies: bytes, kind: bytes = NDJSON, headers: Headers = ()) -> App:
    return App(start(kind, headers=headers), *map(part, bodies), part(b"", more=False))


async def sent(
    app: Any,
    accept: str | None = EVENTS,
    *,
    method: str = "GET",
    path: str = "/",
    scope: Message | None = None,
    into: list[Message] | None = None,
) -> list[Message]:
    """Run one request to its end, and return the messages that were sent."""
    messages = [] if into is None else into
    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        for message in asked:
            return message
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        messages.append(message)

    request = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [] if accept is None else [(b"accept", accept.encode())],
        **(scope or {}),
    }
    await app(request, receive, send)
    return messages


def reading(app: Any, **options: Any) -> EventClient:
    """Return a client of an application that knows nothing of a lifespan."""
    return EventClient(app, run_lifespan=False, **options)


def joined(messages: list[Message]) -> bytes:
    return b"".join(bytes(message.get("body", b"")) for message in messages)


def headers_of(messages: list[Message]) -> dict[bytes, bytes]:
    return dict(messages[0]["headers"])


# ruff: noqa: SIM117 - a request within its client
# What is converted, and what is not


@pytest.mark.parametrize(
    ("kind", "body", "data"),
    [
        (b"application/x-ndjson", b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        (b"application/jsonl", b"1\n2", [b"1", b"2"]),
        (b"application/json-lines", b"1\n", [b"1"]),
        (b"application/json-seq", b"\x1e1\n\x1e2\n", [b"1", b"2"]),
        (b"text/plain; charset=utf-8", b"a\r\nb\rc", [b"a", b"b", b"c"]),
        (b"text/plain; charset=iso-8859-1", b"\xe4", ["ä".encode()]),
        (b"Text/CSV", b"a,b\n1,2\n", [b"a,b", b"1,2"]),
    ],
)
async def test_a_streaming_type_is_converted_where_events_are_wanted(
    kind: bytes, body: bytes, data: list[bytes]
) -> None:
    messages = await sent(SSEMiddleware(whole(body, kind=kind)))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
        (b"vary", b"Accept"),
    ]
    assert joined(messages) == b"".join(b"data: %b\n\n" % one for one in data)
    assert [message.get("more_body") for message in messages][-1] is False


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/x-ndjson", f"{EVENTS};q=0, */*", f"{EVENTS}, */*", "text/*"],
)
@pytest.mark.parametrize("legacy", [[], [LegacyRoute("/", event="e")]])
async def test_the_same_url_asked_for_otherwise_stays_as_it_was(
    accept: str | None, legacy: list[LegacyRoute]
) -> None:
    app = whole(b"1\n", b"2\n3", headers=[(b"etag", b"x"), (b"content-length", b"5")])
    bare = await sent(app, accept)
    messages = await sent(SSEMiddleware(app, legacy=legacy), accept)
    assert messages[1:] == bare[1:]
    assert messages[0] == {**bare[0], "headers": [*bare[0]["headers"], (b"vary", b"Accept")]}


LENGTH = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("first", "method"),
    [
        (start(status=404), "GET"),
        (start(status=204), "GET"),
        (start(status=206), "GET"),
        (start(status=301, headers=[(b"location", b"/x")]), "GET"),
        (start(status=500), "GET"),
        (start(), "HEAD"),
        (start(b"text/event-stream"), "HEAD"),
        (start(b"text/event-stream", status=404), "GET"),
        (start(b"text/html"), "GET"),
        (start(b"application/json"), "GET"),
        (start(None), "GET"),
        (start(None, headers=[(b"x-own", b"1"), (b"content-type", b"text/html")]), "GET"),
        (start(b""), "GET"),
        (start(b"application/octet-stream"), "GET"),
        (start(b"text/plain", headers=[LENGTH]), "GET"),
    ],
)
async def test_what_is_no_stream_passes_untouched(first: Message, method: str) -> None:
    app = App(first, part(b"1\n", more=False))
    messages = await sent(SSEMiddleware(app), method=method)
    assert messages[0] is first
    assert messages[1] is app.script[1]
    assert len(messages) == 2


@pytest.mark.parametrize("status", [404, 304, 206])
@pytest.mark.parametrize("accept", [None, EVENTS])
async def test_no_status_but_200_varies(status: int, accept: str | None) -> None:
    first = start(status=status)
    assert (await sent(SSEMiddleware(App(first, part(b"", more=False))), accept))[0] is first


@pytest.mark.parametrize("name", [b"content-type", b"Content-Type"])
async def test_the_media_type_may_stand_anywhere(name: bytes) -> None:
    first = start(None, headers=[(b"x-own", b"1"), (name, b"Text/Plain; charset=utf-8")])
    app = App(first, part(b"1\n", more=False))
    assert headers_of(await sent(SSEMiddleware(app), None))[b"vary"] == b"Accept"
    assert joined(await sent(SSEMiddleware(app))) == b"data: 1\n\n"


async def test_a_message_without_headers() -> None:
    first = {"type": "http.response.start", "status": 200}
    for accept in (None, EVENTS):
        assert (await sent(SSEMiddleware(App(first, part(b"", more=False))), accept))[0] is first


async def test_text_of_a_known_length_is_converted_where_a_route_says_so() -> None:
    app = whole(b"a\nb", kind=b"text/plain", headers=[(b"content-length", b"3")])
    messages = await sent(SSEMiddleware(app, legacy=[LegacyRoute("/")]))
    assert joined(messages) == b"data: a\n\ndata: b\n\n"
    assert b"content-length" not in headers_of(messages)


async def test_the_headers_of_the_old_body_are_dropped() -> None:
    old = [LENGTH, (b"ETag", b'"x"'), (b"accept-ranges", b"bytes")]
    kept = [(b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"content-encoding", b"identity")]
    own = [(b"Cache-Control", b"private")]
    messages = await sent(SSEMiddleware(whole(b"1\n", headers=[*old, *kept, *own])))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        *kept,
        (b"cache-control", b"private"),
        (b"x-accel-buffering", b"no"),
        (b"vary", b"Accept"),
    ]


@pytest.mark.parametrize(
    ("vary", "merged"),
    [
        ([], [b"Accept"]),
        ([b"Accept-Encoding"], [b"Accept-Encoding, Accept"]),
        ([b"Origin", b"Cookie"], [b"Origin, Cookie, Accept"]),
        ([b"Origin, accept"], [b"Origin, accept"]),
        ([b"Origin", b"ACCEPT"], [b"Origin", b"ACCEPT"]),
        ([b"*"], [b"*"]),
    ],
)
@pytest.mark.parametrize("accept", [None, EVENTS])
async def test_vary_is_merged(vary: list[bytes], merged: list[bytes], accept: str | None) -> None:
    app = whole(b"1\n", headers=[(b"vary", value) for value in vary])
    messages = await sent(SSEMiddleware(app), accept)
    assert [value for name, value in messages[0]["headers"] if name == b"vary"] == merged


@pytest.mark.parametrize("accept", [None, EVENTS])
@pytest.mark.parametrize("kind", [NDJSON, b"text/event-stream"])
async def test_the_messages_of_the_application_are_never_changed(
    accept: str | None, kind: bytes
) -> None:
    headers = [(b"content-type", kind), LENGTH, (b"vary", b"Origin")]
    first = {"type": "http.response.start", "status": 200, "headers": headers}
    await sent(SSEMiddleware(App(first, part(b"", more=False))), accept)
    assert first == {"type": "http.response.start", "status": 200, "headers": headers}
    assert headers == [(b"content-type", kind), LENGTH, (b"vary", b"Origin")]


@pytest.mark.parametrize("accept", [None, EVENTS])
@pytest.mark.parametrize("kind", [b"text/html", NDJSON])
async def test_headers_that_can_be_read_but_once(accept: str | None, kind: bytes) -> None:
    first = {**start(), "headers": iter([(b"content-type", kind), (b"x-own", b"1")])}
    messages = await sent(SSEMiddleware(App(first, part(b"", more=False))), accept)
    assert headers_of(messages)[b"x-own"] == b"1"
    assert b"content-type" in headers_of(messages)


async def test_nobody_waits_for_trailers_that_are_not_passed_on() -> None:
    trailers = {"type": "http.response.trailers", "headers": []}
    app = App({**start(), "trailers": True}, part(b"1\n", more=False), trailers)
    messages = await sent(SSEMiddleware(app))
    assert "trailers" not in messages[0]
    assert [message["type"] for message in messages][1:] == ["http.response.body"]


async def test_an_encoded_body_is_left_alone_and_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = whole(b"\x1f\x8b", headers=[(b"content-encoding", b"gzip")])
    served = SSEMiddleware(app)
    for _ in range(3):
        assert (await sent(served))[0] is app.script[0]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    await sent(SSEMiddleware(app), None)
    assert len(caplog.records) == 1


async def test_what_a_gzip_middleware_below_has_compressed_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = GZipMiddleware(whole(b'{"a":1}\n' * 100), minimum_size=1)
    async with reading(SSEMiddleware(app)) as client:
        async with client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as stream:
            with pytest.raises(AssertionError, match="has ended"):
                await stream.next()
            assert stream.body == b'{"a":1}\n' * 100
            assert stream.response.headers["content-encoding"] == "gzip"
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", ["http.response.pathsend", "http.response.zerocopysend"])
async def test_a_body_that_may_be_converted_cannot_pass_by(name: str) -> None:
    app = whole(b"1\n")
    extensions: dict[str, Any] = {name: {}, "http.response.push": {}}
    await sent(SSEMiddleware(app), scope={"extensions": extensions})
    assert app.scope["extensions"] == {"http.response.push": {}}
    await sent(SSEMiddleware(app), None, scope={"extensions": extensions})
    assert app.scope["extensions"] is extensions


async def test_a_body_of_an_unknown_charset_is_the_applications_error() -> None:
    messages: list[Message] = []
    with pytest.raises(BodyError, match="charset 'nope'"):
        await sent(SSEMiddleware(whole(b"", kind=b"text/plain; charset=nope")), into=messages)
    assert messages == []


async def test_a_chunk_may_be_any_buffer() -> None:
    for kind, body in ((NDJSON, b"1\n2\n"), (b"text/event-stream", b"data: 1\n\ndata: 2\n\n")):
        for buffer in (memoryview, bytearray):
            app = App(start(kind), part(buffer(body), more=False))  # type: ignore[arg-type]
            assert joined(await sent(SSEMiddleware(app))) == b"data: 1\n\ndata: 2\n\n"


# Routes and adapters


@pytest.mark.parametrize(
    ("route", "kind", "body", "events"),
    [
        (LegacyRoute("/", event="log", id="{line}"), NDJSON, b"1\n",
            b"event: log\ndata: 1\nid: 1\n\n"),
        (LegacyRoute("/", last=ServerSentEvent(event="end", raw_data="")), NDJSON, b"1\n",
            b"data: 1\n\nevent: end\ndata: \n\n"),
        (LegacyRoute("/", body="json"), b"application/json", b"[1, 2]", b"data: 1\n\ndata: 2\n\n"),
        (LegacyRoute("/", body="json"), b"application/json", b'{"a":1}', b'data: {"a":1}\n\n'),
        (LegacyRoute("/", body="chunks"), b"text/html", b"<p>\n", b"data: <p>\ndata: \n\n"),
        (LegacyRoute("/", body="lines"), NDJSON, b"no json\n", b"data: no json\n\n"),
        (LegacyRoute("/", body=Lines), b"x/y", b"a", b"data: a\n\n"),
        (LegacyRoute("/", unfinished="drop"), NDJSON, b"1\n2", b"data: 1\n\n"),
        (LegacyRoute("/", unfinished="deliver"), b"text/event-stream", b"data: 1\n\ndata: 2",
            b"data: 1\n\ndata: 2\n\n"),
        (LegacyRoute("/"), b"text/event-stream", b"data: 1\n\ndata: 2", b"data: 1\n\n"),
        (LegacyRoute("/", event="e"), b"text/event-stream", b"data: 1\n\n", b"data: 1\n\n"),
        (LegacyRoute("/other", event="e"), NDJSON, b"1\n", b"data: 1\n\n"),
        (LegacyRoute("/", methods=["POST"], event="e"), NDJSON, b"1\n", b"data: 1\n\n"),
    ],
)  # fmt: skip
async def test_a_route(route: LegacyRoute, kind: bytes, body: bytes, events: bytes) -> None:
    assert joined(await sent(SSEMiddleware(whole(body, kind=kind), legacy=[route]))) == events


@pytest.mark.parametrize("accept", [None, "*/*", "application/x-ndjson", EVENTS])
async def test_a_route_may_convert_always(accept: str | None) -> None:
    served = SSEMiddleware(whole(b"1\n"), legacy=[LegacyRoute("/", always=True)])
    messages = await sent(served, accept)
    assert joined(messages) == b"data: 1\n\n"
    assert b"vary" not in headers_of(messages)


async def test_what_is_always_converted_is_kept_and_held_back_by_nobody() -> None:
    app = SSEMiddleware(whole(b"1\n"), legacy=[LegacyRoute("/", always=True)])
    headers = headers_of(await sent(app, "*/*"))
    assert headers[b"cache-control"] == b"no-cache"
    assert headers[b"x-accel-buffering"] == b"no"
    assert b"vary" not in headers


async def test_the_first_route_counts() -> None:
    routes = (LegacyRoute(path, event=path) for path in ("/b", "/{x}", "/a"))
    served = SSEMiddleware(whole(b"1\n"), legacy=routes)
    assert joined(await sent(served, path="/a")) == b"event: /{x}\ndata: 1\n\n"
    assert joined(await sent(served, path="/b")) == b"event: /b\ndata: 1\n\n"


async def test_further_media_types() -> None:
    served = SSEMiddleware(
        whole(b"a\nb", kind=b"application/x-foo"),
        adapters={"Application/X-Foo": "chunks", "text/plain": Lines},
    )
    assert joined(await sent(served)) == b"data: a\ndata: b\n\n"
    assert headers_of(await sent(served, None))[b"vary"] == b"Accept"


async def test_events_are_adopted_but_do_not_vary() -> None:
    body = b": c\nid: 1\r\nunknown: x\n\n"
    messages = await sent(SSEMiddleware(whole(body, kind=b"text/event-stream; a=b")))
    assert messages[0]["headers"] == [
        (b"content-type", b"text/event-stream; a=b"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    ]
    assert joined(messages) == body
    app = whole(body, kind=b"text/event-stream")
    assert (await sent(SSEMiddleware(app), None))[0] is app.script[0]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_scopes_pass(kind: str) -> None:
    app = App({"type": "x"})
    await sent(SSEMiddleware(app, legacy=[LegacyRoute("/")]), scope={"type": kind})
    assert app.sent == 1


# Time


async def test_silence_is_broken_by_keep_alives_but_never_within_an_event() -> None:
    for kind in (b"text/event-stream", NDJSON):
        framed = kind != NDJSON
        parts = [b"id: 1\nda", b"ta: x\n", b"\n", b"data: y\r\n", b"\r", b"\ndata: z\n\n"]
        steps = [part(body) for body in (parts if framed else [b'"', b"x", b'"\n', b'"y"\n'])]
        pauses = [step for one in steps for step in (one, 40)]
        app = App(start(kind), *pauses, part(b"", more=False))
        served = SSEMiddleware(app, ping_interval=15)
        async with reading(served, timeout=1000) as client, client.stream("GET", "/") as stream:
            data = [event.raw_data async for event in stream]
            assert data == (["x", "y", "z"] if framed else ['"x"', '"y"'])
            assert len(stream.comments) == len(stream.body.split(b": ping\n\n")) - 1
            assert len(stream.comments) >= 2 * len(steps)
            own = stream.body.replace(b": ping\n\n", b"")
            assert not framed or own == b"".join(parts)


async def test_the_status_line_waits_for_the_first_event_and_no_longer_than_it_may() -> None:
    app = App(start(), 10, part(b"1\n"), 1000)
    async with reading(SSEMiddleware(app, commit_after=0.5)) as client:
        before = anyio.current_time()
        async with client.stream("GET", "/") as stream:
            assert anyio.current_time() - before == pytest.approx(0.5)
            assert (await stream.next(20)).raw_data == "1"
            assert anyio.current_time() - before == pytest.approx(10)


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
async def test_an_application_that_ignores_all_is_ended_after_the_cleanup_timeout(
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
async def test_a_thread_that_outlives_its_application_is_stopped_when_it_sends() -> None:
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
    app = App(start(), *[part(line)] * 2000, part(b"", more=False))
    served = SSEMiddleware(app, max_buffer=10_000)
    async with reading(served, window=10_000) as client, client.stream("GET", "/") as stream:
        await stream.next()
        await anyio.sleep(10)
        before = app.sent
        assert before < 200  # two buffers, and what the client reads ahead
        await anyio.sleep(10)  # less than the send_timeout
        assert app.sent == before
        assert len([event async for event in stream]) == 1999
    assert app.sent == 2002


@tidy
async def test_two_tasks_of_the_application_may_send_to_a_slow_client() -> None:
    async def app(scope: Any, receive: Any, send: Send) -> None:
        async def feed(name: bytes) -> None:
            for _ in range(500):
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
    assert sorted(map(str, data)) == [f'"{name * 1000}"' for name in "abc" for _ in range(500)]


# Errors


@tidy
async def test_an_error_before_the_first_event_goes_up_and_nothing_is_sent() -> None:
    for script in (
        [OopsError("early")],
        [start(), OopsError("early")],
        [start(), part(b"1"), OopsError("early")],
    ):
        messages: list[Message] = []
        with pytest.raises(OopsError, match="early"):
            await sent(SSEMiddleware(App(*script), error_event=str), into=messages)
        assert messages == []


@tidy
async def test_an_error_after_events_lets_them_through_and_breaks_the_body() -> None:
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
async def test_a_malformed_body_fails_where_it_is_sent_and_goes_on_failing() -> None:
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
async def test_an_error_keeps_nothing_alive() -> None:
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
async def test_a_task_of_asyncio_that_is_cancelled(script: Any, virtual_time: VirtualTime) -> None:
    if virtual_time.backend == "trio":
        return
    app = App(*script)
    task = asyncio.ensure_future(sent(SSEMiddleware(app)))
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert app.log == ["cancelled", "finally"]


@tidy
async def test_cancellation_from_outside_strikes_what_follows_the_body() -> None:
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
    """A dispatch that does nothing but adds a header."""

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
async def test_what_follows_the_body_is_not_cancelled_by_a_client_that_leaves_before_its_end() -> (
    None
):
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
async def test_a_stream_of_this_package_is_not_adopted_again() -> None:
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
                assert stream.body == b"data: 1\nid: 1\n\n" + b": ping\n\n" * 2


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
async def test_other_middlewares(stack: list[Middleware]) -> None:
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
async def test_a_response_that_is_not_adopted_streams_as_ever() -> None:
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
        with pytest.raises(AssertionError, match="no event stream"):
            await stream.next()
        assert stream.body == b"instead"
    assert log == ["finally"]


communicator: Any = ApplicationCommunicator  # which has no types


def test_what_the_communicator_of_asgiref_sees() -> None:
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


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is reported of which a test doesn't know."""
    yield
    known = ("is encoded", "Content-Encoding", "dropped", "malformed", "not text", "cleanup_timeout")
    unknown = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert not [text for text in unknown if not any(word in text for word in known)]
