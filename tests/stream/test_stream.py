"""One stream: what its producer does, and how it ends."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.background import BackgroundTask
from starlette.types import Message

from sse_middleware import (
    EncodingError,
    EventSourceResponse,
    ServerSentEvent,
)
from sse_middleware.testing import NoAnswerError, ProtocolError
from tests.served import body_of, call, chunks_of, client_of, events_of

pytestmark = pytest.mark.anyio


class OopsError(Exception):
    """An error of the user's own."""


class Trace:
    """What happened in a generator, and when it was over."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def numbers(self, pause: float = 0) -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
                await anyio.sleep(pause)
        finally:
            self.log.append("finally")

    async def idle(self) -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
        finally:
            self.log.append("finally")


async def count(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


async def test_every_event_arrives_in_order() -> None:
    async with events_of(EventSourceResponse(count(20_000))) as events:
        assert [event.raw_data async for event in events] == [str(n) for n in range(20_000)]


async def test_a_slow_client_slows_its_producer() -> None:
    produced = 0

    async def items() -> AsyncIterator[str]:
        nonlocal produced
        while True:
            produced += 1
            yield "x" * 1000

    app = EventSourceResponse(items(), max_buffer=10_000)
    async with chunks_of(app, window=1):
        await anyio.wait_all_tasks_blocked()
        # one message in the server's send and one in the outbox, each a buffer and one item
        assert produced <= 2 * 11


@pytest.mark.parametrize("status", [200, 201])
async def test_an_empty_stream_is_a_complete_response(status: int) -> None:
    async with client_of(EventSourceResponse([], status_code=status)) as client:
        response = await client.http.get("/")
    assert response.status_code == status
    assert response.content == b""


class TestDisconnect:
    async def test_cancels_an_idle_generator(self) -> None:
        trace = Trace()
        async with events_of(EventSourceResponse(trace.idle())) as events:
            await events.next()
            await events.disconnect()
            assert trace.log == ["finally"]

    async def test_cancels_a_generator_without_an_await(self) -> None:
        closed = []

        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
            await events.disconnect()
            assert closed

    async def test_cancels_a_generator_stuck_behind_a_blocked_send(self) -> None:
        trace = Trace()
        async with chunks_of(EventSourceResponse(trace.numbers()), window=1):
            await anyio.wait_all_tasks_blocked()
            assert trace.log == []
        assert trace.log == ["finally"]

    async def test_ends_a_generator_that_swallows_the_cancellation(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                yield 2  # and would go on for ever
            while True:
                yield 3

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
            await events.disconnect()

    async def test_before_the_first_item_still_leaves_a_status_for_the_log(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        app = EventSourceResponse(items(), commit_after=1000)
        await call(app, leave=anyio.wait_all_tasks_blocked, send=send)
        start, body = sent
        assert start["status"] == 200
        assert body == {"type": "http.response.body", "body": b"", "more_body": False}

    async def test_together_with_an_error_before_the_first_item_completes_nothing(self) -> None:
        gone = anyio.Event()

        async def items() -> AsyncIterator[int]:
            gone.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise OopsError
            yield 1

        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(OopsError):
            await call(EventSourceResponse(items()), leave=gone.wait, send=send)
        assert sent == []

    @pytest.mark.parametrize("answer", ["raises", "blocks"])
    async def test_before_the_first_item_on_a_server_that_takes_no_status_any_more(
        self, answer: str
    ) -> None:
        async def send(_message: Any) -> None:
            if answer == "raises":
                raise ConnectionResetError
            await anyio.sleep_forever()

        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        app = EventSourceResponse(items(), commit_after=1000)
        begin = anyio.current_time()
        await call(app, leave=partial(anyio.sleep, 1), send=send)
        assert anyio.current_time() - begin <= 1.2

    async def test_that_send_reports_as_an_oserror_ends_the_stream(self) -> None:
        trace = Trace()

        sent = 0

        async def send(_message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 3:
                raise ConnectionResetError

        await call(EventSourceResponse(trace.numbers(pause=1)), send=send)
        assert trace.log == ["finally"]

    @pytest.mark.parametrize("seconds", [0.05, math.inf])
    async def test_within_the_last_send_leaves_the_server_time_for_it(self, seconds: float) -> None:
        """hypercorn ends the request there, and then the connection."""
        left, sent = anyio.Event(), []

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                left.set()
                await anyio.sleep(seconds)
                sent.append(message)

        with anyio.fail_after(1):
            await call(EventSourceResponse(count(3)), leave=left.wait, send=send)
        assert len(sent) == (seconds < math.inf)

    async def test_runs_the_background_task(self) -> None:
        ran = []

        async def background() -> None:
            ran.append(1)

        app = EventSourceResponse(Trace().idle(), background=BackgroundTask(background))
        async with events_of(app) as events:
            await events.disconnect()
            assert ran == [1]


class TestCleanup:
    async def test_an_await_in_a_finally_completes(self, anyio_backend_name: str) -> None:
        log: list[str] = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                log.append("begin")
                await anyio.sleep(1)
                log.append("end")

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
        # trio cancels every await of a cancelled scope again; that is its rule, and documented
        assert log == (["begin", "end"] if anyio_backend_name == "asyncio" else ["begin"])

    async def test_an_await_completes_where_the_generator_stands_at_a_yield(self) -> None:
        log: list[str] = []

        async def items() -> AsyncIterator[str]:
            try:
                while True:
                    yield "x" * 100_000
            finally:
                await anyio.sleep(1)
                log.append("end")

        async with chunks_of(EventSourceResponse(items()), window=1):
            await anyio.wait_all_tasks_blocked()
        assert log == ["end"]

    @pytest.mark.parametrize("large", [True, False], ids=["at its yield", "at its await"])
    async def test_of_a_generator_inside_of_scopes_of_its_own(self, large: bool) -> None:
        log: list[str] = []

        async def items() -> AsyncIterator[str]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep_forever)
                try:
                    with anyio.fail_after(1000):
                        while True:
                            yield "x" * (100_000 if large else 1)
                            await anyio.sleep(1)
                finally:
                    log.append("finally")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with anyio.move_on_after(10_000):
                await EventSourceResponse(items())(scope, receive, send)
                await anyio.sleep(1)
                log.append("after")

        async with chunks_of(app, window=1 if large else 100):
            await anyio.wait_all_tasks_blocked()
        assert log == ["finally", "after"]

    async def test_of_an_iterator_that_is_no_generator(self) -> None:
        log: list[str] = []

        class Numbers:
            def __aiter__(self) -> "Numbers":
                return self

            async def __anext__(self) -> int:
                await anyio.sleep(1)
                return 1

            async def aclose(self) -> None:
                await anyio.sleep(1)
                log.append("closed")

        async with events_of(EventSourceResponse(Numbers())) as events:
            await events.disconnect()
            assert log == ["closed"]

    async def test_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.sleep_forever()

        app = EventSourceResponse(items(), cleanup_timeout=7)
        async with chunks_of(app, window=1):
            await anyio.wait_all_tasks_blocked()
            begin = anyio.current_time()
        assert anyio.current_time() - begin == pytest.approx(7, abs=0.5)
        assert "cleanup_timeout" in caplog.text

    async def test_of_a_cancelled_await_is_bounded(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                await anyio.sleep_forever()

        async with events_of(EventSourceResponse(items(), cleanup_timeout=7)) as events:
            await events.next()
            begin = anyio.current_time()
            await events.disconnect()
            assert anyio.current_time() - begin <= 7.5

    async def test_happens_once_when_the_scope_around_is_cancelled(
        self, anyio_backend_name: str
    ) -> None:
        log: list[str] = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                log.append("begin")
                await anyio.sleep(1)
                log.append("end")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            with anyio.move_on_after(5):
                await EventSourceResponse(items())(scope, receive, send)
            log.append("left")

        async with events_of(app) as events:
            await events.next()
            with pytest.raises(ProtocolError, match="ended without its last"):
                await events.next()
        asyncio_log = ["begin", "end", "left"]
        assert log == (asyncio_log if anyio_backend_name == "asyncio" else ["begin", "left"])

    async def test_a_cancelled_scope_around_stays_cancelled_and_answers_nothing(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        log: list[Any] = []

        async def background() -> None:
            log.append("background")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            response = EventSourceResponse(
                items(), commit_after=1000, background=BackgroundTask(background)
            )
            with anyio.move_on_after(5) as around:
                await response(scope, receive, send)
            log.append(around.cancelled_caught)

        with pytest.raises(NoAnswerError, match=r"ended without http\.response\.start"):
            await body_of(app)
        assert log == [True]

    async def test_closes_what_was_never_entered(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1

        generator = items()
        assert await body_of(EventSourceResponse(generator), "HEAD") == b""
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    async def test_closes_a_synchronous_generator_in_a_worker_thread(self) -> None:
        threads = []

        def items() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                threads.append(threading.current_thread())

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
        assert threads
        assert threads[0] is not threading.main_thread()

    async def test_error_in_the_finally_of_a_synchronous_generator_reaches_the_server(self) -> None:
        def items() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OopsError

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
            with pytest.raises(OopsError):
                await events.disconnect()

    async def test_error_in_a_finally_reaches_the_server(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OopsError

        async with events_of(EventSourceResponse(items())) as events:
            with pytest.raises(OopsError):
                await events.disconnect()


class TestErrors:
    async def test_before_the_first_item_leave_the_status_open(self) -> None:
        async def items() -> AsyncIterator[int]:
            await checkpoint()
            raise OopsError
            yield 1

        with pytest.raises(OopsError):
            async with events_of(EventSourceResponse(items())):
                pytest.fail("a status came")

    async def test_after_an_item_come_after_everything_that_was_yielded(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(5):
                yield number
            raise OopsError

        async with events_of(EventSourceResponse(items())) as events:
            assert events.response.status_code == 200
            with pytest.raises(OopsError):  # not where the body has ended, so it ends as broken
                await events.take(6)
            assert [event.json() for event in events.received] == [0, 1, 2, 3, 4]

    async def test_send_the_mapped_event_first(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise OopsError

        def mapped(error: Exception) -> ServerSentEvent:
            return ServerSentEvent(event="error", data=type(error).__name__)

        app = EventSourceResponse(items(), error_event=mapped)
        async with events_of(app) as events:
            with pytest.raises(OopsError):
                await events.take(3)
            assert events.body == b'data: 1\n\nevent: error\ndata: "OopsError"\n\n'

    async def test_of_the_error_mapper_do_not_hide_the_error(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def mapped(_error: Exception) -> None:
            raise KeyError

        async def items() -> AsyncIterator[int]:
            yield 1
            raise OopsError

        app = EventSourceResponse(items(), error_event=mapped)
        with pytest.raises(OopsError):
            await body_of(app)
        assert "no last event is sent" in caplog.text

    async def test_of_send_are_the_error_of_the_stream(self) -> None:
        trace = Trace()

        async def send(message: Any) -> None:
            if message.get("body"):
                raise OopsError

        with pytest.raises(OopsError):
            await call(EventSourceResponse(trace.numbers(pause=1)), send=send)
        assert trace.log == ["finally"]

    async def test_of_receive_are_the_error_of_the_stream(self) -> None:
        async def leave() -> None:
            raise OopsError

        with pytest.raises(OopsError):
            await call(EventSourceResponse(Trace().idle()), leave=leave)

    async def test_that_are_no_exceptions_pass_alone(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            await call(EventSourceResponse(items()))

    async def test_of_an_item_name_its_type_and_the_endpoint_at_its_yield(self) -> None:
        async def items() -> AsyncIterator[object]:
            yield 1
            yield object()  # the traceback shows this line

        async with events_of(EventSourceResponse(items())) as events:
            assert (await events.next()).json() == 1
            with pytest.raises(EncodingError) as caught:
                await events.next()
        assert "object" in str(caught.value)
        assert "items" in str(caught.value)
        trace = caught.value.__traceback__
        lines = set()
        while trace:
            lines.add(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert "items" in lines

    @pytest.mark.parametrize("kind", ["async", "sync"])
    async def test_of_an_item_can_be_caught_at_its_yield(self, kind: str) -> None:
        async def items() -> AsyncIterator[object]:
            try:
                yield object()
            except EncodingError:
                yield "sorry"
            yield 2

        def sync_items() -> Iterator[object]:
            try:
                yield object()
            except EncodingError:
                yield "sorry"
            yield 2

        app = EventSourceResponse(items() if kind == "async" else sync_items())
        assert await body_of(app) == b'data: "sorry"\n\ndata: 2\n\n'

    async def test_of_an_item_of_an_iterator_that_is_no_generator(self) -> None:
        with pytest.raises(EncodingError):
            await body_of(EventSourceResponse(iter([1, object()])))

    async def test_a_lone_surrogate_is_an_error_of_that_stream(self) -> None:
        async with events_of(EventSourceResponse(["fine", "\ud800"])) as events:
            assert (await events.next()).json() == "fine"
            with pytest.raises(EncodingError):
                await events.next()


class TestProducerTask:
    async def test_is_the_task_of_the_endpoint(self) -> None:
        tasks = []

        async def items() -> AsyncIterator[int]:
            for number in range(3):
                tasks.append(anyio.get_current_task().id)
                yield number
                await checkpoint()

        async def app(scope: Any, receive: Any, send: Any) -> None:
            tasks.append(anyio.get_current_task().id)
            await EventSourceResponse(items())(scope, receive, send)

        await body_of(app)
        assert len(tasks) == 4
        assert len(set(tasks)) == 1

    async def test_gives_way_to_others_without_an_await(self) -> None:
        async def items() -> AsyncIterator[int]:
            while True:
                yield 1

        async with chunks_of(EventSourceResponse(items())) as chunks:
            for _ in range(10):
                assert await anext(chunks)


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
class TestTaskCancel:
    """What asyncio servers do: `Task.cancel` on the task of the application."""

    async def test_from_outside_lets_an_await_complete_and_goes_on(self) -> None:
        log = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                await anyio.sleep(0.01)
                log.append("end")

        first = anyio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                first.set()

        task = asyncio.create_task(call(EventSourceResponse(items()), send=send))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["end"]

    async def test_of_a_task_that_the_generator_awaits_loses_nothing_that_was_yielded(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            other = asyncio.create_task(asyncio.sleep(1000))
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

        sent = []

        async def send(message: Any) -> None:
            sent.append(message.get("body"))

        with pytest.raises(asyncio.CancelledError):
            await call(EventSourceResponse(items()), send=send)
        assert sent == [None, b"data: 1\n\n"]

    async def test_leaves_no_pending_cancellation_behind(self) -> None:
        counts = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(Trace().idle())(scope, receive, send)
            task = asyncio.current_task()
            assert task is not None
            counts.append(task.cancelling())
            await asyncio.sleep(0)

        async with events_of(app) as events:
            await events.next()
        assert counts == [0]
