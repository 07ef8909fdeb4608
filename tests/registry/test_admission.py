"""Limits on how many streams are open, as clients of every kind of stream meet them."""

import itertools
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from sse_middleware import CloseReason, ConfigurationError, EventSourceResponse, SSEMiddleware
from tests.registry.endpoints import Endpoints, each_kind, read_whole
from tests.registry.slots import admitted
from tests.served import ClosedStreams, OopsError, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class TestRefusal:
    @each_kind
    @pytest.mark.parametrize(
        ("limit", "status", "text"),
        [
            ("max_streams", 503, "too many streams are open"),
            ("max_streams_per_client", 429, "too many streams of this client are open"),
        ],
    )
    async def test_sends_a_status(self, kind: str, limit: str, status: int, text: str) -> None:
        closed_streams, endpoints = ClosedStreams(), Endpoints()
        app = endpoints.application(observers=[closed_streams], retry_after=10, **{limit: 1})
        async with client_of(app) as client:
            async with client.stream("GET", "/response") as events:
                await events.next()
                log = [*endpoints.log]
                waits = set()
                for _ in range(5):
                    response = await read_whole(client, f"/{kind}")
                    assert (response.status_code, response.text) == (status, text)
                    assert response.headers["content-type"] == "text/plain; charset=utf-8"
                    assert response.headers["cache-control"] == "no-store"
                    waits.add(int(response.headers["retry-after"]))
                assert waits <= set(range(10, 21))
                self.check_nothing_ran(kind, endpoints, log)
                assert closed_streams.reasons == [CloseReason.REFUSED] * 5
            async with client.stream("GET", f"/{kind}") as events:
                assert (await events.next()).raw_data == "1"

    @each_kind
    async def test_may_be_an_empty_stream(self, kind: str) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1, refusal="retry", retry_after=0.5)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
            log = [*endpoints.log]
            for _ in range(3):
                async with client.stream("GET", f"/{kind}") as refused:
                    assert refused.response.status_code == 200
                    assert "content-length" in refused.response.headers
                    assert refused.response.headers["content-type"].startswith("text/event-stream")
                    assert [event async for event in refused] == []
                    assert refused.reconnection_time is not None
                    assert 500 <= refused.reconnection_time <= 1000
            self.check_nothing_ran(kind, endpoints, log)

    def check_nothing_ran(self, kind: str, endpoints: Endpoints, log: list[str]) -> None:
        """A foreign application was begun and cancelled. A generator of ours never begins."""
        more = endpoints.log[len(log) :]
        if kind == "foreign":
            assert more.count("started") == more.count("closed")
        else:
            assert set(more) <= {"background"}
        for generator in endpoints.generators[1:]:
            frame = getattr(generator, "ag_frame", None) or getattr(generator, "gi_frame", None)
            assert frame is None, "every refused generator is closed"

    async def test_follows_the_settings_of_the_response(self) -> None:
        app = SSEMiddleware(
            EventSourceResponse(iter([1]), refusal="retry", retry_after=7), max_streams=1
        )
        async with client_of(app) as client:
            registry = await anyio.to_thread.run_sync(app._registries.current)
            slot = admitted(registry)
            response = await client.http.get("/")
            assert response.status_code == 200
            assert 7000 <= int(response.text.removeprefix("retry: ")) <= 14000
            slot.give_back()
            assert (await client.http.get("/")).content == b"data: 1\n\n"

    async def test_runs_the_background_task_of_the_response(self) -> None:
        ran: list[str] = []
        background = BackgroundTask(ran.append, "background")
        app = SSEMiddleware(EventSourceResponse(iter([1]), background=background), max_streams=1)
        async with client_of(app) as client:
            registry = await anyio.to_thread.run_sync(app._registries.current)
            slot = admitted(registry)
            assert (await client.http.get("/")).status_code == 503
            slot.give_back()
        assert ran == ["background"]

    async def test_may_ask_the_client_back_at_once(self) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1, retry_after=0)
        async with client_of(app) as client, client.stream("GET", "/response"):
            assert (await read_whole(client, "/response")).headers["retry-after"] == "0"

    @pytest.mark.parametrize("refusal", ["status", "retry"])
    async def test_may_answer_a_websocket_handshake(self, refusal: Any) -> None:
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
        admitted(middleware._registries.current())
        extensions: dict[str, Any] = {"websocket.http.response": {}}
        scope = {"type": "websocket", "path": "/", "headers": [], "extensions": extensions}
        await middleware(scope, receive, send)
        first, last = messages
        assert first["type"] == "websocket.http.response.start"
        assert first["status"] == (503 if refusal == "status" else 200)
        assert last["type"] == "websocket.http.response.body"
        assert closed[0].ag_frame is None

    async def test_does_not_apply_to_a_head_request(self) -> None:
        endpoints = Endpoints()
        app = endpoints.application(max_streams=1)
        async with client_of(app) as client, client.stream("GET", "/response"):
            assert (await client.http.head("/response")).status_code == 200

    async def test_passes_through_other_middlewares(self) -> None:
        class Passing(BaseHTTPMiddleware):
            async def dispatch(self, request: Request, call_next: Any) -> Response:
                response: Response = await call_next(request)
                response.headers["x-passed"] = "1"
                return response

        endpoints = Endpoints()
        inside = Passing(endpoints.application(max_streams=1))
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
    """It has begun before anything knows that its response is a stream."""

    START: dict[str, Any] = {  # noqa: RUF012 - never changed
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-type", b"application/x-ndjson")],
    }

    async def refused(self, app: Any, **settings: Any) -> tuple[httpx.Response, Any]:
        middleware = SSEMiddleware(app, max_streams=1, **settings)
        admitted(middleware._registries.current())
        async with client_of(middleware) as client:
            response = await read_whole(client, "/")
        assert middleware.stats().open == 1, "the refused stream holds no slot"
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
    async def test_that_swallows_the_cancellation_sends_nothing(self, sends: int) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            for message in [self.START, *[{"type": "http.response.body", "body": b"1\n"}] * sends]:
                try:
                    await send(message)
                except anyio.get_cancelled_exc_class():
                    continue

        response, _ = await self.refused(app)
        assert (response.status_code, response.text) == (503, "too many streams are open")

    async def test_that_ends_at_once_leaves_no_cancellation(self) -> None:
        log: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def inner(_scope: Any, _receive: Any, send: Any) -> None:
                await send(self.START)

            middleware = SSEMiddleware(inner, max_streams=1)
            admitted(middleware._registries.current())
            await middleware(scope, receive, send)
            await anyio.sleep(1)
            log.append("after")

        async with client_of(app) as client:
            assert (await read_whole(client, "/")).status_code == 503
        assert log == ["after"]

    async def test_that_fails_raises_its_error_after_the_answer(self) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            try:
                await send(self.START)
            finally:
                raise OopsError

        with pytest.raises(OopsError):
            await self.refused(app)

    async def test_that_does_not_end_is_ended_after_the_cleanup_timeout(self) -> None:
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

    @each_kind
    async def test_may_be_set_by_the_application(self, kind: str) -> None:
        def user(connection: HTTPConnection) -> str | None:
            return connection.headers.get("x-user")

        app = Endpoints().application(max_streams_per_client=1, client_key=user)
        async with client_of(app) as client:
            ann, bob = {"x-user": "ann"}, {"x-user": "bob"}
            async with client.stream("GET", "/response", headers=ann) as events:
                await events.next()
                async with client.stream("GET", f"/{kind}", headers=ann) as again:
                    assert again.response.status_code == 429
                async with client.stream("GET", f"/{kind}", headers=bob) as other:
                    await other.next()
                    async with client.stream("GET", f"/{kind}") as unknown:
                        await unknown.next()

    async def test_is_not_called_where_it_is_not_needed(self) -> None:
        def broken(_: HTTPConnection) -> str:
            raise OopsError

        app = Endpoints().application(max_streams=2, client_key=broken)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()

    @each_kind
    @pytest.mark.parametrize("value", ["raises", 5, b"key", ["key"], True, object()])
    async def test_that_is_invalid_fails_only_its_request(self, kind: str, value: Any) -> None:
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
                    await read_whole(client, f"/{kind}")
                if expected is ConfigurationError:
                    assert "client_key must return a str, or None" in str(caught.value)
                    assert repr(value) in str(caught.value)
                fails = False
                async with client.stream("GET", f"/{kind}") as events:
                    assert (await events.next()).raw_data == "1"
        for generator in endpoints.generators:
            frame = getattr(generator, "ag_frame", None) or getattr(generator, "gi_frame", None)
            assert frame is None

    async def test_is_passed_to_observers(self) -> None:
        closed_streams = ClosedStreams()
        app = Endpoints().application(observers=[closed_streams], client_key=lambda _: "somebody")
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
        (closed,) = closed_streams.records
        assert closed.stream.client == "somebody"
