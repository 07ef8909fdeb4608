"""All streams are ended in good order: by the application, or by the end of its lifespan.

That a server's signal begins it is shown in `tests.test_shutdown` and `tests.e2e.test_drain`.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.from_thread import start_blocking_portal
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    LegacyRoute,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.stream.open_stream import FAREWELL_TIMEOUT
from sse_middleware.testing import EventStream
from sse_middleware.testing.lifespan import Lifespan
from tests.served import Ends, OopsError, body_of, call, chunks_of, client_of, events_of

pytestmark = pytest.mark.anyio
tidy = pytest.mark.usefixtures("nothing_left_behind")

GRACE, CLEANUP = 1.0, 5.0
"""The defaults of `drain_grace` and `cleanup_timeout`, in seconds."""


def on_asyncio() -> bool:
    return anyio.get_cancelled_exc_class() is asyncio.CancelledError


class Application:
    """One middleware around one response or application, and how its streams ended."""

    def __init__(self, content: Any, **settings: Any) -> None:
        self.ends = Ends()
        self.middleware = SSEMiddleware(content, observers=[self.ends], **settings)

    async def drained(self) -> float:
        """Drain, and return how many seconds that took."""
        begin = anyio.current_time()
        await self.middleware.drain()
        assert self.middleware.stats().open == 0
        return anyio.current_time() - begin


async def idle(log: list[str] | None = None) -> AsyncIterator[int]:
    try:
        yield 0
        await anyio.sleep_forever()
    finally:
        if log is not None:
            log.append("begin")
            await anyio.sleep(0.5)
            log.append("end")


def cleaned_up() -> list[str]:
    """Return the log of a generator that was cancelled at an `await`: trio cancels all of them."""
    return ["begin", "end"] if on_asyncio() else ["begin"]


async def rest_of(events: EventStream) -> list[Any]:
    return [event.model_dump(exclude_none=True) async for event in events]


@tidy
class TestGenerators:
    async def test_are_ended_after_the_grace_and_their_cleanup_runs(self) -> None:
        log: list[str] = []
        app = Application(EventSourceResponse(idle(log)))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE + 0.5 * on_asyncio(), abs=0.01)
            assert await rest_of(events) == []
            assert 2000 <= (events.reconnection_time or 0) <= 4000
        assert app.ends.reasons == [CloseReason.DRAINED]
        assert log == cleaned_up()

    async def test_that_hear_of_it_may_end_by_themselves(self) -> None:
        @event_stream
        async def watching(request: Request) -> AsyncIterator[str]:
            yield "open"
            await request.scope["sse_middleware"].draining.wait()
            yield "bye"

        app = Application(Starlette(routes=[Route("/", watching)]))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(0, abs=0.01)
            assert await rest_of(events) == [{"raw_data": '"bye"'}]
            assert events.reconnection_time is None
        assert app.ends.reasons == [CloseReason.FINISHED]

    async def test_have_the_grace_that_is_set(self) -> None:
        app = Application(EventSourceResponse(idle(), drain_grace=100))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(100, abs=0.01)

    async def test_have_none_where_it_is_zero(self) -> None:
        app = Application(EventSourceResponse(idle()), drain_grace=0)
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(0, abs=0.01)

    async def test_that_do_not_wait_are_ended(self) -> None:
        async def flow() -> AsyncIterator[str]:
            while True:
                yield "x" * 1000
                await anyio.sleep(0.25)

        app = Application(EventSourceResponse(flow()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE, abs=0.3)
            await rest_of(events)
            assert events.reconnection_time is not None

    async def test_that_swallow_the_cancellation_and_end_are_bidden_farewell(self) -> None:
        async def stubborn() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                return

        for _ in range(10):  # trio wakes tasks in an order of its own
            app = Application(EventSourceResponse(stubborn()))
            async with events_of(app.middleware) as events:
                await events.next()
                assert await app.drained() == pytest.approx(GRACE, abs=0.01)
                assert await rest_of(events) == []
                assert events.reconnection_time is not None

    async def test_that_swallow_the_cancellation_and_go_on_yielding_are_closed(self) -> None:
        async def stubborn() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                while True:
                    yield 1

        for _ in range(10):  # trio wakes tasks in an order of its own
            app = Application(EventSourceResponse(stubborn()))
            async with events_of(app.middleware) as events:
                await events.next()
                assert await app.drained() == pytest.approx(GRACE, abs=0.01)
                assert await rest_of(events) == [], "nothing comes behind the farewell"
                assert events.reconnection_time is not None

    async def test_that_swallow_the_cancellation_and_wait_again_are_ended(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def stubborn() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            finally:
                await anyio.sleep_forever()

        app = Application(EventSourceResponse(stubborn()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() <= GRACE + CLEANUP + 0.01
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert app.ends.reasons == [CloseReason.DRAINED]
        if on_asyncio():
            assert "cleanup_timeout" in caplog.text

    async def test_that_fail_when_they_are_cancelled_reach_the_server(self) -> None:
        async def failing() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            finally:
                raise OopsError

        app = Application(EventSourceResponse(failing()))
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drained()
            with pytest.raises(OopsError):
                await rest_of(events)
            assert events.reconnection_time is not None
        (closed,) = app.ends.records
        assert closed.reason == CloseReason.DRAINED
        assert isinstance(closed.error, OopsError)

    @pytest.mark.parametrize("commit_after", [0.5, 1000])
    async def test_without_an_event_yet_are_ended_too(self, commit_after: float) -> None:
        async def silent() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 0

        app = Application(EventSourceResponse(silent(), commit_after=commit_after))
        took: list[float] = []

        async def drain() -> None:
            await anyio.wait_all_tasks_blocked()
            took.append(await app.drained())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(drain)
            async with events_of(app.middleware) as events:
                assert await rest_of(events) == []
                assert events.response.status_code == 200
                assert events.reconnection_time is not None
        assert took == [pytest.approx(GRACE, abs=0.01)]
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_that_end_while_the_grace_runs_leave_no_timer_behind(self) -> None:
        async def short() -> AsyncIterator[int]:
            yield 0
            await anyio.sleep(1)

        app = Application(EventSourceResponse(short()), drain_grace=1000)
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(1, abs=0.01)
        assert app.ends.reasons == [CloseReason.FINISHED]
        if on_asyncio():
            loop: Any = asyncio.get_running_loop()
            assert not [timer for timer in loop._scheduled if not timer.cancelled()]

    async def test_whose_client_leaves_while_the_grace_runs(self) -> None:
        app = Application(EventSourceResponse(idle()), drain_grace=10)
        async with anyio.create_task_group() as tasks, events_of(app.middleware) as events:
            await events.next()
            tasks.start_soon(app.drained)
            await anyio.sleep(1)
            await events.disconnect()
        assert app.ends.reasons == [CloseReason.CLIENT_DISCONNECTED]


@tidy
class TestClientsThatDoNotRead:
    async def test_hold_nobody_up_for_longer_than_the_cleanup(self) -> None:
        async def flow() -> AsyncIterator[str]:
            while True:
                yield "x" * 100_000

        app = Application(EventSourceResponse(flow()), send_timeout=None)
        async with chunks_of(app.middleware, window=1):
            await anyio.wait_all_tasks_blocked()
            assert await app.drained() == pytest.approx(GRACE + CLEANUP, abs=0.01)
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_of_a_stream_that_has_ended_hold_nobody_up_either(self) -> None:
        async def large() -> AsyncIterator[str]:
            yield "x" * 100_000

        app = Application(EventSourceResponse(large()), send_timeout=None)
        async with chunks_of(app.middleware, window=1):
            await anyio.wait_all_tasks_blocked()
            assert await app.drained() == pytest.approx(GRACE + CLEANUP, abs=0.01)
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_that_begin_to_read_again_have_it_all(self) -> None:
        async def flow() -> AsyncIterator[str]:
            while True:
                yield "x" * 100_000

        app = Application(EventSourceResponse(flow()))
        async with anyio.create_task_group() as tasks:
            async with chunks_of(app.middleware, window=1) as chunks:
                await anyio.wait_all_tasks_blocked()
                tasks.start_soon(app.drained)
                await anyio.sleep(GRACE + CLEANUP / 2)
                body = b"".join([chunk async for chunk in chunks])
            *events, farewell, end = body.split(b"\n\n")
            assert all(len(event) == len('data: ""') + 100_000 for event in events)
            assert farewell.startswith(b"retry: ")
            assert end == b""


class TestSynchronousGenerators:
    @tidy
    async def test_may_watch_for_it(self) -> None:
        @event_stream
        def watching(request: Request) -> Iterator[str]:
            yield "open"
            while not request.scope["sse_middleware"].draining.is_set():
                yield "on"
            yield "bye"

        app = Application(Starlette(routes=[Route("/", watching)]))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() <= GRACE + CLEANUP
            assert (await rest_of(events))[-1] == {"raw_data": '"bye"'}
        assert app.ends.reasons == [CloseReason.FINISHED]

    async def test_may_be_asked_for_in_an_endpoint_in_a_thread(self) -> None:
        seen: list[bool] = []

        def endpoint(request: Request) -> EventSourceResponse:
            context = request.scope["sse_middleware"]
            seen.append(context.draining.is_set() or context.stats().open == 0)
            return EventSourceResponse([1])

        app = Application(Starlette(routes=[Route("/", endpoint)]))
        assert await body_of(app.middleware) == b"data: 1\n\n"
        assert seen == [True]

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

        app = Application(EventSourceResponse(blocked()))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() <= GRACE + 2 * CLEANUP
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
            assert not closed.is_set()
        assert "is still running, and is closed when it yields" in caplog.text
        release.set()
        assert await anyio.to_thread.run_sync(closed.wait, 10)
        assert app.ends.reasons == [CloseReason.DRAINED]

    @tidy
    async def test_in_full_flow_are_closed(self) -> None:
        closed: list[bool] = []

        def flow() -> Iterator[str]:
            try:
                while True:
                    yield "x" * 10_000
            finally:
                closed.append(True)

        app = Application(EventSourceResponse(flow()), drain_grace=0)
        async with chunks_of(app.middleware) as chunks:
            await anext(chunks)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(app.drained)
                async for _ in chunks:
                    pass
        assert closed == [True]
        assert app.ends.reasons == [CloseReason.DRAINED]


def adoptable(then: Callable[[Any], Any], log: list[str]) -> Any:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/x-ndjson")]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            body = {"type": "http.response.body", "body": b"0\n", "more_body": True}
            await send(body)
            await then(receive)
        finally:
            log.append("finally")

    return app


@tidy
class TestAdoptedApplications:
    async def until_left(self, receive: Any) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def test_are_cancelled(self) -> None:
        log: list[str] = []

        async def wait(_receive: Any) -> None:
            await anyio.sleep_forever()

        app = Application(adoptable(wait, log))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE, abs=0.01)
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert log == ["finally"]
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_that_listen_read_that_their_response_is_over(self) -> None:
        log: list[str] = []

        async def listen(receive: Any) -> None:
            await self.until_left(receive)
            await anyio.sleep(0.5)
            log.append("heeded")

        app = Application(adoptable(listen, log))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE + 0.5, abs=0.01)
            assert await rest_of(events) == []
            assert events.reconnection_time is not None
        assert log == ["heeded", "finally"]
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_that_listen_and_go_on_are_cancelled(self) -> None:
        log: list[str] = []

        async def listen(receive: Any) -> None:
            await self.until_left(receive)
            await anyio.sleep_forever()

        app = Application(adoptable(listen, log))
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE + 1, abs=0.01)
        assert log == ["finally"]

    async def test_that_go_on_sending_send_to_nobody(self) -> None:
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

            await adoptable(go_on, [])(scope, receive, send)

        drained = Application(app)
        async with events_of(drained.middleware) as events:
            await events.next()
            await drained.drained()
            assert await rest_of(events) == []
        assert sent == list(range(100))


@tidy
class TestFarewell:
    def bye(self, reason: CloseReason) -> ServerSentEvent:
        return ServerSentEvent(event="bye", raw_data=reason.value)

    async def farewell(self, **settings: Any) -> bytes:
        app = Application(EventSourceResponse(idle()), **settings)
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drained()
            await rest_of(events)
            return events.body.removeprefix(b"data: 0\n\n")

    async def test_is_a_function_of_the_reason(self) -> None:
        whole = b"event: bye\ndata: drained\n\n"
        assert await self.farewell(farewell=self.bye) == whole

    async def test_may_be_none(self) -> None:
        assert await self.farewell(farewell=None) == b""
        assert await self.farewell(farewell=lambda _: None) == b""

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
        app = Application(EventSourceResponse(idle()), farewell=self.bye)
        async with events_of(app.middleware) as events:
            await events.next()
            await app.drained()
        (closed,) = app.ends.records
        assert closed.events == 2

    async def test_of_a_compressed_stream_is_compressed(self) -> None:
        app = Application(EventSourceResponse(idle()), farewell=self.bye, compression=["gzip"])
        async with (
            client_of(app.middleware) as client,
            client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as events,
        ):
            await events.next()
            await app.drained()
            assert events.response.headers["content-encoding"] == "gzip"
            assert [event.event for event in [e async for e in events]] == ["bye"]


class TestManyStreams:
    @pytest.mark.parametrize("spread", [0.0, 10.0])
    async def test_ends_are_spread(self, spread: float) -> None:
        ended: list[float] = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 0
                await anyio.sleep_forever()
            finally:
                ended.append(anyio.current_time())

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(items())(scope, receive, send)

        drained = Application(app, drain_spread=spread)
        async with client_of(drained.middleware) as client, anyio.create_task_group() as tasks:
            opened: list[EventStream] = []

            async def read() -> None:
                async with client.stream("GET", "/") as events:
                    await events.next()
                    opened.append(events)
                    await rest_of(events)

            for _ in range(10):
                tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            assert len(opened) == 10
            begin = anyio.current_time()
            await drained.drained()
        delays = [time - begin - GRACE for time in sorted(ended)]
        assert delays == pytest.approx([spread * n / 10 for n in range(10)], abs=0.01)

    @tidy
    async def test_new_ones_are_refused(self) -> None:
        responses = iter([EventSourceResponse(idle()), EventSourceResponse(idle())])

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await next(responses)(scope, receive, send)

        app = Application(answer)
        async with (
            client_of(app.middleware) as client,
            anyio.create_task_group() as tasks,
            client.stream("GET", "/") as events,
        ):
            await events.next()
            tasks.start_soon(app.drained)
            await anyio.sleep(GRACE / 2)
            response = await client.http.get("/")
            assert response.status_code == 503
            assert response.text == "the server is about to stop"
            assert app.middleware.stats().draining
        assert app.ends.reasons == [CloseReason.REFUSED, CloseReason.CLIENT_DISCONNECTED]

    async def test_other_requests_are_answered(self) -> None:
        app = SSEMiddleware(PlainTextResponse("plain"))
        await app.drain()
        assert await body_of(app) == b"plain"

    @tidy
    async def test_polled_ones_are_ended(self) -> None:
        app = Application(PlainTextResponse("1"), legacy=[LegacyRoute("/", poll=100)])
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE, abs=0.01)
            assert await rest_of(events) == []
        assert app.ends.reasons == [CloseReason.DRAINED]


@tidy
class TestAgain:
    async def test_twice_at_once_both_wait(self) -> None:
        app = Application(EventSourceResponse(idle()))
        took: list[float] = []

        async def drain() -> None:
            took.append(await app.drained())

        async with anyio.create_task_group() as tasks, events_of(app.middleware) as events:
            await events.next()
            tasks.start_soon(drain)
            await anyio.sleep(GRACE / 2)
            tasks.start_soon(drain)
            await rest_of(events)
        assert sorted(took) == pytest.approx([GRACE / 2, GRACE], abs=0.01)

    async def test_without_streams_there_is_nothing_to_wait_for(self) -> None:
        app = Application(EventSourceResponse(idle()))
        for _ in range(2):
            assert await app.drained() == pytest.approx(0, abs=0.01)

    async def test_an_application_may_drain_from_a_request_of_its_own(self) -> None:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            if scope["path"] == "/drain":
                await scope["sse_middleware"].drain()
                text = str(scope["sse_middleware"].stats().closed[CloseReason.DRAINED])
                await PlainTextResponse(text)(scope, receive, send)
            else:
                await EventSourceResponse(idle())(scope, receive, send)

        app = Application(answer)
        async with client_of(app.middleware) as client, client.stream("GET", "/") as events:
            await events.next()
            assert (await client.http.get("/drain")).text == "1"

    async def test_of_two_middlewares_the_inner_one_has_the_streams(self) -> None:
        outer_ends = Ends()
        app = Application(EventSourceResponse(idle()))
        outer = SSEMiddleware(app.middleware, observers=[outer_ends], max_streams=1)
        async with events_of(outer) as events:
            await events.next()
            assert outer.stats().open == 0
            await outer.drain()
            assert app.middleware.stats().open == 1
            assert await app.drained() == pytest.approx(GRACE, abs=0.01)
        assert app.ends.reasons == [CloseReason.DRAINED]
        assert outer_ends.reasons == []


class Living:
    """The lifespan of an application, run by hand beside its requests."""

    def __init__(self, app: Any, tasks: Any) -> None:
        self._lifespan = Lifespan(app, {}, patience=10_000)
        self._tasks = tasks

    async def start(self) -> None:
        await self._lifespan.start(self._tasks)

    async def stop(self) -> float:
        begin = anyio.current_time()
        await self._lifespan.stop()
        return anyio.current_time() - begin


def starlette(**options: Any) -> Starlette:
    async def endpoint(_: Request) -> EventSourceResponse:
        return EventSourceResponse(idle())

    return Starlette(
        routes=[Route("/", endpoint)], middleware=[Middleware(SSEMiddleware, **options)]
    )


@tidy
class TestLifespan:
    async def test_its_shutdown_drains(self) -> None:
        ends = Ends()
        app = starlette(observers=[ends])
        async with anyio.create_task_group() as tasks:
            living = Living(app, tasks)
            await living.start()
            async with events_of(app) as events:
                await events.next()
                assert await living.stop() == pytest.approx(GRACE, abs=0.01)
                assert await rest_of(events) == []
        assert ends.reasons == [CloseReason.DRAINED]

    async def test_after_it_another_begins_anew(self) -> None:
        ends = Ends()
        app = starlette(observers=[ends])
        both = [CloseReason.DRAINED, CloseReason.REFUSED]
        async with anyio.create_task_group() as tasks:
            for number in range(3):
                living = Living(app, tasks)
                await living.start()
                async with events_of(app) as events:
                    assert events.response.status_code == 200
                    await events.next()
                    await living.stop()
                    assert ends.reasons == both * number + [CloseReason.DRAINED]
                async with events_of(app) as events:
                    assert events.response.status_code == 503

    async def test_does_not_drain_where_it_shall_not(self) -> None:
        ends = Ends()
        app = starlette(observers=[ends], drain=False)
        async with anyio.create_task_group() as tasks:
            living = Living(app, tasks)
            await living.start()
            async with events_of(app) as events:
                await events.next()
                assert await living.stop() == pytest.approx(0, abs=0.01)
                assert ends.reasons == []
        assert ends.reasons == [CloseReason.CLIENT_DISCONNECTED]

    async def test_is_drained_by_hand_where_it_does_not_by_itself(self) -> None:
        app = Application(EventSourceResponse(idle()), drain=False)
        async with events_of(app.middleware) as events:
            await events.next()
            assert await app.drained() == pytest.approx(GRACE, abs=0.01)


class TestCancelledByTheServer:
    """As daphne does, whose applications are cancelled as soon as it is told to stop."""

    async def test_while_draining_the_farewell_still_goes_out(self) -> None:
        if not on_asyncio():
            pytest.skip("trio has no tasks that are cancelled alone")
        app = Application(EventSourceResponse(idle()), drain_grace=100)
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        task = asyncio.ensure_future(call(app.middleware, send=send))
        await anyio.wait_all_tasks_blocked()
        drain = asyncio.ensure_future(app.middleware.drain())
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        await task  # it ends as any other: daphne stops when one has ended as cancelled
        assert not task.cancelling()
        await drain
        assert sent[-1]["body"].startswith(b"retry: ")
        assert not sent[-1]["more_body"]
        assert app.ends.reasons == [CloseReason.DRAINED]

    async def test_while_draining_a_client_that_does_not_read_gets_none(self) -> None:
        if not on_asyncio():
            pytest.skip("trio has no tasks that are cancelled alone")
        app = Application(EventSourceResponse(idle()), drain_grace=100)

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

    async def test_otherwise_there_is_none(self) -> None:
        app = Application(EventSourceResponse(idle()))
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(call, app.middleware, send=send))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert [message.get("more_body") for message in sent] == [None, True]
        assert app.ends.reasons == [CloseReason.CANCELLED]


class TestThreads:
    @pytest.mark.parametrize("anyio_backend", ["asyncio"])  # once: it has loops of its own
    @pytest.mark.parametrize("backends", [("asyncio", "asyncio"), ("asyncio", "trio")])
    def test_of_two_event_loops_each_drains_its_own_streams(
        self, backends: tuple[str, str], anyio_backend: str
    ) -> None:
        closed: list[Any] = []
        opened = threading.Semaphore(0)

        def observer(record: Any) -> None:
            if type(record).__name__ == "FirstEvent":
                opened.release()
            if type(record).__name__ == "StreamClosed":
                closed.append(record.reason)

        async def answer(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(idle(), drain_grace=0)(scope, receive, send)

        middleware = SSEMiddleware(answer, observers=[observer])

        async def stats() -> Any:
            return middleware.stats()

        with ExitStack() as stack:
            one, other = (
                stack.enter_context(start_blocking_portal(backend)) for backend in backends
            )
            ends = [portal.start_task_soon(call, middleware) for portal in (one, other)]
            for _ in range(2):
                assert opened.acquire(timeout=10)
            one.call(middleware.drain)
            ends[0].result(10)
            assert closed == [CloseReason.DRAINED]
            assert other.call(stats).open == 1
            assert not other.call(stats).draining
            other.call(middleware.drain)
            ends[1].result(10)
            assert one.call(stats).draining
        assert closed == [CloseReason.DRAINED] * 2
