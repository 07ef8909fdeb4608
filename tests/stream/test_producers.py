"""Sources: what they put, when they stop, and that they are closed."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from sse_middleware import EncodingError
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.response import producer_of
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.thread_producer import ThreadProducer
from sse_middleware.wire.encoding import encode_data

pytestmark = pytest.mark.anyio


class Frames(list[bytes]):
    """A sink that is full after so many frames, and may have no room ever again."""

    def __init__(self, full: int = 10**9, *, room: bool = True) -> None:
        super().__init__()
        self.full = full
        self.more = room
        self.waits = 0
        self.texts: list[bytes] = []
        self.size = self.look_at = 0

    def is_full(self) -> bool:
        return self.put(encode_data([self.texts.pop()]))

    def put(self, frame: bytes, events: int = 1) -> bool:
        self.append(frame)
        return len(self) % self.full == 0

    async def room(self) -> bool:
        self.waits += 1
        await anyio.lowlevel.checkpoint()
        return self.more


def text_only(item: Any) -> str:
    if isinstance(item, str):
        return item
    raise TypeError("no text")


encoder = ItemEncoder(StreamSettings(serializer=text_only), bytes, None, "endpoint")


def frames(*texts: str) -> list[bytes]:
    return [encode_data([text.encode()]) for text in texts]


class Countdown:
    """An iterator, of either kind, that is no generator."""

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


BOTH = pytest.mark.parametrize("make", [items, sync_items], ids=["async", "sync"])
Make = Callable[..., Any]
LARGE = [letter * ThreadProducer.BATCH_SIZE for letter in "abcde"]  # a run of the thread for each


async def rest(content: AsyncIterator[Any] | Iterator[Any]) -> list[Any]:
    if isinstance(content, AsyncIterator):
        return [item async for item in content]
    return list(content)


@BOTH
async def test_puts_everything_and_waits_for_room(make: Make) -> None:
    log: list[str] = []
    sink = Frames(full=2)
    await producer_of(make(log, *LARGE), encoder).produce(sink)
    assert sink == frames(*LARGE)
    assert sink.waits == 2
    assert len(log) == 1


@BOTH
async def test_stops_where_nothing_more_is_wanted(make: Make) -> None:
    log: list[str] = []
    sink = Frames(full=2, room=False)
    source = producer_of(make(log, *LARGE), encoder)
    await source.produce(sink)
    assert sink == frames(*LARGE[:2])
    assert log == []
    await source.close(5)
    await source.close(5)
    assert len(log) == 1


@BOTH
async def test_closes_what_was_never_entered(make: Make) -> None:
    log: list[str] = []
    generator = make(log, "a")
    await producer_of(generator, encoder).close(5)
    assert await rest(generator) == log == []


@pytest.mark.parametrize(
    ("kind", "source_kind"), [(Countdown, AsyncProducer), (Plain, ThreadProducer)]
)
async def test_takes_iterators_that_are_no_generators(kind: Any, source_kind: type) -> None:
    sink = Frames()
    source = producer_of(kind("a", "b"), encoder)
    assert isinstance(source, source_kind)
    await source.produce(sink)
    await source.close(5)
    assert sink == frames("a", "b")


@pytest.mark.parametrize("kind", [Countdown, Plain])
async def test_raises_what_can_not_be_thrown_back(kind: Any) -> None:
    sink = Frames()
    with pytest.raises(EncodingError):
        await producer_of(kind("a", 1), encoder).produce(sink)
    assert sink == frames("a")


@BOTH
async def test_throws_what_can_not_be_encoded_back_and_closes(make: Make) -> None:
    log: list[str] = []
    sink = Frames()
    source = producer_of(make(log, "a", 1, "c"), encoder)
    with pytest.raises(EncodingError):
        await source.produce(sink)
    await source.close(5)
    assert sink == frames("a")
    assert len(log) == 1


@BOTH
async def test_a_generator_may_go_on_after_several_refused_items(make: Make) -> None:
    async def patient() -> AsyncIterator[Any]:
        for item in ("a", 1, 2, "b"):
            try:
                yield item
            except EncodingError:
                continue

    def sync_patient() -> Iterator[Any]:
        for item in ("a", 1, 2, "b"):
            try:
                yield item
            except EncodingError:
                continue

    sink = Frames()
    await producer_of(patient() if make is items else sync_patient(), encoder).produce(sink)
    assert sink == frames("a", "b")


async def test_a_generator_may_answer_a_refused_item_by_another_refused_one() -> None:
    async def stubborn() -> AsyncIterator[Any]:
        try:
            yield 1
        except EncodingError:
            yield 2

    def sync_stubborn() -> Iterator[Any]:
        try:
            yield 1
        except EncodingError:
            yield 2

    for content in (stubborn(), sync_stubborn()):
        source = producer_of(content, encoder)
        with pytest.raises(EncodingError):
            await source.produce(Frames())
        await source.close(5)
        assert await rest(content) == []


async def test_a_generator_may_answer_a_refused_item_by_its_end() -> None:
    async def modest() -> AsyncIterator[Any]:
        try:
            yield 1
        except EncodingError:
            return

    def sync_modest() -> Iterator[Any]:
        try:
            yield 1
        except EncodingError:
            return

    for content in (modest(), sync_modest()):
        sink = Frames()
        await producer_of(content, encoder).produce(sink)
        assert b"".join(sink) == b""


class TestThreads:
    async def test_an_item_is_on_its_way_while_the_next_one_is_waited_for(self) -> None:
        release = threading.Event()
        arrived = anyio.Event()

        def blocking() -> Iterator[str]:
            yield "a"
            release.wait()
            yield "b"

        class Sink(Frames):
            def put(self, frame: bytes, events: int = 1) -> bool:
                arrived.set()
                return super().put(frame)

        sink = Sink()
        source = ThreadProducer(blocking(), encoder)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.produce, sink)
            await arrived.wait()
            assert sink == frames("a")
            release.set()
        assert sink == frames("a", "b")

    async def test_a_running_next_is_waited_for_and_then_closed_in_its_thread(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        begun, release = threading.Event(), threading.Event()
        log: list[str] = []

        def blocking() -> Iterator[str]:
            try:
                begun.set()
                release.wait()
                yield "a"
            finally:
                log.append(threading.current_thread().name)

        source = ThreadProducer(blocking(), encoder)
        sink = Frames()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.produce, sink)
            while not begun.is_set():
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        await source.close(1)
        assert "still running" in caplog.text
        assert log == []
        await anyio.to_thread.run_sync(release.set)  # its call tells the clock that threads go on
        await source.close(5)
        assert len(log) == 1
        assert log != [threading.main_thread().name]

    async def test_a_running_iterator_that_is_no_generator_just_stops(self) -> None:
        begun, release = threading.Event(), threading.Event()

        class Blocking:
            def __iter__(self) -> "Blocking":
                return self

            def __next__(self) -> str:
                begun.set()
                release.wait()
                return "a"

        source = ThreadProducer(Blocking(), encoder)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(source.produce, Frames())
            while not begun.is_set():
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        release.set()
        await source.close(5)

    async def test_a_run_that_never_began_is_not_waited_for(self) -> None:
        entered = []

        def generator() -> Iterator[str]:
            entered.append(True)
            yield "a"

        source = ThreadProducer(generator(), encoder)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await source.produce(Frames())
        await source.close(5)
        source._run(source._ticket)  # a worker that takes up the run too late
        assert entered == []

    async def test_iterating_begins_in_a_thread_too(self) -> None:
        threads = []

        class Query:
            def __iter__(self) -> Iterator[str]:
                threads.append(threading.current_thread())
                return iter(["a"])

        await ThreadProducer(Query(), encoder).produce(Frames())
        assert threads
        assert threads[0] is not threading.main_thread()

    async def test_a_loop_that_has_ended_is_no_error_in_the_thread(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        source = ThreadProducer(iter(["a"]), encoder)

        def ended(_callback: Any) -> None:
            raise RuntimeError("Event loop is closed")

        await source.produce(Frames())
        source._call_loop = ended
        source._notify(lambda: None)
        assert "still running when its event loop ended" in caplog.text


async def test_a_wrapper_with_frameworks_name_but_another_shape_stays() -> None:
    async def _async_stream_raw(content: Any) -> AsyncIterator[Any]:
        yield content

    sink = Frames()
    wrapper = _async_stream_raw("a")
    await producer_of(wrapper, encoder).produce(sink)
    assert sink == frames("a")
    await producer_of(wrapper, encoder).produce(sink)
    assert sink == frames("a")
