"""The producer of a synchronous iterable, which lives in one thread."""

import threading
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from sse_middleware.stream.thread_producer import ThreadProducer
from tests.stream.frames import Frames, encoder, frames

pytestmark = pytest.mark.anyio


async def test_an_item_is_put_while_the_next_one_is_waited_for() -> None:
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
    producer = ThreadProducer(blocking(), encoder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer.produce, sink)
        await arrived.wait()
        assert sink == frames("a")
        release.set()
    assert sink == frames("a", "b")


async def test_a_running_next_is_waited_for_and_then_closed_in_its_thread(
    caplog: pytest.LogCaptureFixture,
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

    producer = ThreadProducer(blocking(), encoder)
    sink = Frames()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer.produce, sink)
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await producer.close(1)
    assert "still running" in caplog.text
    assert log == []
    await anyio.to_thread.run_sync(release.set)  # the call tells the virtual clock that threads run
    await producer.close(5)
    assert len(log) == 1
    assert log != [threading.main_thread().name]


async def test_a_running_iterator_without_a_close_stops() -> None:
    begun, release = threading.Event(), threading.Event()

    class Blocking:
        def __iter__(self) -> "Blocking":
            return self

        def __next__(self) -> str:
            begun.set()
            release.wait()
            return "a"

    producer = ThreadProducer(Blocking(), encoder)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer.produce, Frames())
        while not begun.is_set():
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    release.set()
    await producer.close(5)


async def test_a_run_that_never_began_is_not_waited_for() -> None:
    entered = []

    def generator() -> Iterator[str]:
        entered.append(True)
        yield "a"

    producer = ThreadProducer(generator(), encoder)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await producer.produce(Frames())
    await producer.close(5)
    producer._run(producer._ticket)  # a worker that takes up the run too late
    assert entered == []


async def test_the_iterator_is_made_in_a_thread_too() -> None:
    threads = []

    class Query:
        def __iter__(self) -> Iterator[str]:
            threads.append(threading.current_thread())
            return iter(["a"])

    await ThreadProducer(Query(), encoder).produce(Frames())
    assert threads
    assert threads[0] is not threading.main_thread()


async def test_a_thread_that_outlives_its_event_loop_logs_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    producer = ThreadProducer(iter(["a"]), encoder)

    def ended(_callback: Any) -> None:
        raise RuntimeError("Event loop is closed")

    await producer.produce(Frames())
    producer._call_loop = ended
    producer._notify(lambda: None)
    assert "still running when its event loop ended" in caplog.text
