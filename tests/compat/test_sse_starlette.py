"""`sse_middleware.compat.sse_starlette`: the same endpoints under both libraries, byte by byte."""

import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from importlib.metadata import version
from typing import Any

import anyio
import fastapi
import httpx
import pytest
import sse_starlette
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

import sse_middleware
from sse_middleware import ConfigurationError, EncodingError, SSEMiddleware
from sse_middleware.compat import sse_starlette as compat
from tests.served import ClosedStreams, OopsError, body_of, call, chunks_of, client_of, events_of

pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")

# On asyncio its streams look for the end of their server in a task that outlives them.
VERSION = tuple(map(int, version("sse_starlette").split(".")[:2]))
FASTAPI = tuple(map(int, fastapi.__version__.split(".")[:2]))
of_today = pytest.mark.skipif(VERSION < (3, 7), reason="another version may send other bytes")

LIBRARIES: list[Any] = [
    pytest.param(compat, id="ours"),
    pytest.param(sse_starlette, id="theirs", marks=of_today),
]
each_library = pytest.mark.parametrize("library", LIBRARIES)
alone_or_not = pytest.mark.parametrize("middleware", [False, True], ids=["alone", "middleware"])


class Word:
    def __str__(self) -> str:
        return "one\ntwo"


def items(library: Any) -> list[Any]:
    event, json_event = library.ServerSentEvent, library.JSONServerSentEvent
    return [
        "text",
        "",
        "two\nlines\r\nand\rthree\n",
        "no\x0bline\x0cend\x1c\x85\u2028here",
        "ünïcödé",
        7,
        1.5,
        None,
        True,
        [1, "a"],
        Word(),
        b"data: as it is\n\n",
        memoryview(b": seen\n\n"),
        bytearray(b"written"),
        {},
        {"data": "dict"},
        {"data": {"no": "json"}},
        {"event": "m", "data": "x", "id": "1", "retry": 3000, "comment": "c\nd"},
        {"data": "x", "sep": "\r"},
        {"id": "a\r\nb", "event": "c\nd\re"},
        {"data": None, "event": "only"},
        event(),
        event("positional"),
        event(data=7, event="e", id="i", retry=0, comment=5),
        event("own\nsep", sep="\n"),
        event("x", retry=True),
        event("x", id="", event=""),
        event("x", id="nul\0"),
        json_event({"a": [1, "ü"], "b": None}),
        json_event("text"),
        json_event(None, event="empty"),
        json_event([1], id="7", sep="\r"),
    ]


async def yielding(all_items: list[Any]) -> AsyncIterator[Any]:
    for item in all_items:
        yield item


def app_of(library: Any, *, middleware: bool = False, **options: Any) -> Any:
    """Serve `options["content"]`, made anew for each request."""
    content = options.pop("content")

    async def endpoint(_request: Request) -> Any:
        return library.EventSourceResponse(content(), **options)

    app = Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])
    if middleware:
        app.add_middleware(SSEMiddleware)
    return app


async def response_of(app: Any, method: str = "GET") -> httpx.Response:
    async with client_of(app) as client:
        return await client.http.request(method, "/")


