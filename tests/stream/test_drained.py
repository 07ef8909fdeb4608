"""Streams of every kind that are drained: the grace, the cleanup, and the farewell."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    LegacyRoute,
    ServerSentEvent,
    event_stream,
)
from sse_middleware.stream.stream import FAREWELL_TIMEOUT
from tests.served import OopsError, call, chunks_of, client_of, events_of
from tests.stream.draining import CLEANUP, GRACE, DrainedApp, idle, rest_of
from tests.stream.traces import LARGE, Trace, running_asyncio

pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")


async def one_large() -> AsyncIterator[str]:
    yield LARGE


async def endless() -> AsyncIterator[str]:
    while True:
        yield LARGE


@tidy
class TestGenerators:
    async def test_are_cancelled_after_the_grace_and_clean_up(self) -> None:
        trace = Trace()
        app = DrainedApp(EventSourceResponse(trace.idle()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE + running_asyncio(), abs=0.01)
            assert await rest_of(events) == []
            assert 2000 <= (events.reconnection_time or 0) <= 4000
        assert app.closed_streams.reasons == [CloseReason.DRAINED]
        assert trace.was_cleaned_up()

    async def test_that_wait_for_the_drain_may_end_by_themselves(self) -> None:
        @event_stream
        async def waiting(request: Request) -> AsyncIterator[str]:
            yield "open"
            await request.scope["sse_middleware"].draining.wait()
            yield "bye"

        app = DrainedApp(Starlette(routes=[Route("/", waiting)]))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(0, abs=0.01)
            assert await rest_of(events) == [{"raw_data": '"bye"'}]
            assert events.reconnection_time is None
        assert app.closed_streams.reasons == [CloseReason.FINISHED]

    @pytest.mark.parametrize("grace", [0, 100])
    async def test_have_the_grace_that_is_set(self, grace: float) -> None:
        app = DrainedApp(EventSourceResponse(idle(), drain_grace=grace))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(grace, abs=0.01)

    async def test_that_go_on_yielding_are_cancelled(self) -> None:
        async def flow() -> AsyncIterator[str]:
            while True:
                yield "x" * 1000
                await anyio.sleep(0.25)

        app = DrainedApp(EventSourceResponse(flow()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE, abs=0.3)
            await rest_of(events)
            assert events.reconnection_time is not None

    @pytest.mark.parametrize("goes_on", [False, True])
    async def test_that_swallow_the_cancellation_are_closed(self, goes_on: bool) -> None:
        async def stubborn() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
                yield 2  # it could go on
            except anyio.get_cancelled_exc_class():
                while goes_on:
                    yield 1

        for _ in range(10):  # trio wakes tasks in an order of its own
            app = DrainedApp(EventSourceResponse(stubborn()))
            async with events_of(app.middleware) as events:
                await events.next()
                assert await app.drain() == pytest.approx(GRACE, abs=0.01)
                assert await rest_of(events) == [], "nothing comes after the farewell"
                assert events.reconnection_time is not None

    async def test_that_swallow_the_cancellation_and_wait_again_are_ended(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def stubborn() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
                yield 0  # it could go on
            finally:
                await anyio.sleep_forever()
                yield 0  # it could go on

        app = DrainedApp(EventSourceResponse(stubborn()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() <= GRACE + CLEANUP + 0.01
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert app.closed_streams.reasons == [CloseReason.DRAINED]
        if running_asyncio():
            assert "cleanup_timeout" in caplog.text

    async def test_that_fail_when_they_are_cancelled_raise_their_error(self) -> None:
        async def failing() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
                yield 0  # it could go on
            finally:
                raise OopsError

        app = DrainedApp(EventSourceResponse(failing()))
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drain()
            with pytest.raises(OopsError):
                await rest_of(events)
            assert events.reconnection_time is not None
        (closed,) = app.closed_streams.records
        assert closed.reason == CloseReason.DRAINED
        assert isinstance(closed.error, OopsError)

    @pytest.mark.parametrize("commit_after", [0.5, 1000])
    async def test_without_an_event_yet_are_ended_too(self, commit_after: float) -> None:
        async def silent() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 0

        app = DrainedApp(EventSourceResponse(silent(), commit_after=commit_after))
        took: list[float] = []

        async def drain() -> None:
            await anyio.wait_all_tasks_blocked()
            took.append(await app.drain())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain)
            async with events_of(app.middleware) as events:
                assert await rest_of(events) == []
                assert events.response.status_code == 200
                assert events.reconnection_time is not None
        assert took == [pytest.approx(GRACE, abs=0.01)]
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    async def test_that_end_within_the_grace_leave_no_timer(self) -> None:
        async def short() -> AsyncIterator[int]:
            yield 0
            await anyio.sleep(1)

        app = DrainedApp(EventSourceResponse(short()), drain_grace=1000)
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(1, abs=0.01)
        assert app.closed_streams.reasons == [CloseReason.FINISHED]
        if running_asyncio():
            await anyio.sleep(15)  # the timer of the keep-alives is kept until it would fire
            loop: Any = asyncio.get_running_loop()
            assert not [timer for timer in loop._scheduled if not timer.cancelled()]

    async def test_whose_client_leaves_within_the_grace_are_disconnected(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), drain_grace=10)
        async with anyio.create_task_group() as tasks, events_of(app.middleware) as events:
            await events.next()
            tasks.start_soon(app.drain)
            await anyio.sleep(1)
            await events.disconnect()
        assert app.closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]


@tidy
class TestClientsThatDoNotRead:
    @pytest.mark.parametrize("content", [endless, one_large], ids=["open", "at its end"])
    async def test_delay_the_drain_no_longer_than_the_cleanup(self, content: Any) -> None:
        app = DrainedApp(EventSourceResponse(content()), send_timeout=None)
        async with chunks_of(app.middleware, window=1):
            await anyio.wait_all_tasks_blocked()
            assert await app.drain() == pytest.approx(GRACE + CLEANUP, abs=0.01)
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    async def test_get_everything_when_they_read_again(self) -> None:
        app = DrainedApp(EventSourceResponse(endless()))
        async with anyio.create_task_group() as tasks:
            async with chunks_of(app.middleware, window=1) as chunks:
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(app.drain)
                await anyio.sleep(GRACE + CLEANUP / 2)
                body = b"".join([chunk async for chunk in chunks])
            *events, farewell, end = body.split(b"\n\n")
            assert all(len(event) == len('data: ""' + LARGE) for event in events)
            assert farewell.startswith(b"retry: ")
            assert end == b""


class TestSynchronousGenerators:
    @tidy
    async def test_may_look_for_the_drain(self) -> None:
        @event_stream
        def looking(request: Request) -> Iterator[str]:
            yield "open"
            while not request.scope["sse_middleware"].draining.is_set():
                yield "on"
            yield "bye"

        app = DrainedApp(Starlette(routes=[Route("/", looking)]))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() <= GRACE + CLEANUP
            assert (await rest_of(events))[-1] == {"raw_data": '"bye"'}
        assert app.closed_streams.reasons == [CloseReason.FINISHED]

    async def test_that_block_are_given_up(self, caplog: pytest.LogCaptureFixture) -> None:
        release, closed = threading.Event(), threading.Event()

        def blocked() -> Iterator[int]:
            try:
                yield 0
                release.wait()
                while True:
                    yield 1
            finally:
                closed.set()

        app = DrainedApp(EventSourceResponse(blocked()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() <= GRACE + 2 * CLEANUP
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
            assert not closed.is_set()
        assert "is still running, and is closed when it yields" in caplog.text
        release.set()
        assert await anyio.to_thread.run_sync(closed.wait, 10)
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    @tidy
    async def test_that_never_block_are_closed(self) -> None:
        closed: list[bool] = []

        def flow() -> Iterator[str]:
            try:
                while True:
                    yield "x" * 10_000
            finally:
                closed.append(True)

        app = DrainedApp(EventSourceResponse(flow()), drain_grace=0)
        async with chunks_of(app.middleware) as chunks:
            await anext(chunks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app.drain)
                async for _ in chunks:
                    pass
        assert closed == [True]
        assert app.closed_streams.reasons == [CloseReason.DRAINED]


@tidy
class TestAdoptedApplications:
    async def until_disconnected(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def test_are_cancelled_after_the_grace(self) -> None:
        trace = Trace()
        app = DrainedApp(trace.application())
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE + running_asyncio(), abs=0.01)
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert trace.was_cleaned_up()
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    async def test_that_wait_for_a_disconnect_may_end_by_themselves(self) -> None:
        trace = Trace(0.5)
        app = DrainedApp(trace.application(then=self.until_disconnected))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE + 0.5, abs=0.01)
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert trace.was_cleaned_up(cancelled=False)
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    async def test_that_go_on_after_the_disconnect_are_cancelled(self) -> None:
        trace = Trace()

        async def go_on(receive: Any) -> None:
            await self.until_disconnected(receive)
            await anyio.sleep_forever()

        app = DrainedApp(trace.application(then=go_on))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drain() == pytest.approx(GRACE + CLEANUP + running_asyncio(), abs=0.01)
        assert trace.was_cleaned_up()

    async def test_that_go_on_sending_are_not_heard(self) -> None:
        more = {"type": "http.response.body", "body": b"1\n", "more_body": True}
        sent: list[int] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            async def go_on(_receive: Any) -> None:
                try:
                    await anyio.sleep_forever()
                finally:
                    with anyio.CancelScope(shield=True):
                        for number in range(100):
                            await send(more)
                            sent.append(number)

            await Trace().application(then=go_on)(scope, receive, send)

        drained = DrainedApp(app)
        async with events_of(drained.middleware) as events:
            await events.next()
            await drained.drain()
            assert await rest_of(events) == []
        assert sent == list(range(100))


@tidy
async def test_a_polled_stream_is_ended() -> None:
    app = DrainedApp(PlainTextResponse("1"), legacy=[LegacyRoute("/", poll=100)])
    async with events_of(app.middleware) as events:
        await events.next()
        assert await app.drain() == pytest.approx(GRACE, abs=0.01)
        assert await rest_of(events) == []
    assert app.closed_streams.reasons == [CloseReason.DRAINED]


@tidy
class TestFarewell:
    def bye(self, reason: CloseReason) -> ServerSentEvent:
        return ServerSentEvent(event="bye", raw_data=reason.value)

    async def farewell(self, **settings: Any) -> bytes:
        app = DrainedApp(EventSourceResponse(idle()), **settings)
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drain()
            await rest_of(events)
            return events.body.removeprefix(b"data: 0\n\n")

    async def test_is_a_function_of_the_reason(self) -> None:
        assert await self.farewell(farewell=self.bye) == b"event: bye\ndata: drained\n\n"

    async def test_sees_the_context_of_its_request(self) -> None:
        var: ContextVar[str] = ContextVar("var", default="")

        def bye(_: CloseReason) -> ServerSentEvent:
            return ServerSentEvent(event="bye", raw_data=var.get())

        app = DrainedApp(EventSourceResponse(idle()), farewell=bye)

        async def with_variable(scope: Scope, receive: Receive, send: Send) -> None:
            var.set("the stream's")
            await app.middleware(scope, receive, send)

        async with events_of(with_variable) as events:
            await events.next()
            var.set("of another request, which drains")
            await app.drain()
            assert [event["raw_data"] for event in await rest_of(events)] == ["the stream's"]

    @pytest.mark.parametrize("farewell", [None, lambda _: None], ids=["none", "returns none"])
    async def test_may_be_none(self, farewell: Any) -> None:
        assert await self.farewell(farewell=farewell) == b""

    async def test_by_default_asks_to_come_back_at_random(self) -> None:
        times = set()
        for _ in range(20):
            text = (await self.farewell(retry_after=10)).decode()
            times.add(int(text.removeprefix("retry: ")))
        assert len(times) > 10
        assert min(times) >= 10_000
        assert max(times) <= 20_000

    async def test_that_can_not_be_made_is_left_out(self, caplog: pytest.LogCaptureFixture) -> None:
        def broken(_: CloseReason) -> ServerSentEvent:
            raise OopsError

        assert await self.farewell(farewell=broken) == b""
        assert "no last event is sent" in caplog.text

    async def test_counts_as_an_event(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), farewell=self.bye)
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drain()
        (closed,) = app.closed_streams.records
        assert closed.events == 2

    async def test_of_a_compressed_stream_is_compressed(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), farewell=self.bye, compression=["gzip"])
        async with (
            client_of(app.middleware) as client,
            client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as events,
        ):
            await events.next()
            await app.drain()
            assert events.response.headers["content-encoding"] == "gzip"
            assert [event.event for event in [e async for e in events]] == ["bye"]


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
class TestCancelledByTheServer:
    """As daphne does, which cancels its applications as soon as it is told to stop."""

    async def test_during_a_drain_the_farewell_is_still_sent(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), drain_grace=100)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        task = asyncio.ensure_future(call(app.middleware, send=send))
        await anyio.wait_all_tasks_blocked()
        drain = asyncio.ensure_future(app.middleware.drain())
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        await task  # not as cancelled: daphne stops when one has ended as cancelled
        assert not task.cancelling()
        await drain
        assert sent[-1]["body"].startswith(b"retry: ")
        assert not sent[-1]["more_body"]
        assert app.closed_streams.reasons == [CloseReason.DRAINED]

    async def test_during_a_drain_a_client_that_does_not_read_gets_no_farewell(self) -> None:
        app = DrainedApp(EventSourceResponse(idle()), drain_grace=100)

        async def send(message: Any) -> None:
            if message.get("body"):
                await anyio.sleep_forever()

        task = asyncio.ensure_future(call(app.middleware, send=send))
        await anyio.wait_all_tasks_blocked()
        drain = asyncio.ensure_future(app.middleware.drain())
        await anyio.wait_all_tasks_blocked()
        begin = anyio.current_time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert anyio.current_time() - begin <= FAREWELL_TIMEOUT + 0.1
        await drain
