"""A generator that can't yield any more is not cancelled when its client leaves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import pytest
from fastapi import FastAPI

from sse_middleware import (
    CloseReason,
    EncodingError,
    EventSourceResponse,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.outbox import Outbox
from tests.served import ClosedStreams, OopsError, call, events_of

pytestmark = pytest.mark.anyio

Store = Callable[[], Any]
Make = Callable[[Store], AsyncIterator[object]]


@asynccontextmanager
async def session(store: Store) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await store()


async def in_a_finally(store: Store) -> AsyncIterator[object]:
    try:
        yield "token"
        yield "[DONE]"
    finally:
        await store()


async def in_a_finally_within_a_context(store: Store) -> AsyncIterator[object]:
    async with session(anyio.lowlevel.checkpoint):
        try:
            yield "token"
            yield "[DONE]"
        finally:
            await store()


async def at_the_exit_of_a_context(store: Store) -> AsyncIterator[object]:
    async with session(store):
        yield "token"
        yield "[DONE]"


async def after_the_last_yield(store: Store) -> AsyncIterator[object]:
    yield "token"
    yield "[DONE]"
    await store()


async def after_an_error(store: Store) -> AsyncIterator[object]:
    try:
        yield "token"
        yield "[DONE]"
        yield [].pop()
    except IndexError:
        await store()


async def in_a_generator_below(store: Store) -> AsyncIterator[object]:
    async for token in in_a_finally(store):
        yield token


CLEANUPS = [
    in_a_finally,
    in_a_finally_within_a_context,
    at_the_exit_of_a_context,
    in_a_generator_below,
]

CODE_AFTER = [after_the_last_yield, after_an_error]


def alone(make: Make, store: Store) -> Any:
    return SSEMiddleware(EventSourceResponse(make(store)))


def under_fastapi(make: Make, store: Store) -> Any:
    app = FastAPI()

    @app.get("/")
    @event_stream
    async def chat() -> Any:
        async for token in make(store):
            yield token

    app.add_middleware(SSEMiddleware)
    return app


@pytest.mark.parametrize("app_of", [alone, under_fastapi])
@pytest.mark.parametrize(
    ("make", "seconds"),
    [
        *((make, seconds) for make in CLEANUPS for seconds in (0, 0.01, 4)),
        *((make, seconds) for make in CODE_AFTER for seconds in (0, 0.01, 0.9)),
    ],
)
async def test_stores_each_answer_though_its_client_leaves_at_the_last_event(
    app_of: Any, make: Make, seconds: float
) -> None:
    stored = 0

    async def store() -> None:
        nonlocal stored
        await anyio.sleep(seconds)
        stored += 1

    for _ in range(3):
        async with events_of(app_of(make, store)) as events:
            assert [event.json() for event in await events.take(2)] == ["token", "[DONE]"]
            await events.disconnect()
    assert stored == 3


@pytest.mark.parametrize(
    ("make", "seconds"),
    [*((make, 3) for make in CLEANUPS), *((make, 2) for make in CODE_AFTER)],
)
async def test_has_a_bounded_time_for_that(make: Make, seconds: float) -> None:
    began, ended = anyio.current_time(), []

    async def store() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(anyio.current_time() - began)

    closed = ClosedStreams()
    response = EventSourceResponse(make(store), cleanup_timeout=3, finish_timeout=2)
    async with events_of(SSEMiddleware(response, observers=[closed])) as events:
        await events.take(2)
        await events.disconnect()
    assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]
    assert ended == [pytest.approx(seconds, abs=0.1)]


async def test_code_after_the_last_yield_may_lead_to_cleanup() -> None:
    log: list[str] = []

    async def both() -> AsyncIterator[int]:
        try:
            yield 1
            await anyio.sleep(0.9)
        finally:
            await anyio.sleep(3)
            log.append("cleaned up")

    async with events_of(SSEMiddleware(EventSourceResponse(both()))) as events:
        await events.next()
        await events.disconnect()
    assert log == ["cleaned up"]


async def test_one_that_can_go_on_is_cancelled_at_once() -> None:
    began, ended = anyio.current_time(), []

    async def waiting() -> AsyncIterator[int]:
        try:
            while True:
                yield 1
                await anyio.sleep_forever()
        finally:
            ended.append(anyio.current_time() - began)

    async with events_of(SSEMiddleware(EventSourceResponse(waiting()))) as events:
        await events.next()
        await events.disconnect()
    assert ended == [pytest.approx(0, abs=0.01)]


@pytest.mark.parametrize("kind", ["anyio", "asyncio"])
async def test_a_task_group_around_a_yield_leaves_no_trace(kind: str, virtual_time: Any) -> None:
    if kind == "asyncio" and virtual_time.backend != "asyncio":
        kind = "anyio"
    closed = ClosedStreams()

    async def grouped() -> AsyncIterator[str]:
        group: Any = anyio.create_task_group() if kind == "anyio" else asyncio.TaskGroup()
        async with group:
            while True:
                yield "x" * 1_000

    sent: list[Any] = []

    async def slow_send(message: Any) -> None:
        await anyio.sleep(0.1)
        sent.append(message)

    app = SSEMiddleware(EventSourceResponse(grouped(), max_duration=5), observers=[closed])
    await call(app, send=slow_send)
    assert closed.reasons == [CloseReason.MAX_DURATION]
    assert closed.records[0].error is None
    assert not sent[-1]["more_body"]


async def fails_in_its_child() -> None:
    try:
        await anyio.sleep_forever()
    finally:
        raise OopsError


async def grouped_with_a_child_that_fails() -> AsyncIterator[str]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails_in_its_child)
        while True:
            yield "x" * 100_000


async def grouped_with_a_body_that_fails() -> AsyncIterator[str]:
    async with anyio.create_task_group():
        try:
            while True:
                yield "x" * 100_000
        finally:
            raise OopsError


@pytest.mark.parametrize(
    "grouped", [grouped_with_a_body_that_fails, grouped_with_a_child_that_fails]
)
async def test_a_group_of_our_cancellation_and_an_error_raises_the_error(
    grouped: Callable[[], AsyncIterator[str]],
) -> None:
    closed = ClosedStreams()

    sent = 0

    async def send(_message: Any) -> None:
        nonlocal sent
        await anyio.lowlevel.checkpoint()
        sent += 1
        if sent == 3:
            gone.set()

    gone = anyio.Event()
    app = SSEMiddleware(EventSourceResponse(grouped()), observers=[closed])
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - a group or the error
        await call(app, leave=gone.wait, send=send)
    assert "OopsError" in repr(caught.value)
    assert closed.records[0].error is not None


async def test_a_cancellation_may_come_back_in_a_group() -> None:
    closed = ClosedStreams()

    async def wrapping() -> AsyncIterator[int]:
        yield 1
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class() as error:
            raise BaseExceptionGroup("mine", [error]) from None
        yield 2

    async with events_of(
        SSEMiddleware(EventSourceResponse(wrapping()), observers=[closed])
    ) as events:
        await events.next()
        await events.disconnect()
    assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]


async def test_what_swallows_each_cancellation_is_abandoned(caplog: Any, virtual_time: Any) -> None:
    if virtual_time.backend != "asyncio":
        pytest.skip("trio cancels each await, so such a generator would not suspend")
    closed, over = ClosedStreams(), asyncio.Event()

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        while not over.is_set():
            with suppress(asyncio.CancelledError, TimeoutError):
                await asyncio.wait_for(over.wait(), 10)
        yield 2

    app = SSEMiddleware(
        EventSourceResponse(stubborn(), cleanup_timeout=2), observers=[closed], max_streams=1
    )
    began = anyio.current_time()
    async with events_of(app) as events:
        await events.next()
        await events.disconnect()
    assert anyio.current_time() - began == pytest.approx(3, abs=0.1)
    assert app.stats().open == 0
    assert "swallowed every cancellation" in caplog.text
    assert await closed.wait_for(1) == [CloseReason.CLIENT_DISCONNECTED]
    over.set()
    for _ in range(3):
        await asyncio.sleep(0)


async def test_errors_that_are_swallowed_for_ever_end_with_the_stream() -> None:
    swallowed = 0

    async def bad() -> AsyncIterator[object]:
        nonlocal swallowed
        while True:
            try:
                yield object()
            except EncodingError:
                swallowed += 1
                if swallowed == 3:
                    outbox.close(Ending.ABANDONED)

    outbox = Outbox(1_000)
    encoder = ItemEncoder(ItemEncoding(StreamSettings(), None, "bad"))
    await AsyncProducer(bad(), encoder).produce(outbox)
    assert swallowed == 3
