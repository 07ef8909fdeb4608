"""One stream: its events, its errors, and the task that its producer runs in."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware import EncodingError, EventSourceResponse, ServerSentEvent
from tests.served import OopsError, body_of, call, chunks_of, client_of, events_of
from tests.stream.traces import Trace

pytestmark = pytest.mark.anyio


async def test_every_event_arrives_in_order() -> None:
    async def count() -> AsyncIterator[int]:
        for number in range(20_000):
            yield number

    async with events_of(EventSourceResponse(count())) as events:
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


class TestErrors:
    async def test_before_the_first_item_come_before_a_status(self) -> None:
        async def items() -> AsyncIterator[int]:
            await checkpoint()
            raise OopsError
            yield 1

        with pytest.raises(OopsError):
            async with events_of(EventSourceResponse(items())):
                pytest.fail("a status came")

    async def test_come_after_everything_that_was_yielded(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(5):
                yield number
            raise OopsError

        async with events_of(EventSourceResponse(items())) as events:
            assert events.response.status_code == 200
            with pytest.raises(OopsError):  # not where the body has ended, so it ends as broken
                await events.take(6)
            assert [event.json() for event in events.received] == [0, 1, 2, 3, 4]

    async def test_come_after_the_mapped_event(self) -> None:
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

    async def test_of_the_error_mapper_do_not_hide_the_first_error(
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
            await call(EventSourceResponse(trace.idle()), send=send)
        assert trace.was_cleaned_up()

    async def test_of_receive_are_the_error_of_the_stream(self) -> None:
        async def leave() -> None:
            raise OopsError

        with pytest.raises(OopsError):
            await call(EventSourceResponse(Trace().idle()), leave=leave)

    async def test_may_be_base_exceptions(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            await call(EventSourceResponse(items()))

    async def test_of_an_item_show_its_type_and_its_yield(self) -> None:
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

    async def test_of_an_item_of_an_iterator_are_raised(self) -> None:
        with pytest.raises(EncodingError):
            await body_of(EventSourceResponse(iter([1, object()])))

    async def test_of_an_item_may_be_a_lone_surrogate(self) -> None:
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

    async def test_yields_to_other_tasks_without_an_await(self) -> None:
        async def items() -> AsyncIterator[int]:
            while True:
                yield 1

        async with chunks_of(EventSourceResponse(items())) as chunks:
            for _ in range(10):
                assert await anext(chunks)
