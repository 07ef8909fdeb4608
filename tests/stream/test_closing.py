"""How a stream closes when its client leaves, and how its producer cleans up."""

import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask
from starlette.types import Message

from sse_middleware import EventSourceResponse
from tests.served import OopsError, body_of, call, chunks_of, events_of
from tests.stream.traces import Trace

pytestmark = pytest.mark.anyio


class TestDisconnect:
    async def test_cancels_a_generator_that_waits_and_its_cleanup_completes(self) -> None:
        trace = Trace()
        async with events_of(EventSourceResponse(trace.idle())) as events:
            await events.next()
            await events.disconnect()
            assert trace.was_cleaned_up()

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

    async def test_before_the_stream_opens_lets_the_cleanup_complete(self) -> None:
        trace = Trace()

        async def has_left() -> None:
            """Return at once."""

        await call(EventSourceResponse(trace.idle()), leave=has_left)
        await anyio.sleep(1)  # no cancellation is left over
        assert trace.was_cleaned_up()

    async def test_closes_a_generator_that_waits_for_room_and_its_cleanup_completes(self) -> None:
        trace = Trace()
        async with chunks_of(EventSourceResponse(trace.endless()), window=1):
            await anyio.wait_all_tasks_blocked()
            assert trace.log == []
        assert trace.was_cleaned_up(cancelled=False)

    async def test_closes_a_generator_that_swallows_the_cancellation(self) -> None:
        log = []

        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    log.append("swallowed")
                    yield 2
                while True:
                    yield 3
            finally:
                log.append("closed")

        async with events_of(EventSourceResponse(items())) as events:
            await events.next()
            await events.disconnect()
            assert log == ["swallowed", "closed"]

    async def test_before_the_first_item_still_sends_a_status(self) -> None:
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

    async def test_together_with_an_error_before_the_first_item_sends_nothing(self) -> None:
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
    async def test_before_the_first_item_on_a_server_that_takes_no_status(
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

    async def test_may_be_an_oserror_of_send(self) -> None:
        trace, sent = Trace(), 0

        async def send(_message: Any) -> None:
            nonlocal sent
            sent += 1
            if sent > 3:
                raise ConnectionResetError

        await call(EventSourceResponse(trace.ticking(1)), send=send)
        assert trace.was_cleaned_up()

    @pytest.mark.parametrize("seconds", [0.05, math.inf])
    async def test_during_the_last_send_lets_the_server_end_it(self, seconds: float) -> None:
        """There hypercorn ends the request, and then the connection."""
        left, sent = anyio.Event(), []

        async def items() -> AsyncIterator[int]:
            yield 1

        async def send(message: Message) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body"):
                left.set()
                await anyio.sleep(seconds)
                sent.append(message)

        with anyio.fail_after(1):
            await call(EventSourceResponse(items()), leave=left.wait, send=send)
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
    @pytest.mark.parametrize("large", [True, False], ids=["at its yield", "at its await"])
    async def test_of_a_generator_with_scopes_of_its_own(self, large: bool) -> None:
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

    async def test_of_an_iterator_calls_aclose(self) -> None:
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

    async def test_of_a_closed_generator_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                await anyio.sleep_forever()
                yield 0  # it could go on

        app = EventSourceResponse(items(), cleanup_timeout=7)
        async with chunks_of(app, window=1):
            await anyio.wait_all_tasks_blocked()
            begin = anyio.current_time()
        assert anyio.current_time() - begin == pytest.approx(7, abs=0.5)
        assert "cleanup_timeout" in caplog.text

    async def test_of_a_cancelled_generator_is_bounded(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
                yield 0  # it could go on
            finally:
                await anyio.sleep_forever()
                yield 0  # it could go on

        async with events_of(EventSourceResponse(items(), cleanup_timeout=7)) as events:
            await events.next()
            begin = anyio.current_time()
            await events.disconnect()
            assert anyio.current_time() - begin <= 7.5

    async def test_closes_a_generator_that_never_ran(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1

        generator = items()
        assert await body_of(EventSourceResponse(generator), "HEAD") == b""
        with pytest.raises(StopAsyncIteration):
            await anext(generator)

    @pytest.mark.parametrize("wrap", [iter, partial(map, str)])
    async def test_closes_a_synchronous_generator_in_its_thread(
        self, wrap: Callable[[Iterator[int]], Iterator[Any]]
    ) -> None:
        threads = []

        def items() -> Iterator[int]:
            threads.append(threading.current_thread())
            try:
                while True:
                    yield 1
            finally:
                threads.append(threading.current_thread())

        async with events_of(EventSourceResponse(wrap(items()))) as events:
            await events.next()
        begun, closed = threads
        assert closed is begun

    async def test_raises_the_error_of_a_synchronous_generator(self) -> None:
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

    async def test_raises_the_error_of_a_generator(self) -> None:
        async def items() -> AsyncIterator[int]:
            try:
                while True:
                    yield 1
            finally:
                raise OopsError

        async with events_of(EventSourceResponse(items())) as events:
            with pytest.raises(OopsError):
                await events.disconnect()
