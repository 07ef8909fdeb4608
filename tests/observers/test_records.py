"""What observers are told of the streams of an application."""

from collections.abc import AsyncIterator
from contextvars import ContextVar

import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.observers import StreamRecord
from tests.registry.endpoints import Endpoints, each_kind
from tests.served import ClosedStreams, OopsError, client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_a_record_names_the_request() -> None:
    closed_streams = ClosedStreams()

    async def one(_request: Request) -> Response:
        return EventSourceResponse(Endpoints().numbers())

    app = Starlette(
        routes=[
            Route("/other", one),
            Route("/users/{name}", one),
            Mount("/sub", routes=[Route("/{id:int}/x", one)]),
            Mount("/app", app=EventSourceResponse([1])),
        ],
        middleware=[Middleware(SSEMiddleware, observers=[closed_streams])],
    )
    for path in ("/users/ann", "/sub/5/x", "/app/x"):
        async with client_of(app) as client, client.stream("GET", path) as events:
            await events.next()
    streams = [record.stream for record in closed_streams.records]
    assert [stream.path for stream in streams] == ["/users/ann", "/sub/5/x", "/app/x"]
    assert [stream.route for stream in streams] == ["/users/{name}", "/sub/{id}/x", "/app"]
    assert {stream.method for stream in streams} == {"GET"}
    assert {stream.client for stream in streams} == {"127.0.0.1"}
    assert len({stream.id for stream in streams}) == 3
    assert all(len(stream.id) == 16 and int(stream.id, 16) >= 0 for stream in streams)


class TestObservers:
    @each_kind
    async def test_that_fail_do_not_affect_the_stream(
        self, kind: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(record: StreamRecord) -> None:
            raise OopsError(type(record).__name__)

        app = Endpoints().application(observers=[broken], ping_interval=5, send_timeout=None)
        async with client_of(app) as client, client.stream("GET", f"/{kind}") as events:
            assert (await events.next()).raw_data == "1"
            if kind != "sync":
                await events.next_comment()
        for name in ("StreamOpened", "FirstEvent", "EventsSent", "StreamClosed"):
            assert f"OopsError: {name}" in caplog.text

    async def test_get_a_record_of_each_step(self) -> None:
        records: list[StreamRecord] = []
        app = Endpoints().application(observers=[records.append], ping_interval=5)
        async with client_of(app) as client, client.stream("GET", "/response") as events:
            await events.next()
            await events.next_comment()
            await events.next_comment()
        names = [type(record).__name__ for record in records]
        assert names == [
            *("StreamOpened", "FirstEvent", "EventsSent", "PingSent", "PingSent", "StreamClosed")
        ]
        assert len({record.stream.id for record in records}) == 1

    async def test_may_set_context_variables_for_the_generator(self) -> None:
        variable = ContextVar("variable", default="unset")

        async def items() -> AsyncIterator[str]:
            await checkpoint()
            yield variable.get()

        def observer(record: StreamRecord) -> None:
            variable.set("set")

        app = SSEMiddleware(EventSourceResponse(items()), observers=[observer])
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == "set"
