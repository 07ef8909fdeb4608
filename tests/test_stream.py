"""One stream, from the first item to the last byte, in memory and in virtual time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.background import BackgroundTask

from sse_middleware import (
    EncodingError,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
)
from tests.driver import exchange
from tests.virtual_time import with_threads

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


async def test_all_that_is_ready_goes_out_as_one_message() -> None:
    async with exchange(EventSourceResponse(count(3))) as request:
        start = await request.start()
        assert start[":status"] == "200"
        assert await request.next() == {
            "type": "http.response.body",
            "body": b"data: 0\n\ndata: 1\n\ndata: 2\n\n",
            "more_body": False,
        }


async def test_an_event_that_comes_alone_goes_out_at_once() -> None:
    async with exchange(EventSourceResponse(Trace().numbers(pause=1))) as request:
        await request.start()
        for number in range(3):
            before = anyio.current_time()
            assert await request.chunk() == b"data: %d\n\n" % number
            assert anyio.current_time() - before <= 1


async def test_every_event_arrives_in_order() -> None:
    async with exchange(EventSourceResponse(count(20_000))) as request:
        await request.start()
        events = request.decoder.feed(await request.body())
    assert [event.data for event in events] == [str(n) for n in range(20_000)]  # type: ignore[union-attr]


async def test_a_slow_client_slows_its_producer() -> None:
    produced = 0

    async def items() -> AsyncIterator[str]:
        nonlocal produced
        while True:
            produced += 1
            yield "x" * 1000

    app = EventSourceResponse(items(), max_buffer=10_000)
    async with exchange(app, window=1) as request:
        await request.start()
        await anyio.wait_all_tasks_blocked()
        # one message in the server, one in its send, one in the outbox, each a buffer and one item
        assert produced <= 3 * 11


@pytest.mark.parametrize("status", [200, 201])
@with_threads
async def test_an_empty_stream_is_a_complete_response(status: int) -> None:
    async with exchange(EventSourceResponse([], status_code=status)) as request:
        assert (await request.start())[":status"] == str(status)
        assert await request.body() == b""


class TestKeepAlive:
    async def test_comes_after_silence_and_not_on_a_clock(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(3):
                await anyio.sleep(10)
                yield number
            await anyio.sleep(40)

        async with exchange(EventSourceResponse(items(), ping_interval=15)) as request:
            await request.start()
            seen = []
            while chunk := await request.chunk():
                seen.append((round(anyio.current_time(), 3), chunk))
        begin = seen[0][0] - 10
        assert [(round(at - begin), chunk) for at, chunk in seen] == [
            (10, b"data: 0\n\n"),
            (20, b"data: 1\n\n"),
            (30, b"data: 2\n\n"),
            (45, b": ping\n\n"),
            (60, b": ping\n\n"),
        ]

    async def test_an_hour_of_silence(self) -> None:
        async with exchange(EventSourceResponse(Trace().idle())) as request:
            await request.start()
            begin = anyio.current_time()
            assert await request.chunk() == b"data: 0\n\n"
            for _ in range(240):
                assert await request.chunk() == b": ping\n\n"
            assert anyio.current_time() - begin == pytest.approx(3600, abs=1)

    async def test_reads_the_default_interval_when_a_stream_starts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = SSEMiddleware(EventSourceResponse(Trace().idle()))
        monkeypatch.setattr("sse_middleware.events._PING_INTERVAL", 3.0)
        async with exchange(app) as request:
            await request.start()
            await request.chunk()
            begin = anyio.current_time()
            assert await request.chunk() == b": ping\n\n"
            assert anyio.current_time() - begin == pytest.approx(3, abs=0.1)

    @pytest.mark.parametrize(
        ("ping", "expected"),
        [
            ("still here", b": still here\n\n"),
            (ServerSentEvent(event="ping", data={}), b"event: ping\ndata: {}\n\n"),
            (lambda: ServerSentEvent(event="tick"), b"event: tick\n\n"),
            (lambda: "made", b": made\n\n"),
        ],
    )
    async def test_may_be_a_comment_an_event_or_made_by_a_function(
        self, ping: Any, expected: bytes
    ) -> None:
        async with exchange(EventSourceResponse(Trace().idle(), ping=ping)) as request:
            await request.start()
            await request.chunk()
            assert await request.chunk() == expected

    @with_threads
    async def test_none_is_a_tick(self) -> None:
        async with exchange(EventSourceResponse([1, None, 2], ping="tick")) as request:
            await request.start()
            assert await request.body() == b"data: 1\n\n: tick\n\ndata: 2\n\n"

    async def test_can_be_switched_off(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(50_000)
            yield 1

        app = EventSourceResponse(items(), ping_interval=None)
        async with exchange(app) as request:
            await request.start()
            begin = anyio.current_time()
            with anyio.fail_after(1_000_000):
                assert (await request.from_app.receive())["body"] == b""  # the early commit
                assert (await request.from_app.receive())["body"] == b"data: 1\n\n"
            assert anyio.current_time() - begin > 49_000

    @with_threads
    async def test_goes_on_while_a_synchronous_generator_blocks_its_thread(self) -> None:
        release = threading.Event()

        def items() -> Iterator[int]:
            yield 1
            release.wait()
            yield 2

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            seen = b""
            while b": ping" not in seen:
                seen += await request.chunk()
            release.set()
            seen += await request.body()
        assert seen.replace(b": ping\n\n", b"") == b"data: 1\n\ndata: 2\n\n"

    async def test_that_can_not_be_made_ends_the_stream_with_its_error(self) -> None:
        def broken() -> str:
            raise OopsError

        trace = Trace()
        async with exchange(EventSourceResponse(trace.idle(), ping=broken)) as request:
            await request.start()
            await request.chunk()
            await request.ended.wait()
        assert isinstance(request.error, OopsError)
        assert trace.log == ["finally"]


class TestDisconnect:
    async def test_cancels_an_idle_generator(self) -> None:
        trace = Trace()
        async with exchange(EventSourceResponse(trace.idle())) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()
            assert trace.log == ["finally"]
        assert request.error is None

    async def test_cancels_a_generator_without_an_await(self) -> None:
        closed = []

        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                closed.append(True)

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()
            assert closed

    async def test_cancels_a_generator_stuck_behind_a_blocked_send(self) -> None:
        trace = Trace()
        async with exchange(EventSourceResponse(trace.numbers()), window=1) as request:
            await request.start()
            await anyio.wait_all_tasks_blocked()
            await request.disconnect()
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

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()

    async def test_before_the_first_item_still_leaves_a_status_for_the_log(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        async with exchange(EventSourceResponse(items(), commit_after=1000)) as request:
            await anyio.wait_all_tasks_blocked()
            await request.disconnect()
            assert (await request.start())[":status"] == "200"
            assert await request.body() == b""

    async def test_together_with_an_error_before_the_first_item_completes_nothing(self) -> None:
        gone = anyio.Event()

        async def items() -> AsyncIterator[int]:
            gone.set()
            try:
                await anyio.sleep_forever()
            finally:
                raise OopsError
            yield 1

        async def receive() -> dict[str, Any]:
            await gone.wait()
            return {"type": "http.disconnect"}

        sent = []

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(OopsError):
            await EventSourceResponse(items())({"type": "http", "method": "GET"}, receive, send)
        assert sent == []

    @pytest.mark.parametrize("answer", ["raises", "blocks"])
    async def test_before_the_first_item_on_a_server_that_takes_no_status_any_more(
        self, answer: str
    ) -> None:
        async def receive() -> dict[str, Any]:
            await anyio.sleep(1)
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None:
            if answer == "raises":
                raise ConnectionResetError
            await anyio.sleep_forever()

        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        app = EventSourceResponse(items(), commit_after=1000)
        begin = anyio.current_time()
        await app({"type": "http", "method": "GET"}, receive, send)
        assert anyio.current_time() - begin <= 1.2

    async def test_that_send_reports_as_an_oserror_ends_the_stream(self) -> None:
        trace = Trace()

        async def receive() -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

        sent = 0

        async def send(_message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 3:
                raise ConnectionResetError

        app = EventSourceResponse(trace.numbers(pause=1))
        await app({"type": "http", "method": "GET"}, receive, send)
        assert trace.log == ["finally"]

    async def test_runs_the_background_task(self) -> None:
        ran = []

        async def background() -> None:
            ran.append(1)

        app = EventSourceResponse(Trace().idle(), background=BackgroundTask(background))
        async with exchange(app) as request:
            await request.start()
            await request.disconnect()
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

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()
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

        async with exchange(EventSourceResponse(items()), window=1) as request:
            await request.start()
            await anyio.wait_all_tasks_blocked()
            await request.disconnect()
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

        async with exchange(app, window=1 if large else 100) as request:
            await request.start()
            await anyio.wait_all_tasks_blocked()
            await request.disconnect()
        assert request.error is None
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

        async with exchange(EventSourceResponse(Numbers())) as request:
            await request.start()
            await request.disconnect()
        assert log == ["closed"]

    async def test_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.sleep_forever()

        app = EventSourceResponse(items(), cleanup_timeout=7)
        async with exchange(app, window=1) as request:
            await request.start()
            await anyio.wait_all_tasks_blocked()
            begin = anyio.current_time()
            await request.disconnect()
            assert anyio.current_time() - begin == pytest.approx(7, abs=0.5)
        assert "cleanup_timeout" in caplog.text

    async def test_of_a_cancelled_await_is_bounded(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                await anyio.sleep_forever()

        async with exchange(EventSourceResponse(items(), cleanup_timeout=7)) as request:
            await request.start()
            await request.chunk()
            begin = anyio.current_time()
            await request.disconnect()
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

        async with exchange(app) as request:
            await request.start()
            await request.ended.wait()
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

        async with exchange(app) as request:
            assert await request.rest() == []
        assert log == [True]

    async def test_closes_what_was_never_entered(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1

        generator = items()
        async with exchange(EventSourceResponse(generator), method="HEAD") as request:
            await request.start()
            assert await request.body() == b""
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    @with_threads
    async def test_closes_a_synchronous_generator_in_a_worker_thread(self) -> None:
        threads = []

        def items() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                threads.append(threading.current_thread())

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()
        assert threads
        assert threads[0] is not threading.main_thread()

    @with_threads
    async def test_error_in_the_finally_of_a_synchronous_generator_reaches_the_server(self) -> None:
        def items() -> Iterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OopsError

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.chunk()
            with anyio.fail_after(100):
                request.to_app.send_nowait({"type": "http.disconnect"})
                await request.ended.wait()
        assert isinstance(request.error, OopsError)

    async def test_error_in_a_finally_reaches_the_server(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OopsError

        async with exchange(EventSourceResponse(items())) as request:
            await request.start()
            await request.disconnect()
        assert isinstance(request.error, OopsError)


class TestErrors:
    async def test_before_the_first_item_leave_the_status_open(self) -> None:
        async def items() -> AsyncIterator[int]:
            await checkpoint()
            raise OopsError
            yield 1

        async with exchange(EventSourceResponse(items())) as request:
            assert await request.rest() == []
        assert isinstance(request.error, OopsError)

    async def test_after_an_item_come_after_everything_that_was_yielded(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(5):
                yield number
            raise OopsError

        async with exchange(EventSourceResponse(items())) as request:
            start, *bodies = await request.rest()
        assert start["status"] == 200
        body = b"".join(message["body"] for message in bodies)
        assert body == b"".join(b"data: %d\n\n" % number for number in range(5))
        assert all(message["more_body"] for message in bodies), "the body must end as broken"
        assert isinstance(request.error, OopsError)

    @with_threads
    async def test_send_the_mapped_event_first(self) -> None:
        def items() -> Iterator[int]:
            yield 1
            raise OopsError

        def mapped(error: Exception) -> ServerSentEvent:
            return ServerSentEvent(event="error", data=type(error).__name__)

        app = EventSourceResponse(items(), error_event=mapped)
        async with exchange(app) as request:
            _, *bodies = await request.rest()
        body = b"".join(message["body"] for message in bodies)
        assert body == b'data: 1\n\nevent: error\ndata: "OopsError"\n\n'
        assert isinstance(request.error, OopsError)

    async def test_of_the_error_mapper_do_not_hide_the_error(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        def mapped(_error: Exception) -> None:
            raise KeyError

        async def items() -> AsyncIterator[int]:
            yield 1
            raise OopsError

        app = EventSourceResponse(items(), error_event=mapped)
        async with exchange(app) as request:
            await request.rest()
        assert isinstance(request.error, OopsError)
        assert "error_event failed" in caplog.text

    async def test_of_send_are_the_error_of_the_stream(self) -> None:
        trace = Trace()

        async def receive() -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            if message.get("body"):
                raise OopsError

        app = EventSourceResponse(trace.numbers(pause=1))
        with pytest.raises(OopsError):
            await app({"type": "http", "method": "GET"}, receive, send)
        assert trace.log == ["finally"]

    async def test_of_receive_are_the_error_of_the_stream(self) -> None:
        async def receive() -> dict[str, Any]:
            raise OopsError

        async def send(_message: Any) -> None:
            await checkpoint()

        with pytest.raises(OopsError):
            await EventSourceResponse(Trace().idle())(
                {"type": "http", "method": "GET"}, receive, send
            )

    async def test_that_are_no_exceptions_pass_alone(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            raise SystemExit(3)

        async def receive() -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

        async def send(_message: Any) -> None:
            await checkpoint()

        with pytest.raises(SystemExit):
            await EventSourceResponse(items())({"type": "http", "method": "GET"}, receive, send)

    async def test_of_an_item_name_its_type_and_the_endpoint_at_its_yield(self) -> None:
        async def items() -> AsyncIterator[object]:
            yield 1
            yield object()  # the traceback shows this line

        async with exchange(EventSourceResponse(items())) as request:
            _, *bodies = await request.rest()
        assert bodies[0]["body"] == b"data: 1\n\n"
        assert isinstance(request.error, EncodingError)
        assert "object" in str(request.error)
        assert "items" in str(request.error)
        trace = request.error.__traceback__
        lines = set()
        while trace:
            lines.add(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        assert "items" in lines

    @pytest.mark.parametrize("kind", ["async", "sync"])
    @with_threads
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
        async with exchange(app) as request:
            await request.start()
            assert await request.body() == b'data: "sorry"\n\ndata: 2\n\n'

    @with_threads
    async def test_of_an_item_of_an_iterator_that_is_no_generator(self) -> None:
        async with exchange(EventSourceResponse(iter([1, object()]))) as request:
            await request.rest()
        assert isinstance(request.error, EncodingError)

    @with_threads
    async def test_a_lone_surrogate_is_an_error_of_that_stream(self) -> None:
        async with exchange(EventSourceResponse(["fine", "\ud800"])) as request:
            _, *bodies = await request.rest()
        assert bodies[0]["body"] == b'data: "fine"\n\n'
        assert isinstance(request.error, EncodingError)


class TestCommit:
    async def test_waits_for_the_first_item(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(0.4)
            yield 1

        async with exchange(EventSourceResponse(items(), commit_after=0.5)) as request:
            begin = anyio.current_time()
            await request.start()
            assert anyio.current_time() - begin == pytest.approx(0.4, abs=0.05)

    async def test_does_not_wait_longer(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(100)
            raise OopsError
            yield 1

        async with exchange(EventSourceResponse(items(), commit_after=0.5)) as request:
            begin = anyio.current_time()
            await request.start()
            assert anyio.current_time() - begin == pytest.approx(0.5, abs=0.05)
            assert await request.next() == {
                "type": "http.response.body",
                "body": b"",
                "more_body": True,
            }
            await request.ended.wait()
        assert isinstance(request.error, OopsError)


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

        async with exchange(app) as request:
            await request.rest()
        assert len(set(tasks)) == 1

    async def test_gives_way_to_others_without_an_await(self) -> None:
        async def items() -> AsyncIterator[int]:
            while True:
                yield 1

        async with exchange(EventSourceResponse(items())) as request:
            with anyio.fail_after(1):
                await request.start()
                for _ in range(10):
                    await request.chunk()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
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

        async def receive() -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

        first = anyio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                first.set()

        app = EventSourceResponse(items())
        task = asyncio.create_task(app({"type": "http", "method": "GET"}, receive, send))
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

        async def receive() -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

        async def send(message: Any) -> None:
            sent.append(message.get("body"))

        app = EventSourceResponse(items())
        with pytest.raises(asyncio.CancelledError):
            await app({"type": "http", "method": "GET"}, receive, send)
        assert sent == [None, b"data: 1\n\n"]

    async def test_leaves_no_pending_cancellation_behind(self) -> None:
        counts = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(Trace().idle())(scope, receive, send)
            task = asyncio.current_task()
            assert task is not None
            counts.append(task.cancelling())
            await asyncio.sleep(0)

        async with exchange(app) as request:
            await request.start()
            await request.chunk()
            await request.disconnect()
        assert counts == [0]
        assert request.error is None