@of_today
class TestSameBytes:
    @alone_or_not
    @pytest.mark.parametrize("sep", [None, "\r\n", "\n", "\r"])
    @pytest.mark.parametrize("number", range(len(items(compat))))
    async def test_of_each_item(self, number: int, sep: str | None, middleware: bool) -> None:
        bodies = [
            await body_of(
                app_of(
                    library,
                    middleware=middleware and library is compat,
                    content=lambda library=library: yielding([items(library)[number]]),
                    sep=sep,
                )
            )
            for library in (compat, sse_starlette)
        ]
        assert bodies[0] == bodies[1]
        assert bodies[0]

    @pytest.mark.parametrize("make", [list, iter, tuple], ids=["list", "iterator", "tuple"])
    async def test_of_each_kind_of_content(self, make: Callable[[Any], Any]) -> None:
        bodies = [
            await body_of(app_of(library, content=lambda: make(["a", {"data": "b"}])))
            for library in (compat, sse_starlette)
        ]
        assert bodies == [b"data: a\r\n\r\ndata: b\r\n\r\n"] * 2

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"status_code": 201},
            {"headers": {"X-Own": "1"}},
            {"headers": {"Cache-Control": "public"}},
            {"headers": {"X-Accel-Buffering": "yes"}},
            {"media_type": "text/plain"},
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
    async def test_of_the_head(self, options: Any, method: str) -> None:
        def content() -> AsyncIterator[Any]:
            return yielding(["x"])

        ours, theirs = [
            await response_of(app_of(library, content=content, **options), method)
            for library in (compat, sse_starlette)
        ]
        assert ours.status_code == theirs.status_code
        # Illegal in HTTP/2, and the server's own business in HTTP/1.
        assert theirs.headers.pop("connection") == "keep-alive"
        assert dict(ours.headers) == dict(theirs.headers)
        assert ours.content == theirs.content

    @pytest.mark.parametrize("name", ["data", "event", "id", "retry", "comment"])
    async def test_of_an_event_whose_fields_are_changed(self, name: str) -> None:
        encoded = []
        for library in (compat, sse_starlette):
            event: Any = library.ServerSentEvent("x")
            setattr(event, name, 5 if name == "retry" else "new")
            encoded.append(event.encode())
        assert encoded[0] == encoded[1]

    @pytest.mark.parametrize("sep", ["\r\n", "\n", "\r"])
    async def test_of_a_keep_alive(self, sep: str) -> None:
        async def silent() -> AsyncIterator[Any]:
            await anyio.sleep(9)
            yield "end"

        bodies = [
            await body_of(app_of(library, content=silent, ping=5, sep=sep))
            for library in (compat, sse_starlette)
        ]
        when = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\+00:00"
        for body in bodies:
            assert re.fullmatch(
                rb": ping - " + when + (sep * 2 + "data: end" + sep * 2).encode(), body
            )

    @pytest.mark.parametrize(
        "make",
        [
            lambda library: library.ServerSentEvent(comment="still here", sep="\n"),
            lambda library: library.ServerSentEvent("tick", event="ping"),
            lambda _: {"event": "ping", "data": 1},
            lambda _: b": bytes\n\n",
            lambda _: "text",
        ],
    )
    async def test_of_a_users_keep_alive(self, make: Any) -> None:
        async def silent() -> AsyncIterator[Any]:
            await anyio.sleep(9)
            yield "end"

        bodies = [
            await body_of(
                app_of(library, content=silent, ping=5, ping_message_factory=partial(make, library))
            )
            for library in (compat, sse_starlette)
        ]
        assert bodies[0] == bodies[1]

    async def test_without_keep_alives(self) -> None:
        async def silent() -> AsyncIterator[Any]:
            await anyio.sleep(1000)
            yield "end"

        for library in (compat, sse_starlette):
            body = await body_of(app_of(library, content=silent, ping=0))
            assert body == b"data: end\r\n\r\n"


@pytest.mark.parametrize(
    "item",
    [
        {"data": "x", "unknown": 1},
        {"data": "x", "retry": "1"},
        {"data": "x", "id": 7},
        {"data": "x", "event": 7},
    ],
)
@each_library
async def test_an_invalid_event_is_an_error(library: Any, item: Any) -> None:
    with pytest.raises((TypeError, EncodingError, ExceptionGroup)):
        await response_of(app_of(library, content=lambda: yielding([item])))


async def test_an_invalid_event_is_an_error_at_its_yield() -> None:
    seen = []

    async def content() -> AsyncIterator[Any]:
        try:
            yield {"unknown": 1}
        except EncodingError as error:
            seen.append((str(error), type(error.__cause__)))
        yield "on"

    assert await body_of(compat.EventSourceResponse(content())) == b"data: on\r\n\r\n"
    assert seen[0][1] is TypeError
    assert re.search(r"content gave an item of type dict .*unknown", seen[0][0])


class Named(sse_middleware.ServerSentEvent):
    """One of our own events, with a name."""

    event: str | None = "m"


@pytest.mark.parametrize("kind", [sse_middleware.ServerSentEvent, Named])
async def test_our_own_events_may_be_mixed_in(kind: Any) -> None:
    own = kind(data={"a": 1}, event="m")
    body = await body_of(compat.EventSourceResponse(yielding([own, {"data": "x"}])))
    assert body == b'event: m\ndata: {"a":1}\n\ndata: x\r\n\r\n'


