"""Limits on how many streams are open, as clients of every kind of stream meet them."""

import itertools
import math
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import httpx
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from sse_middleware import (
    CloseReason,
    ConfigurationError,
    EventSourceResponse,
    LegacyRoute,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.observers import StreamRecord
from sse_middleware.testing import EventClient
from tests.served import Ends, OopsError, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

EVENTS = {"accept": "text/event-stream"}


class Foreign(Response):
    """A stream of events that another library sends."""

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.background = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        self.log.append("started")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = b"data: 1\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await anyio.sleep_forever()
        finally:
            self.log.append("closed")


class Endpoints:
    """One endpoint for each kind of stream, and what happened in them."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.generators: list[Any] = []

    async def numbers(self) -> AsyncIterator[int]:
        self.log.append("started")
        try:
            yield 1
            await anyio.sleep_forever()
        finally:
            self.log.append("closed")

    def made(self, generator: Any) -> Any:
        """Keep a generator, so that nobody but the stream closes it."""
        self.generators.append(generator)
        return generator

    async def response(self, _request: Request) -> Response:
        background = BackgroundTask(self.log.append, "background")
        return EventSourceResponse(self.made(self.numbers()), background=background)

    async def sync_response(self, _request: Request) -> Response:
        def numbers() -> Iterator[int]:
            self.log.append("started")
            yield 1

        return EventSourceResponse(self.made(numbers()))

    def decorated(self) -> Any:
        @event_stream
        def decorated(_request: Request) -> AsyncIterator[int]:
            generator: AsyncIterator[int] = self.made(self.numbers())
            return generator

        return decorated

    async def foreign(self, _request: Request) -> Response:
        return Foreign(self.log)

    async def polled(self, _request: Request) -> Response:
        return PlainTextResponse("1")

    def application(self, **options: Any) -> Any:
        routes = [
            Route("/response", self.response),
            Route("/sync", self.sync_response),
            Route("/decorated", self.decorated()),
            Route("/foreign", self.foreign),
            Route("/polled", self.polled),
        ]
        legacy = [LegacyRoute("/polled", poll=1.0)]
        return Starlette(
            routes=routes, middleware=[Middleware(SSEMiddleware, legacy=legacy, **options)]
        )


DOORS = ["response", "sync", "decorated", "foreign", "polled"]
door = pytest.mark.parametrize("door", DOORS)


async def read_whole(client: EventClient, path: str) -> httpx.Response:
    return await client.http.get(path, headers=EVENTS)


class TestRefusal:
    @door
    @pytest.mark.parametrize(
        ("limit", "status", "text"),
        [
            ("max_streams", 503, "too many streams are open"),
            ("max_streams_per_client", 429, "too many streams of this client are open"),
        ],
    )
    async def test_by_status(self, door: str, limit: str, status: int, text: str) -> None:
        ends, endpoints = Ends(), Endpoints()
        app = endpoints.application(observers=[ends], retry_after=10, **{limit: 1})
        async with client_of(app) as client:
            async with client.stream("GET", "/response") as events:
                await events.next()
                log = [*endpoints.log]
                waits = set()
                for _ in range(5):
                    response = await read_whole(client, f"/{door}")
                    assert (response.status_code, response.text) == (status, text)
                    assert response.headers["content-type"] == "text/plain; charset=utf-8"
                    assert response.headers["cache-control"] == "no-store"
                    waits.add(int(response.headers["retry-after"]))
                assert waits <= set(range(10, 21))
                self.check_nothing_ran(door, endpoints, log)
                assert ends.reasons == [CloseReason.REFUSED] * 5
            async with client.stream("GET", f"/{door}") as events:
                assert (await events.next()).raw_data == "1"

    @door
    async def test_by_an_empty_stream(self, door: str) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1, refusal="retry", retry_after=0.5)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
            log = [*endpoints.log]
            for _ in range(3):
                async with client.stream("GET", f"/{door}") as refused:
                    assert refused.response.status_code == 200
                    assert "content-length" in refused.response.headers
                    assert refused.response.headers["content-type"].startswith("text/event-stream")
                    assert [event async for event in refused] == []
                    assert refused.reconnection_time is not None
                    assert 500 <= refused.reconnection_time <= 1000
            self.check_nothing_ran(door, endpoints, log)

    def check_nothing_ran(self, door: str, endpoints: Endpoints, log: list[str]) -> None:
        """An application of its own has begun, and was cancelled; a generator never is."""
        more = endpoints.log[len(log) :]
        if door == "foreign":
            assert more.count("started") == more.count("closed")
        else:
            assert set(more) <= {"background"}
        for generator in endpoints.generators[1:]:
            frame = getattr(generator, "ag_frame", None) or getattr(generator, "gi_frame", None)
            assert frame is None, "every refused generator is closed"

    async def test_of_an_endpoint_of_its_own_settings(self) -> None:
        app = SSEMiddleware(
            EventSourceResponse(iter([1]), refusal="retry", retry_after=7), max_streams=1
        )
        async with client_of(app) as client:
            slot = await anyio.to_thread.run_sync(app._registries.current)
            held = slot.enter(None, None)
            response = await client.http.get("/")
            assert response.status_code == 200
            assert 7000 <= int(response.text.removeprefix("retry: ")) <= 14000
            held.give_back()  # type: ignore[union-attr]
            assert (await client.http.get("/")).content == b"data: 1\n\n"

    async def test_in_a_hurry_is_asked_back_at_once(self) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1, retry_after=0)
        async with client_of(app) as client, client.stream("GET", "/response"):
            assert (await read_whole(client, "/response")).headers["retry-after"] == "0"

    @pytest.mark.parametrize("refusal", ["status", "retry"])
    async def test_of_a_websocket_handshake(self, refusal: Any) -> None:
        messages: list[dict[str, Any]] = []
        closed: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            generator = Endpoints().numbers()
            closed.append(generator)
            await WebSocket(scope, receive, send).send_denial_response(
                EventSourceResponse(generator)
            )

        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            messages.append(message)

        middleware = SSEMiddleware(app, max_streams=1, refusal=refusal)
        middleware._registries.current().enter(None, None)
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        scope = {"type": "websocket", "path": "/", "headers": [], "extensions": extensions}
        await middleware(scope, receive, send)
        first, last = messages
        assert first["type"] == "websocket.http.response.start"
        assert first["status"] == (503 if refusal == "status" else 200)
        assert last["type"] == "websocket.http.response.body"
        assert closed[0].ag_frame is None

    async def test_a_head_request_takes_no_place(self) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1)
        async with client_of(app) as client, client.stream("GET", "/response"):
            assert (await client.http.head("/response")).status_code == 200

    async def test_behind_a_middleware_of_starlettes(self) -> None:
        class Passing(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Response:
                response: Response = await call_next(request)
                response.headers["x-passed"] = "1"
                return response

        endpoints = Endpoints()
        inside = endpoints.application(max_streams=1)
        inside.add_middleware(Passing)  # outside of ours
        below = Starlette(
            routes=[Route("/response", endpoints.response), Route("/foreign", endpoints.foreign)],
            middleware=[Middleware(SSEMiddleware, max_streams=1), Middleware(Passing)],
        )
        for app, path in itertools.product((inside, below), ("response", "foreign")):
            async with client_of(app) as client, client.stream("GET", "/response") as events:
                await events.next()
                response = await read_whole(client, f"/{path}")
                assert response.status_code == 503
                assert response.text == "too many streams are open"


class TestRefusedApplication:
    """It was begun before anyone knew that its response is a stream."""

    START: dict[str, Any] = {  # noqa: RUF012 - never changed
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/x-ndjson")],
    }

    async def refused(self, app: Any, **settings: Any) -> tuple[httpx.Response, Any]:
        middleware = SSEMiddleware(app, max_streams=1, **settings)
        middleware._registries.current().enter(None, None)
        async with client_of(middleware) as client:
            response = await read_whole(client, "/")
        assert middleware.stats().open == 1, "the refused one holds no place"
        return response, middleware

    async def test_is_cancelled_and_its_finally_runs(self, anyio_backend_name: str) -> None:
        log: list[str] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            try:
                await send(self.START)
                log.append("went on")
                await anyio.sleep_forever()
            finally:
                log.append("begin")
                await anyio.sleep(1)
                log.append("end")

        assert (await self.refused(app))[0].status_code == 503
        assert log == (["begin", "end"] if anyio_backend_name == "asyncio" else ["begin"])

    async def test_may_have_sent_from_another_task(self) -> None:
        log: list[str] = []

        async def produce(send: Any) -> None:
            try:
                await send(self.START)
                while True:
                    body = {"type": "http.response.body", "body": b"1\n", "more_body": True}
                    await send(body)
            finally:
                log.append("produced")

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(produce, send)
                    await anyio.sleep_forever()
            finally:
                log.append("finally")

        assert (await self.refused(app))[0].status_code == 503
        assert log == ["produced", "finally"]

    @pytest.mark.parametrize("sends", [0, 1, 1000])
    async def test_that_swallows_the_cancellation_says_nothing(self, sends: int) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            for message in [self.START, *[{"type": "http.response.body", "body": b"1\n"}] * sends]:
                try:
                    await send(message)
                except anyio.get_cancelled_exc_class():
                    continue

        response, _ = await self.refused(app)
        assert (response.status_code, response.text) == (503, "too many streams are open")

    async def test_that_ends_at_once_leaves_no_cancellation_to_others(self) -> None:
        log: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def inner(_scope: Any, _receive: Any, send: Any) -> None:
                await send(self.START)

            middleware = SSEMiddleware(inner, max_streams=1)
            middleware._registries.current().enter(None, None)
            await middleware(scope, receive, send)
            await anyio.sleep(1)
            log.append("after")

        async with client_of(app) as client:
            assert (await read_whole(client, "/")).status_code == 503
        assert log == ["after"]

    async def test_that_fails_reaches_the_server_behind_the_answer(self) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            try:
                await send(self.START)
            finally:
                raise OopsError

        with pytest.raises(OopsError):
            await self.refused(app)

    async def test_that_goes_on_is_ended_after_the_cleanup_timeout(self) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            try:
                await send(self.START)
            finally:
                await anyio.sleep_forever()

        begin = anyio.current_time()
        assert (await self.refused(app, cleanup_timeout=3))[0].status_code == 503
        assert anyio.current_time() - begin <= 3.1


class TestClientKey:
    async def test_is_the_peers_address_by_default(self) -> None:
        app = Endpoints().application(max_streams_per_client=1)
        async with (
            client_of(app, client=("10.0.0.1", 1)) as one,
            client_of(app, client=("10.0.0.1", 2)) as same,
            client_of(app, client=("10.0.0.2", 1)) as other,
            one.stream("GET", "/response") as events,
        ):
            await events.next()
            assert (await read_whole(same, "/response")).status_code == 429
            async with other.stream("GET", "/response") as more:
                await more.next()

    async def test_of_a_peer_without_an_address_is_none(self) -> None:
        app = Endpoints().application(max_streams_per_client=1)
        async with (
            client_of(app, client=None) as client,
            client.stream("GET", "/response") as events,
            client.stream("GET", "/response") as more,
        ):
            await events.next()
            await more.next()

    @door
    async def test_is_the_applications_to_say(self, door: str) -> None:
        def user(connection: HTTPConnection) -> str | None:
            return connection.headers.get("x-user")

        app = Endpoints().application(max_streams_per_client=1, client_key=user)
        async with client_of(app) as client:
            ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
            async with client.stream("GET", "/response", headers=ann) as events:
                await events.next()
                async with client.stream("GET", f"/{door}", headers=ann) as again:
                    assert again.response.status_code == 429
                async with client.stream("GET", f"/{door}", headers=bob) as other:
                    await other.next()
                    async with client.stream("GET", f"/{door}") as unknown:
                        await unknown.next()

    async def test_is_not_asked_for_where_nobody_needs_it(self) -> None:
        def broken(_: HTTPConnection) -> str:
            raise OopsError

        app = Endpoints().application(max_streams=2, client_key=broken)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()

    @door
    @pytest.mark.parametrize("value", ["raises", 5, b"key", ["key"], True, object()])
    async def test_that_is_none_fails_that_one_request(self, door: str, value: Any) -> None:
        fails = False

        def key(_: HTTPConnection) -> Any:
            if fails and value == "raises":
                raise OopsError
            return value if fails else "key"

        expected: Any = OopsError if value == "raises" else ConfigurationError
        endpoints = Endpoints()
        app = endpoints.application(max_streams_per_client=1, client_key=key)
        async with client_of(app) as client:
            for _ in range(3):
                fails = True
                with pytest.raises(expected) as caught:
                    await read_whole(client, f"/{door}")
                if expected is ConfigurationError:
                    assert "client_key must return a str, or None" in str(caught.value)
                    assert repr(value) in str(caught.value)
                fails = False
                async with client.stream("GET", f"/{door}") as events:
                    assert (await events.next()).raw_data == "1"
        for generator in endpoints.generators:
            frame = getattr(generator, "ag_frame", None) or getattr(generator, "gi_frame", None)
            assert frame is None

    async def test_is_told_to_observers(self) -> None:
        ends = Ends()
        app = Endpoints().application(observers=[ends], client_key=lambda _: "somebody")
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
        (closed,) = ends.records
        assert closed.stream.client == "somebody"


class TestInfo:
    async def told(self, app: Any, path: str) -> Any:
        async with client_of(app) as client, client.stream("GET", path) as events:
            await events.next()

    async def test_names_the_request(self) -> None:
        ends = Ends()

        async def one(_request: Request) -> Response:
            return EventSourceResponse(Endpoints().numbers())

        app = Starlette(
            routes=[
                Route("/other", one),
                Route("/users/{name}", one),
                Mount("/sub", routes=[Route("/{id:int}/x", one)]),
                Mount("/app", app=EventSourceResponse([1])),
            ],
            middleware=[Middleware(SSEMiddleware, observers=[ends])],
        )
        for path in ("/users/ann", "/sub/5/x", "/app/x"):
            await self.told(app, path)
        streams = [record.stream for record in ends.records]
        assert [stream.path for stream in streams] == ["/users/ann", "/sub/5/x", "/app/x"]
        assert [stream.route for stream in streams] == ["/users/{name}", "/sub/{id}/x", "/app"]
        assert {stream.method for stream in streams} == {"GET"}
        assert {stream.client for stream in streams} == {"127.0.0.1"}
        assert len({stream.id for stream in streams}) == 3
        assert all(len(stream.id) == 16 and int(stream.id, 16) >= 0 for stream in streams)

    async def test_has_the_template_that_fastapi_names(self) -> None:
        from fastapi import FastAPI  # noqa: PLC0415 - only here

        ends = Ends()
        app = FastAPI()
        app.add_middleware(SSEMiddleware, observers=[ends])

        @app.get("/users/{name}")
        async def user(name: str) -> EventSourceResponse:
            return EventSourceResponse([name])

        await self.told(app, "/users/ann")
        (record,) = ends.records
        assert record.stream.route == "/users/{name}"

    @pytest.mark.parametrize("routes", [5, [5], lambda: 5], ids=["number", "list", "function"])
    async def test_of_another_framework_knows_no_template(self, routes: Any) -> None:
        class Framework:
            pass

        Framework.routes = routes  # type: ignore[attr-defined]
        ends = Ends()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["app"] = Framework()
            await EventSourceResponse([1])(scope, receive, send)

        await self.told(SSEMiddleware(app, observers=[ends]), "/x")
        (record,) = ends.records
        assert record.stream.route is None

    @pytest.mark.parametrize(("route", "told"), [("/{x}", "/mounted/{x}"), (None, "/mounted")])
    async def test_of_another_framework_that_is_mounted_has_its_prefix(
        self, route: Any, told: str
    ) -> None:
        class Named:
            path = route

        ends = Ends()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            more = {"route": Named(), "app_root_path": "", "root_path": "/mounted"}
            await EventSourceResponse([1])({**scope, **more}, receive, send)

        await self.told(SSEMiddleware(app, observers=[ends]), "/mounted/x")
        (record,) = ends.records
        assert record.stream.route == told

    async def test_of_an_application_that_is_no_framework(self) -> None:
        ends = Ends()
        await self.told(SSEMiddleware(EventSourceResponse([1]), observers=[ends]), "/x")
        (record,) = ends.records
        assert record.stream.route is None

    async def test_of_routes_none_of_which_is_the_streams(self) -> None:
        ends = Ends()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope["app"] = Starlette(routes=[Route("/other", lambda _: None)])
            await EventSourceResponse([1])(scope, receive, send)

        await self.told(SSEMiddleware(app, observers=[ends]), "/x")
        (record,) = ends.records
        assert record.stream.route is None


class TestObservers:
    @door
    async def test_that_fail_break_no_stream(
        self, door: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(record: StreamRecord) -> None:
            raise OopsError(type(record).__name__)

        app = Endpoints().application(observers=[broken], ping_interval=5, send_timeout=None)
        async with client_of(app) as client, client.stream("GET", f"/{door}") as events:
            assert (await events.next()).raw_data == "1"
            if door != "sync":
                await events.next_comment()
        for name in ("StreamOpened", "FirstEvent", "EventsSent", "StreamClosed"):
            assert f"OopsError: {name}" in caplog.text

    async def test_see_what_a_stream_does(self) -> None:
        told: list[StreamRecord] = []
        app = Endpoints().application(observers=[told.append], ping_interval=5)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
            await events.next_comment()
            await events.next_comment()
        names = [type(record).__name__ for record in told]
        assert names == [
            *("StreamOpened", "FirstEvent", "EventsSent", "PingSent", "PingSent", "StreamClosed")
        ]
        assert len({record.stream.id for record in told}) == 1

    async def test_set_context_variables_for_the_generator(self) -> None:
        from contextvars import ContextVar  # noqa: PLC0415 - only here

        variable = ContextVar("variable", default="unset")

        async def items() -> AsyncIterator[str]:
            await checkpoint()
            yield variable.get()

        def observer(record: StreamRecord) -> None:
            variable.set("set")

        app = SSEMiddleware(EventSourceResponse(items()), observers=[observer])
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == "set"


async def test_stats_tell_what_is_open() -> None:
    endpoints = Endpoints()
    middleware: list[SSEMiddleware] = []
    application = endpoints.application(max_streams_per_client=5)
    make: Callable[..., SSEMiddleware] = application.user_middleware[0].cls

    def kept(*args: Any, **options: Any) -> SSEMiddleware:
        middleware.append(make(*args, **options))
        return middleware[0]

    application.user_middleware[0] = Middleware(kept, max_streams_per_client=5)
    async with client_of(application) as client:
        async with client.stream("GET", "/response") as one, client.stream("GET", "/decorated"):
            await one.next()
            stats = middleware[0].stats()
            assert (stats.open, stats.clients, stats.opened, stats.draining) == (2, 1, 2, False)
        stats = middleware[0].stats()
    assert (stats.open, stats.clients, stats.opened, stats.events) == (0, 0, 2, 2)
    assert stats.closed[CloseReason.CLIENT_DISCONNECTED] == 2
    assert stats.size == 2 * len(b"data: 1\n\n")
    assert not math.isnan(stats.waiting)
