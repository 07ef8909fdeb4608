"""The producer of a synchronous iterable, which lives in one thread."""

import logging
import queue
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from anyio.to_thread import current_default_thread_limiter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import CloseReason, EncodingError, EventSourceResponse, event_stream
from sse_middleware.event_loop.worker_thread import WorkerThread
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.thread_producer import REFUSED, ThreadProducer
from sse_middleware.testing import EventClient
from tests.patience import PATIENCE
from tests.served import call, client_of, observed, raw
from tests.stream.frames import Frames, encoder, frames

pytestmark = pytest.mark.anyio


def own_threads(name: str = "") -> list[threading.Thread]:
    """Return the threads of iterables whose qualified name ends so."""
    threads = (one for one in threading.enumerate() if one.name.startswith("sse_middleware "))
    return [one for one in threads if one.name.endswith(name)]


@pytest.fixture(autouse=True)
def _all_threads_end() -> Iterator[None]:
    before = {*own_threads()}
    yield
    left = {*own_threads()} - before
    for thread in left:
        thread.join(PATIENCE)
    assert [one for one in left if one.is_alive()] == []


@asynccontextmanager
async def running(producer: ThreadProducer, sink: Frames) -> AsyncIterator[None]:
    """Produce as long as the block lasts, and cancel that at its end."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(producer.produce, sink)
        yield
        tasks.cancel_scope.cancel()


async def until_set(event: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(partial(event.wait, 5))


async def release(event: threading.Event) -> None:
    """Set the event in a thread. The call tells the virtual clock that threads run."""
    await anyio.to_thread.run_sync(event.set)


def run_for_real(main: Callable[[], Awaitable[None]], backend: str) -> None:
    """Run in real time: virtual time stands still while a thread works."""
    if backend != "uvloop":
        anyio.run(main, backend=backend)
        return
    pytest.importorskip("uvloop")
    anyio.run(main, backend_options={"use_uvloop": True})


class Blocking:
    """A generator that blocks after each item until it is released."""

    def __init__(self, *, error: BaseException | None = None) -> None:
        self.begun, self.release = threading.Event(), threading.Event()
        self.threads: list[threading.Thread] = []
        self._error = error

    def items(self) -> Iterator[str]:
        try:
            yield "a"
            self.begun.set()
            self.release.wait()
            yield "b"
        finally:
            self.threads.append(threading.current_thread())
            if self._error is not None:
                raise self._error


class Cursor:
    """An iterator that is not a generator, and can be closed."""

    def __init__(self, *items: Any, close_error: BaseException | None = None) -> None:
        self.items = list(items)
        self.closed_in: list[threading.Thread] = []
        self.stepped_in: set[threading.Thread] = set()
        self._close_error = close_error

    def __iter__(self) -> "Cursor":
        return self

    def __next__(self) -> Any:
        self.stepped_in.add(threading.current_thread())
        if not self.items:
            raise StopIteration
        if isinstance(self.items[0], BaseException):
            raise self.items.pop(0)
        return self.items.pop(0)

    def close(self) -> None:
        self.closed_in.append(threading.current_thread())
        if self._close_error is not None:
            raise self._close_error


class TestThread:
    """One thread, from the first step to the close."""

    async def test_has_all_steps_and_the_close_though_others_run(self) -> None:
        seen: dict[str, set[threading.Thread]] = {"a": set(), "b": set(), "c": set()}
        local = threading.local()

        def generator(name: str) -> Iterator[str]:
            local.name = name
            lock = threading.RLock()
            connection = sqlite3.connect(":memory:")
            try:
                with lock:
                    for _ in range(300):
                        (text,) = connection.execute("select ?", (local.name,)).fetchone()
                        seen[name].add(threading.current_thread())
                        yield text * 500
            finally:
                seen[name].add(threading.current_thread())
                connection.close()  # raises in another thread

        async def stream(name: str) -> None:
            producer, sink = ThreadProducer(generator(name), encoder), Frames(full=3)
            await producer.produce(sink)
            await producer.close(5)
            assert sink == frames(*[name * 500] * 300)

        async with anyio.create_task_group() as tasks:
            for name in seen:
                tasks.start_soon(stream, name)
        assert [len(threads) for threads in seen.values()] == [1, 1, 1]
        assert len(set.union(*seen.values())) == 3

    async def test_is_daemonic_and_none_of_the_applications(self) -> None:
        found: list[threading.Thread] = []

        def generator() -> Iterator[str]:
            found.append(threading.current_thread())
            yield "a"

        producer = ThreadProducer(generator(), encoder)
        await producer.produce(Frames())
        await producer.close(5)
        pool = await anyio.to_thread.run_sync(threading.current_thread)
        (thread,) = found
        assert thread.daemon
        assert thread is not pool
        assert "generator" in thread.name

    async def test_takes_none_of_the_tokens(self) -> None:
        blocking = Blocking()
        producer = ThreadProducer(blocking.items(), encoder)
        async with running(producer, Frames()):
            await until_set(blocking.begun)
            assert current_default_thread_limiter().borrowed_tokens == 0
            await release(blocking.release)
        await producer.close(5)

    async def test_has_one_context_which_is_a_copy(self) -> None:
        variable: ContextVar[str] = ContextVar("variable")
        seen: list[str] = []

        def generator() -> Iterator[str]:
            try:
                seen.append(variable.get())
                variable.set("thread's")
                yield "a" * ThreadProducer.BATCH_SIZE
                yield "b"
            finally:
                seen.append(variable.get())

        variable.set("task's")
        producer = ThreadProducer(generator(), encoder)
        await producer.produce(Frames(full=1, room=False))
        await producer.close(5)
        assert seen == ["task's", "thread's"]
        assert variable.get() == "task's"

    async def test_also_makes_the_iterator(self) -> None:
        threads = []

        class Query:
            def __iter__(self) -> Iterator[str]:
                threads.append(threading.current_thread())
                return iter(["a"])

        await ThreadProducer(Query(), encoder).produce(Frames())
        assert threads
        assert threads[0] is not threading.main_thread()

    async def test_calls_into_the_event_loop(self) -> None:
        async def double(text: str) -> str:
            with anyio.CancelScope():
                await anyio.sleep(0.01)
            return text * 2

        def generator() -> Iterator[str]:
            yield anyio.from_thread.run(double, "a")
            yield anyio.from_thread.run_sync(str.upper, "b")

        sink = Frames()
        await ThreadProducer(generator(), encoder).produce(sink)
        assert sink == frames("aa", "B")

    async def test_may_run_an_event_loop_of_its_own(self) -> None:
        async def inner() -> str:
            await anyio.lowlevel.checkpoint()
            return "inner"

        def generator() -> Iterator[str]:
            yield anyio.run(inner)

        sink = Frames()
        await ThreadProducer(generator(), encoder).produce(sink)
        assert sink == frames("inner")

    async def test_needs_nothing_private_of_anyio(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "anyio._core._eventloop", None)
        sink = Frames()
        producer = ThreadProducer(iter(["a"]), encoder)
        with monkeypatch.context():
            await producer.produce(sink)
        assert sink == frames("a")

    async def test_that_can_not_be_started_is_an_error_and_nothing_is_left_open(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log: list[str] = []

        def generator() -> Iterator[str]:
            log.append("entered")
            yield "a"

        def no_thread(_thread: object) -> None:
            raise RuntimeError("can't start new thread")

        content = generator()
        producer = ThreadProducer(content, encoder)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            with pytest.raises(RuntimeError, match="new thread"):
                await producer.produce(Frames())
        await producer.close(5)
        assert list(content) == log == []


class TestHandOver:
    async def test_an_item_is_put_while_the_next_one_is_waited_for(self) -> None:
        go_on = threading.Event()
        arrived = anyio.Event()

        def blocking() -> Iterator[str]:
            yield "a"
            go_on.wait()
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
            go_on.set()
        assert sink == frames("a", "b")

    @pytest.mark.parametrize("size", [1, ThreadProducer.BATCH_SIZE])
    async def test_the_thread_parks_while_there_is_no_room(self, size: int) -> None:
        steps: list[int] = []

        def endless() -> Iterator[str]:
            try:
                while True:
                    steps.append(1)
                    yield "x" * size
            finally:
                steps.append(0)

        class Sink(Frames):
            has_room, waits_for_room = anyio.Event(), anyio.Event()

            async def room(self) -> bool:
                self.waits_for_room.set()
                await self.has_room.wait()
                self.has_room, self.waits_for_room = anyio.Event(), anyio.Event()
                return True

        sink = Sink(full=1)
        producer = ThreadProducer(endless(), encoder)
        async with running(producer, sink):
            for _ in range(5):
                await sink.waits_for_room.wait()
                await anyio.sleep(1)  # passes at once, but for the thread's work
                before = len(steps)
                await anyio.sleep(3600)
                assert len(steps) == before <= len(sink) + 1
                sink.has_room.set()
                await anyio.wait_all_tasks_blocked()
        await producer.close(5)
        assert steps[-1] == 0

    async def test_keep_alives_of_no_bytes_do_not_flood(self) -> None:
        """The sink is never full, but the thread waits until it has taken what is on its way."""

        class Sink(Frames):
            most = 0

            def put(self, frame: bytes, events: int = 1) -> bool:
                self.most = max(self.most, len(producer._frames))
                return super().put(frame, events)

        def endless() -> Iterator[None]:
            while True:
                yield None

        sink = Sink()
        producer = ThreadProducer(endless(), encoder)
        async with running(producer, sink):
            while len(sink) < 1000:
                await anyio.lowlevel.checkpoint()
        await producer.close(5)
        assert sink.most <= ThreadProducer.BATCH_SIZE / REFUSED

    async def test_what_was_yielded_before_an_error_is_put(self) -> None:
        class OopsError(Exception):
            pass

        def failing() -> Iterator[str]:
            yield "a"
            yield "b"
            raise OopsError

        sink = Frames()
        producer = ThreadProducer(failing(), encoder)
        with pytest.raises(OopsError):
            await producer.produce(sink)
        await producer.close(5)
        assert sink == frames("a", "b")


class TestClose:
    async def test_waits_for_a_running_next(self, caplog: pytest.LogCaptureFixture) -> None:
        blocking = Blocking()
        producer, sink = ThreadProducer(blocking.items(), encoder), Frames()
        async with running(producer, sink):
            await until_set(blocking.begun)
        await producer.close(1)
        assert "still running" in caplog.text
        assert blocking.threads == []
        assert sink == frames("a")
        (thread,) = own_threads("Blocking.items")
        await release(blocking.release)
        await producer.close(5)
        assert blocking.threads == [thread]

    async def test_an_iterator_without_a_close_stops(self) -> None:
        begun, go_on = threading.Event(), threading.Event()

        class Endless:
            def __iter__(self) -> "Endless":
                return self

            def __next__(self) -> str:
                begun.set()
                go_on.wait()
                return "a"

        producer = ThreadProducer(Endless(), encoder)
        async with running(producer, Frames()):
            await until_set(begun)
        go_on.set()
        await producer.close(5)

    @pytest.mark.parametrize(
        ("items", "error"),
        [
            (("a",), None),
            ((), None),
            (("a", KeyError("k")), KeyError),
            ((object(),), EncodingError),
        ],
        ids=["ends", "is empty", "fails", "gives what can't be sent"],
    )
    async def test_of_an_iterator_that_is_no_generator(
        self, items: tuple[Any, ...], error: type[BaseException] | None
    ) -> None:
        cursor = Cursor(*items)
        producer = ThreadProducer(cursor, encoder)
        with pytest.raises(error) if error else nullcontext():
            await producer.produce(Frames())
        await producer.close(5)
        await producer.close(5)
        assert set(cursor.closed_in) == cursor.stepped_in
        assert len(cursor.closed_in) == 1

    async def test_of_an_iterator_that_would_go_on(self) -> None:
        cursor = Cursor(*["a" * ThreadProducer.BATCH_SIZE] * 3)
        producer = ThreadProducer(cursor, encoder)
        await producer.produce(Frames(full=1, room=False))
        await producer.close(5)
        assert set(cursor.closed_in) == cursor.stepped_in
        assert cursor.items

    async def test_of_an_iterator_that_never_ran(self) -> None:
        cursor = Cursor("a")
        producer = ThreadProducer(cursor, encoder)
        await producer.close(5)
        await producer.close(5)
        assert len(cursor.closed_in) == 1
        assert threading.main_thread() not in cursor.closed_in
        assert cursor.items == ["a"]

    async def test_of_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        path.write_text("a\nb\n")
        file = path.open()
        sink = Frames()
        producer = ThreadProducer(file, encoder)
        await producer.produce(sink)
        await producer.close(5)
        assert len(sink) == 2
        assert file.closed

    async def test_of_the_iterator_that_an_iterable_makes_but_not_of_the_iterable(self) -> None:
        cursor = Cursor("a")

        class Topic:
            """Others may be subscribed to it."""

            def __iter__(self) -> Cursor:
                return cursor

            def close(self) -> None:
                raise AssertionError

        producer = ThreadProducer(Topic(), encoder)
        await producer.produce(Frames())
        await producer.close(5)
        assert len(cursor.closed_in) == 1
        await ThreadProducer(Topic(), encoder).close(5)  # which never ran

    @pytest.mark.parametrize("close_error", [None, KeyError("k")])
    async def test_of_an_iterator_that_is_iterated_by_a_generator(
        self, close_error: Exception | None
    ) -> None:
        log: list[str] = []

        class Result(Cursor):
            """Like a result of SQLAlchemy's."""

            def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
                try:
                    yield from ("a", "b" * ThreadProducer.BATCH_SIZE, "c")
                finally:
                    log.append("generator")
                    if close_error is not None:
                        raise close_error

            def close(self) -> None:
                log.append("result")

        producer = ThreadProducer(Result(), encoder)
        await producer.produce(Frames(full=2, room=False))
        with pytest.raises(KeyError) if close_error else nullcontext():
            await producer.close(5)
        assert log == ["generator", "result"]

    @pytest.mark.parametrize("wrap", [partial(map, str), chain, partial(map, int)])
    async def test_of_a_generator_inside_of_what_has_no_close(
        self, wrap: Callable[[Iterable[Any]], Iterable[Any]]
    ) -> None:
        threads: list[threading.Thread] = []

        def items() -> Iterator[str]:
            threads.append(threading.current_thread())
            try:
                yield from ("a", "b" * ThreadProducer.BATCH_SIZE, "c")
            finally:
                threads.append(threading.current_thread())

        producer = ThreadProducer(wrap(items()), encoder)
        failing = isinstance(wrap, partial) and wrap.args == (int,)
        with pytest.raises(ValueError, match="int") if failing else nullcontext():
            await producer.produce(Frames(full=2, room=False))
        await producer.close(5)
        begun, closed = threads
        assert closed is begun
        assert closed is not threading.main_thread()

    async def test_of_a_generator_that_never_ran_needs_no_thread(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_thread(_thread: object) -> None:
            raise AssertionError

        monkeypatch.setattr(threading.Thread, "start", no_thread)
        for content in (iter(["a"]), ["a"], (text for text in "ab"), range(3), map(str, "ab")):
            await ThreadProducer(content, encoder).close(5)

    async def test_of_a_generator_that_its_endpoint_has_advanced(self) -> None:
        blocking = Blocking()
        content = blocking.items()
        next(content)
        await ThreadProducer(content, encoder).close(5)
        assert len(blocking.threads) == 1
        assert blocking.threads != [threading.main_thread()]

    async def test_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        go_on = threading.Event()

        class Hanging(Cursor):
            def close(self) -> None:
                go_on.wait()

        producer = ThreadProducer(Hanging("a"), encoder)
        await producer.produce(Frames())  # ends before the cursor has been closed
        began = anyio.current_time()
        await producer.close(3)
        assert anyio.current_time() - began == pytest.approx(3)
        assert "still running" in caplog.text
        await release(go_on)
        await producer.close(5)

    async def test_raises_its_error(self) -> None:
        producer = ThreadProducer(Cursor("a", close_error=KeyError("k")), encoder)
        await producer.produce(Frames())
        with pytest.raises(KeyError):
            await producer.close(5)
        await producer.close(5)

    async def test_tells_of_an_error_that_comes_later(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        blocking = Blocking(error=KeyError("k"))
        producer = ThreadProducer(blocking.items(), encoder)
        async with running(producer, Frames()):
            await until_set(blocking.begun)
        await producer.close(1)
        idle = anyio.Event()
        producer.when_idle(idle.set)
        await release(blocking.release)
        await idle.wait()
        (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
        assert "failed after its stream had ended" in record.message
        assert record.exc_info is not None
        assert record.exc_info[0] is KeyError

    async def test_of_a_generator_that_refuses_to_end_is_an_error(self) -> None:
        def stubborn() -> Iterator[str]:
            with suppress(GeneratorExit):
                yield "a" * ThreadProducer.BATCH_SIZE
                yield "b" * ThreadProducer.BATCH_SIZE
            yield "c"

        producer = ThreadProducer(stubborn(), encoder)
        await producer.produce(Frames(full=1, room=False))
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            await producer.close(5)


class TestWhenIdle:
    async def test_is_at_once_where_no_thread_was_started(self) -> None:
        producer, called = ThreadProducer(["a"], encoder), anyio.Event()
        producer.when_idle(called.set)
        assert called.is_set()

    async def test_is_at_once_where_the_thread_has_returned(self) -> None:
        producer, called = ThreadProducer(["a"], encoder), anyio.Event()
        await producer.produce(Frames())
        await producer.close(5)
        producer.when_idle(called.set)
        assert called.is_set()

    async def test_is_when_the_thread_returns(self) -> None:
        blocking, called = Blocking(), anyio.Event()
        callers: list[threading.Thread] = []
        producer = ThreadProducer(blocking.items(), encoder)
        async with running(producer, Frames()):
            await until_set(blocking.begun)
        await producer.close(0)
        producer.when_idle(called.set)
        producer.when_idle(lambda: callers.append(threading.current_thread()))
        await anyio.sleep(3600)
        assert not called.is_set()
        await release(blocking.release)
        await called.wait()
        assert callers == [threading.main_thread()]
        assert len(blocking.threads) == 1


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_thread_that_outlives_its_event_loop_closes_its_generator(
    backend: str, *, late: bool, caplog: pytest.LogCaptureFixture
) -> None:
    blocking = Blocking(error=KeyError("k") if late else None)
    called: list[str] = []

    async def main() -> None:
        producer = ThreadProducer(blocking.items(), encoder)
        async with running(producer, Frames()):
            await until_set(blocking.begun)
        await producer.close(0)
        producer.when_idle(lambda: called.append("called"))

    run_for_real(main, backend)
    (thread,) = own_threads("Blocking.items")
    blocking.release.set()
    thread.join(PATIENCE)
    assert blocking.threads == [thread]
    assert called == []
    assert "Traceback" not in caplog.text


class TestStopIteration:
    """It ends a stream only where `next` raises it."""

    async def test_of_a_keep_alive(self) -> None:
        def ping() -> str:
            raise StopIteration("no more keep-alives")

        def generator() -> Iterator[None]:
            yield None

        sink = Frames()
        control = ConfiguredControlFrames(ControlFrameRules(StreamSettings(ping=ping)))
        broken = ItemEncoder(ItemEncoding(StreamSettings(), None, "endpoint"), control)
        producer = ThreadProducer(generator(), broken)
        with pytest.raises(RuntimeError, match="StopIteration") as caught:
            await producer.produce(sink)
        assert isinstance(caught.value.__cause__, StopIteration)
        await producer.close(5)
        assert sink == []

    async def test_of_the_making_of_an_iterator(self) -> None:
        class Query:
            def __iter__(self) -> Iterator[str]:
                raise StopIteration

        producer = ThreadProducer(Query(), encoder)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await producer.produce(Frames())
        await producer.close(5)

    async def test_of_a_close(self) -> None:
        producer = ThreadProducer(Cursor("a", close_error=StopIteration()), encoder)
        await producer.produce(Frames())
        with pytest.raises(RuntimeError, match="StopIteration"):
            await producer.close(5)

    async def test_of_a_serializer(self) -> None:
        def serialize(_: Any) -> bytes:
            raise StopIteration

        broken = ItemEncoder(ItemEncoding(StreamSettings(serializer=serialize), None, "endpoint"))
        producer = ThreadProducer(iter(["a"]), broken)
        with pytest.raises(EncodingError):
            await producer.produce(Frames())


class TestRefusedForEver:
    """A generator that swallows each `EncodingError`, and yields nothing that can be sent."""

    @staticmethod
    def generator(log: list[str], pause: Callable[[], object]) -> Iterator[object]:
        try:
            while True:
                with suppress(EncodingError):
                    pause()
                    yield object()
        finally:
            log.append("closed")

    @pytest.mark.parametrize("pause", [int, threading.Event().is_set], ids=["spins", "works"])
    async def test_ends_with_its_stream(self, pause: Callable[[], object]) -> None:
        log: list[str] = []
        producer = ThreadProducer(self.generator(log, pause), encoder)
        async with running(producer, Frames()):
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
        await producer.close(5)
        assert log == ["closed"]

    async def test_lets_the_event_loop_catch_up(self) -> None:
        """The thread parks now and then, as if it had handed something over."""
        log: list[str] = []
        steps: queue.SimpleQueue[int] = queue.SimpleQueue()
        producer = ThreadProducer(self.generator(log, partial(steps.put, 1)), encoder)

        parked = 0
        async with running(producer, Frames()):
            while steps.qsize() < 500:
                await anyio.lowlevel.checkpoint()
                parked += sum(
                    isinstance(one, WorkerThread) and one.parked for one in own_threads("generator")
                )
        await producer.close(5)
        assert parked
        assert log == ["closed"]


class TestStreams:
    """What a client and an observer see of such streams."""

    async def test_a_keep_alive_that_raises_stop_iteration_breaks_the_stream_off(self) -> None:
        def ping() -> str:
            raise StopIteration

        def generator() -> Iterator[Any]:
            yield "a"
            yield None
            yield "b"

        app, closed_streams = observed(EventSourceResponse(generator(), ping=ping))
        with pytest.raises(RuntimeError, match="StopIteration"):
            await call(app)
        assert closed_streams.reasons == [CloseReason.ERROR]

    async def test_a_slot_is_kept_until_the_thread_returns(self) -> None:
        blocks, go_on = threading.Semaphore(0), threading.Event()

        @event_stream
        def blocked(_: Request) -> Iterator[str]:
            yield "a"
            blocks.release()
            go_on.wait()

        app, closed_streams = observed(
            Starlette(routes=[Route("/", blocked)]), max_streams=5, cleanup_timeout=0
        )

        async def visit(client: EventClient) -> int:
            async with client.http.stream("GET", "/") as response, raw(response) as chunks:
                await anext(chunks)
                if response.status_code == 200:
                    assert await anyio.to_thread.run_sync(partial(blocks.acquire, timeout=PATIENCE))
                return response.status_code

        async with client_of(app) as client:
            assert [await visit(client) for _ in range(50)] == [200] * 5 + [503] * 45
            await closed_streams.wait_for(50)
            assert len(own_threads("blocked")) == 5
            assert await visit(client) == 503
            await release(go_on)
            for thread in own_threads("blocked"):
                await anyio.to_thread.run_sync(thread.join, 5)
            assert await visit(client) == 200


class TestStreamsInRealTime:
    @pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
    @pytest.mark.parametrize("settings", [{"max_duration": 0.1}, {}], ids=["limited", "left"])
    def test_a_generator_whose_items_are_all_refused_ends(
        self, backend: str, settings: dict[str, Any]
    ) -> None:
        log: list[str] = []

        async def main() -> None:
            content = TestRefusedForEver.generator(log, int)
            app, closed_streams = observed(EventSourceResponse(content, **settings))
            leave = anyio.sleep_forever if settings else partial(anyio.sleep, 0.1)
            with anyio.fail_after(PATIENCE):
                await call(app, leave=leave)
            reason = CloseReason.MAX_DURATION if settings else CloseReason.CLIENT_DISCONNECTED
            assert closed_streams.reasons == [reason]

        run_for_real(main, backend)
        assert log == ["closed"]