async def test_max_event_size_applies() -> None:
    app = SSEMiddleware(compat.EventSourceResponse(yielding(["x" * 100])), max_event_size=50)
    with pytest.raises(EncodingError, match="max_event_size is 50"):
        await body_of(app)


@pytest.mark.parametrize("library", [compat, pytest.param(sse_starlette, marks=of_today)])
@pytest.mark.parametrize("data", [float("nan"), object()])
def test_data_that_is_not_json_is_refused_when_the_event_is_made(library: Any, data: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        library.JSONServerSentEvent(data)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sep": "\n\n"}, r"sep must be .*'\\n\\n'"),
        ({"ping": -1}, r"ping must be .*-1"),
        ({"ping": "5"}, r"ping must be .*'5'"),
        ({"send_timeout": -1}, r"send_timeout must be .*-1"),
        ({"shutdown_grace_period": -1}, r"shutdown_grace_period must be .*-1"),
        ({"cleanup_timeout": -1}, r"cleanup_timeout must be .*-1"),
    ],
)
def test_bad_arguments_are_refused_at_once(options: Any, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        compat.EventSourceResponse([], **options)
    with pytest.raises(ValueError, match=says):
        compat.EventSourceResponse([], **options)


@each_library
@tidy
class TestDataSender:
    @pytest.fixture(autouse=True)
    def _only_where_it_can_be(self, library: Any, anyio_backend: Any) -> None:
        if library is sse_starlette and anyio_backend[0] == "asyncio":
            pytest.skip("it leaves a task behind")

    async def test_runs_next_to_the_stream(self, library: Any) -> None:
        send, receive = anyio.create_memory_object_stream[Any](1)

        async def sender() -> None:
            async with send:
                for number in range(3):
                    await send.send({"data": number})
                    await anyio.sleep(1)

        async def content() -> AsyncIterator[Any]:
            async with receive:
                async for item in receive:
                    yield item

        app = library.EventSourceResponse(content(), data_sender_callable=sender)
        assert await body_of(app) == b"data: 0\r\n\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n"

    async def test_is_cancelled_when_the_stream_ends(self, library: Any) -> None:
        log = []

        async def sender() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                log.append("cancelled")

        async def content() -> AsyncIterator[Any]:
            await anyio.sleep(1)
            yield "x"

        app = library.EventSourceResponse(content(), data_sender_callable=sender)
        assert await body_of(app) == b"data: x\r\n\r\n"
        assert log == ["cancelled"]

    async def test_may_end_first(self, library: Any) -> None:
        async def sender() -> None:
            pass

        async def content() -> AsyncIterator[Any]:
            await anyio.sleep(1)
            yield "x"

        app = library.EventSourceResponse(content(), data_sender_callable=sender)
        assert await body_of(app) == b"data: x\r\n\r\n"

    async def test_fails_the_stream(self, library: Any) -> None:
        closed = []

        async def sender() -> None:
            await anyio.sleep(1)
            raise OopsError

        async def content() -> AsyncIterator[Any]:
            try:
                yield "x"
                await anyio.sleep_forever()
                yield None  # it could go on
            finally:
                closed.append(True)

        app = library.EventSourceResponse(content(), data_sender_callable=sender)
        with pytest.raises(OopsError):
            await call(app)
        assert closed == [True]


@each_library
class TestDisconnect:
    async def test_calls_the_handler_and_runs_the_background_task(self, library: Any) -> None:
        log: list[Any] = []

        async def content() -> AsyncIterator[Any]:
            try:
                yield "x"
                await anyio.sleep_forever()
                yield None  # it could go on
            finally:
                log.append("closed")

        async def handler(message: Any) -> None:
            await anyio.sleep(1)
            log.append(message)

        app = library.EventSourceResponse(
            content(),
            client_close_handler_callable=handler,
            background=BackgroundTask(log.append, "background"),
        )
        async with events_of(app) as events:
            await events.next()
            await events.disconnect()
        # Theirs calls the handler first, and then closes the generator.
        steps: list[Any] = [{"type": "http.disconnect"}, "closed"]
        assert log == [*(steps[::-1] if library is compat else steps), "background"]

    async def test_raises_the_error_of_the_handler(self, library: Any) -> None:
        async def handler(_message: Any) -> None:
            raise OopsError

        async def content() -> AsyncIterator[Any]:
            yield "x"
            await anyio.sleep_forever()
            yield None  # it could go on

        left = anyio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                left.set()

        app = library.EventSourceResponse(content(), client_close_handler_callable=handler)
        with pytest.raises(OopsError):
            await call(app, leave=left.wait, send=send)


class TestHandler:
    async def test_is_not_called_for_a_stream_that_ends(self) -> None:
        log: list[Any] = []

        async def handler(message: Any) -> None:
            log.append(message)

        app = compat.EventSourceResponse(["x"], client_close_handler_callable=handler)
        assert await body_of(app) == b"data: x\r\n\r\n"
        assert log == []

    async def test_has_the_cleanup_timeout(self) -> None:
        async def handler(_message: Any) -> None:
            await anyio.sleep_forever()

        async def content() -> AsyncIterator[Any]:
            yield "x"
            await anyio.sleep_forever()
            yield None  # it could go on

        app = compat.EventSourceResponse(
            content(), client_close_handler_callable=handler, cleanup_timeout=7
        )
        async with events_of(app) as events:
            await events.next()
            begin = anyio.current_time()
            await events.disconnect()
            assert anyio.current_time() - begin == pytest.approx(7, abs=0.1)

    async def test_is_called_although_a_thread_is_still_running(self) -> None:
        stop = threading.Event()

        async def handler(_message: Any) -> None:
            stop.set()

        def content() -> Iterator[Any]:
            yield "x"
            stop.wait()

        app = compat.EventSourceResponse(
            content(), client_close_handler_callable=handler, cleanup_timeout=0
        )
        async with events_of(app) as events:
            await events.next()
            await events.disconnect()
        assert stop.is_set()


async def test_send_timeout() -> None:
    closed_streams, closed = ClosedStreams(), []

    async def content() -> AsyncIterator[Any]:
        try:
            while True:
                yield "x" * 100_000
        finally:
            closed.append(True)

    response = compat.EventSourceResponse(content(), send_timeout=3)
    app = SSEMiddleware(response, observers=[closed_streams])
    async with chunks_of(app, window=1) as chunks:
        await anext(chunks)
        assert await closed_streams.wait_for(1) == [sse_middleware.CloseReason.SEND_TIMEOUT]
    assert closed == [True]


@each_library
def test_the_other_names_are_there(library: Any) -> None:
    module = library if library is compat else library.sse
    assert issubclass(module.SendTimeoutError, TimeoutError)
    response = library.EventSourceResponse(iter(()))
    for options in ({}, {"force": True}):
        with pytest.raises(NotImplementedError):
            response.enable_compression(**options)


@each_library
@pytest.mark.parametrize("method", ["HEAD", "head", "Head"])
async def test_head_in_any_case(library: Any, method: str) -> None:
    log: list[str] = []

    async def send(message: Any) -> None:
        log.append((message["type"], message.get("body", b"")))  # type: ignore[arg-type]

    app = library.EventSourceResponse(
        yielding(["x"]), background=BackgroundTask(log.append, "background")
    )
    scope = {"type": "http", "method": method, "path": "/", "headers": []}
    await app(scope, anyio.sleep_forever, send)
    assert scope["method"] == method
    assert log == [("http.response.start", b""), ("http.response.body", b""), "background"]


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_a_generator_that_hangs_is_named_with_a_data_sender_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def hanging() -> AsyncIterator[Any]:
        try:
            yield "x"
            await anyio.sleep_forever()
        finally:
            await anyio.sleep(99)

    app = compat.EventSourceResponse(hanging(), data_sender_callable=anyio.sleep_forever)
    async with events_of(app, patience=1000) as events:
        await events.next()
        await events.disconnect()
    assert "took more than cleanup_timeout" in caplog.text


async def test_its_keep_alive_is_the_same_after_an_id() -> None:
    async def content() -> AsyncIterator[Any]:
        yield {"data": "x", "id": "1"}
        yield sse_middleware.ServerSentEvent(data="x", id="1")
        await anyio.sleep(9)

    body = await body_of(compat.EventSourceResponse(content(), ping=5))
    assert re.search(rb": ping - [^\r\n]+\r\n\r\n\Z", body)


@pytest.mark.parametrize(
    ("given", "seconds"), [({}, 5), ({"cleanup_timeout": 20}, 20), ({"cleanup_timeout": None}, 99)]
)
@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_cleanup_timeout(given: Any, seconds: float) -> None:
    async def content() -> AsyncIterator[Any]:
        try:
            yield "x"
            await anyio.sleep_forever()
            yield None  # it could go on
        finally:
            await anyio.sleep(99)

    app = compat.EventSourceResponse(content(), **given)
    async with events_of(app, patience=1000) as events:
        await events.next()
        begin = anyio.current_time()
        await events.disconnect()
        assert anyio.current_time() - begin == pytest.approx(seconds, abs=0.1)


class TestShutdown:
    async def test_sets_the_event_and_gives_the_stream_its_grace(self) -> None:
        shutdown = anyio.Event()

        async def content() -> AsyncIterator[Any]:
            yield "x"
            await shutdown.wait()
            await anyio.sleep(3)
            yield {"event": "goodbye", "data": "server"}

        middleware = SSEMiddleware(
            compat.EventSourceResponse(content(), shutdown_event=shutdown, shutdown_grace_period=5)
        )
        async with events_of(middleware) as events:
            await events.next()
            begin = anyio.current_time()
            await middleware.drain()
            assert anyio.current_time() - begin == pytest.approx(3, abs=0.1)
            assert (await events.next()).event == "goodbye"

    @pytest.mark.parametrize(
        ("given", "of_middleware", "seconds"),
        [
            ({}, {}, 1),
            ({}, {"drain_grace": 7}, 7),
            ({"shutdown_grace_period": 0}, {"drain_grace": 7}, 0),
            ({"shutdown_grace_period": 5}, {"drain_grace": 7}, 5),
        ],
    )
    async def test_then_cancels_the_stream(
        self, given: Any, of_middleware: Any, seconds: float
    ) -> None:
        closed = []

        async def content() -> AsyncIterator[Any]:
            try:
                yield "x"
                await anyio.sleep_forever()
                yield None  # it could go on
            finally:
                closed.append(True)

        response = compat.EventSourceResponse(content(), **given)
        middleware = SSEMiddleware(response, **of_middleware)
        async with events_of(middleware) as events:
            await events.next()
            begin = anyio.current_time()
            await middleware.drain()
            assert anyio.current_time() - begin == pytest.approx(seconds, abs=0.1)
        assert closed == [True]

    async def test_needs_the_middleware(self) -> None:
        app = compat.EventSourceResponse(yielding(["x"]), shutdown_event=anyio.Event())
        with pytest.raises(ConfigurationError, match="add_middleware"):
            await body_of(app)


async def test_the_settings_of_the_middleware_apply() -> None:
    async def endpoint(_request: Request) -> compat.EventSourceResponse:
        return compat.EventSourceResponse(yielding([{"data": "x", "id": "1"}]))

    app = Starlette(
        routes=[Route("/", endpoint)], middleware=[Middleware(SSEMiddleware, compression=["gzip"])]
    )
    async with client_of(app) as client:
        response = await client.http.get("/", headers={"accept-encoding": "gzip"})
    assert response.headers["content-encoding"] == "gzip"
    assert response.content == b"id: 1\r\ndata: x\r\n\r\n"


async def test_an_endpoint_of_fastapi_may_return_it() -> None:
    app = FastAPI()
    app.add_middleware(SSEMiddleware)

    @app.get("/", response_class=compat.EventSourceResponse)
    async def endpoint() -> compat.EventSourceResponse:
        return compat.EventSourceResponse(yielding([{"data": "x"}]), status_code=201)

    response = await response_of(app)
    assert (response.status_code, response.content) == (201, b"data: x\r\n\r\n")


@pytest.mark.skipif(FASTAPI < (0, 135), reason="this FastAPI doesn't call endpoints that yield")
async def test_an_endpoint_of_fastapi_may_yield() -> None:
    app = FastAPI()

    @app.get("/", response_class=compat.EventSourceResponse, status_code=202)
    async def endpoint() -> AsyncIterator[dict[str, str]]:
        yield {"data": "x", "event": "m"}

    response = await response_of(app)
    assert (response.status_code, response.content) == (202, b"event: m\r\ndata: x\r\n\r\n")
