"""`SyncEventClient`: the same streams, for plain functions."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sse_middleware import ServerSentEvent, event_stream
from sse_middleware.testing import (
    NoEventError,
    StillRunningError,
    SyncEventClient,
    UsageError,
    VirtualTime,
)
from tests.testing.portals import ON_PORTALS

HOUR = 3600


class App:
    """An application that records what happens to it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        routes = [
            Route("/", event_stream(self.numbers)),
            Route("/three", event_stream(self.three)),
            Route("/breaks", event_stream(self.breaks)),
            Route("/json", self.json, methods=["POST"]),
        ]
        self.app = Starlette(routes=routes, lifespan=self.lifespan)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self.log.append("up")
        yield
        self.log.append("down")

    async def numbers(self, request: Request) -> AsyncIterator[ServerSentEvent]:
        """Yield a number every 50 seconds, beginning after the last one that the client has."""
        number = int(request.headers.get("last-event-id", 0))
        try:
            while True:
                number += 1
                yield ServerSentEvent(data=number, id=str(number), retry=2000)
                await anyio.sleep(50)
        finally:
            self.log.append("finally")

    async def three(self, request: Request) -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async def breaks(self, request: Request) -> AsyncIterator[int]:
        yield 1
        raise LookupError("late")

    async def json(self, request: Request) -> Response:
        return JSONResponse(await request.json())


@pytest.fixture
def app() -> App:
    return App()


@pytest.fixture(params=ON_PORTALS)
def time(request: pytest.FixtureRequest) -> VirtualTime:
    return VirtualTime(request.param)


@pytest.fixture
def client(app: App, time: VirtualTime) -> Iterator[SyncEventClient]:
    with SyncEventClient(app.app, time=time) as client:
        yield client


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_in_real_time(app: App, backend: str) -> None:
    with SyncEventClient(app.app, backend=backend) as client:
        assert app.log == ["up"]
        with client.stream("GET", "/") as events:
            assert events.next().json() == 1
        assert app.log == ["up", "finally"]
        client.sleep(0)
    assert app.log == ["up", "finally", "down"]


def test_a_stream_has_the_same_attributes(client: SyncEventClient) -> None:
    with client.stream("GET", "/") as events:
        first = events.next()
        assert events.next_comment(timeout=HOUR) == "ping"
        assert [event.json() for event in [first, events.next(HOUR)]] == [1, 2]
        assert events.received == [first, events.received[1]]
        assert events.comments == ["ping"] * 3
        assert events.response.status_code == 200
        assert events.body.startswith(b"data: 1\n")
        assert events.reconnection_time == 2000
        assert events.last_event_id == "2"
        assert repr(events).startswith("<EventStream: so far: status 200")


def test_iterates_to_the_end(client: SyncEventClient) -> None:
    with client.stream("GET", "/three") as events:
        assert [event.json() for event in events] == [0, 1, 2]


def test_takes_many(client: SyncEventClient) -> None:
    with client.stream("GET", "/three") as events:
        assert [event.json() for event in events.take(2)] == [0, 1]


def test_disconnects_and_reconnects(client: SyncEventClient, app: App, time: VirtualTime) -> None:
    with client.stream("GET", "/") as events:
        events.next()
        began = time.elapsed
        events.reconnect()
        assert time.elapsed - began == 2
        assert app.log == ["up", "finally"]
        assert events.next().json() == 2
        events.disconnect()
        assert app.log == ["up", "finally", "finally"]
        with pytest.raises(UsageError, match="read after the disconnect"):
            events.next()


def test_sends_other_requests(client: SyncEventClient) -> None:
    assert client.request("POST", "/json", json={"a": 1}).json() == {"a": 1}


def test_raises_the_error_of_the_application(client: SyncEventClient) -> None:
    with client.stream("GET", "/breaks") as events:
        assert events.next().json() == 1
        with pytest.raises(LookupError, match="late"):
            events.next()


def test_an_error_of_the_test_comes_first_with_others_as_notes(client: SyncEventClient) -> None:
    def fail() -> None:
        with client.stream("GET", "/breaks"):
            client.sleep(1)
            raise AssertionError("of the test")

    with pytest.raises(AssertionError, match="of the test") as caught:
        fail()
    assert type(caught.value) is AssertionError
    assert caught.value.__notes__ == ["afterwards: LookupError('late')"]


class TestVirtualTime:
    def test_passes_only_while_the_client_is_called(
        self, client: SyncEventClient, time: VirtualTime
    ) -> None:
        with client.stream("GET", "/") as events:
            began = time.elapsed
            client.sleep(HOUR + 1)
            assert time.elapsed - began == HOUR + 1
            assert len(events.received) == 1 + HOUR // 50
            client.request("POST", "/json", json=1)
            assert time.elapsed - began == HOUR + 1

    def test_bounds_a_wait_for_an_event(self, client: SyncEventClient, time: VirtualTime) -> None:
        with client.stream("GET", "/") as events:
            events.next()
            began = time.elapsed
            with pytest.raises(NoEventError, match="within 5 s"):
                events.next()
            assert time.elapsed - began == 5

    def test_bounds_the_end_of_the_application(self, time: VirtualTime) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await anyio.sleep_forever()

        with SyncEventClient(app, time=time) as client:
            block = client.stream("GET", "/")
            block.__enter__()
            with pytest.raises(StillRunningError):
                block.__exit__(None, None, None)
            assert time.elapsed == 10

    def test_is_released_afterwards(self, app: App, time: VirtualTime) -> None:
        with SyncEventClient(app.app, time=time) as client:
            assert time.held
            client.sleep(1)
        assert not time.held


class TestUse:
    def test_outside_of_the_block_is_refused(self, app: App) -> None:
        client = SyncEventClient(app.app)
        calls: list[Any] = [
            lambda: client.request("GET", "/"),
            lambda: client.stream("GET", "/").__enter__(),
        ]
        for call in calls:
            with pytest.raises(UsageError, match="with SyncEventClient"):
                call()
        with client:
            pass
        with pytest.raises(UsageError, match="with SyncEventClient"):
            client.sleep(1)

    def test_a_failed_startup_is_raised(self) -> None:
        @asynccontextmanager
        async def lifespan(app: Starlette) -> AsyncIterator[None]:
            raise LookupError("no database")
            yield

        client = SyncEventClient(Starlette(lifespan=lifespan))
        with pytest.raises(AssertionError, match="no database"), client:
            pytest.fail("it started")
        with pytest.raises(UsageError):
            client.sleep(1)
