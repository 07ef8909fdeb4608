"""Both producers: what they put, when they stop, and that they are closed."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any
from weakref import ref

import anyio
import pytest
from anyio.lowlevel import checkpoint
from pydantic import BaseModel

from sse_middleware import EncodingError, ServerSentEvent
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.producers import close_producer, producer_of
from sse_middleware.stream.thread_producer import ThreadProducer
from tests.stream.frames import Frames, encoder, frames

pytestmark = pytest.mark.anyio


class Countdown:
    """An iterator, of either kind, that is not a generator."""

    def __init__(self, *items: Any) -> None:
        self.items = list(items)

    def __iter__(self) -> "Countdown":
        return self

    def __next__(self) -> Any:
        if not self.items:
            raise StopIteration
        return self.items.pop(0)

    def __aiter__(self) -> "Countdown":
        return self

    async def __anext__(self) -> Any:
        if not self.items:
            raise StopAsyncIteration
        return self.items.pop(0)


class Plain(Countdown):
    """Without `__aiter__`."""

    __aiter__ = None  # type: ignore[assignment]


async def items(log: list[str], *values: Any) -> AsyncIterator[Any]:
    try:
        for value in values:
            yield value
    finally:
        log.append("finally")


def sync_items(log: list[str], *values: Any) -> Iterator[Any]:
    try:
        yield from values
    finally:
        log.append(threading.current_thread().name)


both = pytest.mark.parametrize("make", [items, sync_items], ids=["async", "sync"])
Make = Callable[..., Any]
LARGE = [letter * ThreadProducer.BATCH_SIZE for letter in "abcde"]  # a run of the thread for each


async def rest(content: AsyncIterator[Any] | Iterator[Any]) -> list[Any]:
    if isinstance(content, AsyncIterator):
        return [item async for item in content]
    return list(content)


@both
async def test_it_puts_everything_and_waits_for_room(make: Make) -> None:
    log: list[str] = []
    sink = Frames(full=2)
    await producer_of(make(log, *LARGE), encoder).produce(sink)
    assert sink == frames(*LARGE)
    assert sink.waits == 2
    assert len(log) == 1


class Thing(BaseModel):
    """Data whose end can be seen."""


@pytest.mark.parametrize("wrapped", [False, True])
async def test_it_keeps_no_item_while_its_generator_waits(wrapped: bool) -> None:
    made: list[ref[Thing]] = []
    alive: list[bool] = []

    def make() -> Any:
        thing = Thing()
        made.append(ref(thing))
        return ServerSentEvent(data=thing) if wrapped else thing

    async def things() -> AsyncIterator[Any]:
        for _ in range(3):  # the second one is known to be data
            yield make()
            await checkpoint()
            alive.append(made[-1]() is not None)

    encoder = ItemEncoder(ItemEncoding(StreamSettings(), None, "things"))
    await AsyncProducer(things(), encoder).produce(Outbox(2**16))
    assert alive == [False, False, False]


@both
async def test_it_stops_where_there_is_no_room_any_more(make: Make) -> None:
    log: list[str] = []
    sink = Frames(full=2, room=False)
    producer = producer_of(make(log, *LARGE), encoder)
    await producer.produce(sink)
    assert sink == frames(*LARGE[:2])
    assert log == []
    await close_producer(producer, 5)
    await close_producer(producer, 5)
    assert len(log) == 1


@both
async def test_it_closes_a_generator_that_never_ran(make: Make) -> None:
    log: list[str] = []
    generator = make(log, "a")
    await close_producer(producer_of(generator, encoder), 5)
    assert await rest(generator) == log == []


@pytest.mark.parametrize(
    ("kind", "producer_kind"), [(Countdown, AsyncProducer), (Plain, ThreadProducer)]
)
async def test_it_takes_iterators_that_are_no_generators(kind: Any, producer_kind: type) -> None:
    sink = Frames()
    producer = producer_of(kind("a", "b"), encoder)
    assert isinstance(producer, producer_kind)
    await producer.produce(sink)
    await close_producer(producer, 5)
    assert sink == frames("a", "b")


@pytest.mark.parametrize("kind", [Countdown, Plain])
async def test_the_error_of_a_bad_item_is_raised_where_it_can_not_be_thrown(kind: Any) -> None:
    sink = Frames()
    with pytest.raises(EncodingError):
        await producer_of(kind("a", 1), encoder).produce(sink)
    assert sink == frames("a")


@both
async def test_the_error_of_a_bad_item_is_thrown_into_the_generator(make: Make) -> None:
    log: list[str] = []
    sink = Frames()
    producer = producer_of(make(log, "a", 1, "c"), encoder)
    with pytest.raises(EncodingError):
        await producer.produce(sink)
    await close_producer(producer, 5)
    assert sink == frames("a")
    assert len(log) == 1


async def patient(*values: Any) -> AsyncIterator[Any]:
    """Go on after each item that is refused."""
    for value in values:
        with suppress(EncodingError):
            yield value


def sync_patient(*values: Any) -> Iterator[Any]:
    for value in values:
        with suppress(EncodingError):
            yield value


@pytest.mark.parametrize("make", [patient, sync_patient], ids=["async", "sync"])
@pytest.mark.parametrize(
    ("values", "sent"),
    [(("a", 1, 2, "b"), frames("a", "b")), ((1,), [])],
    ids=["and go on", "and end"],
)
async def test_a_generator_may_catch_the_error(
    make: Make, values: tuple[Any, ...], sent: list[bytes]
) -> None:
    sink = Frames()
    await producer_of(make(*values), encoder).produce(sink)
    assert b"".join(sink) == b"".join(sent)


async def stubborn() -> AsyncIterator[Any]:
    """Answer an item that is refused with another one."""
    try:
        yield 1
    except EncodingError:
        yield 2


def sync_stubborn() -> Iterator[Any]:
    try:
        yield 1
    except EncodingError:
        yield 2


@pytest.mark.parametrize("make", [stubborn, sync_stubborn], ids=["async", "sync"])
async def test_a_generator_may_answer_with_another_bad_item(make: Make) -> None:
    content = make()
    producer = producer_of(content, encoder)
    with pytest.raises(EncodingError):
        await producer.produce(Frames())
    await close_producer(producer, 5)
    assert await rest(content) == []


@both
async def test_a_generator_whose_frames_are_all_empty_lets_others_run(make: Make) -> None:
    log: list[str] = []
    outbox = Outbox(1_000)
    producer = producer_of(make(log, *[None] * 1_000_000), encoder)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer.produce, outbox)
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        assert log == []
        outbox.close(Ending.ABANDONED)
    await close_producer(producer, 5)
    assert len(log) == 1
