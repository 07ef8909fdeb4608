"""Virtual time: what passes, what is waited for, and what is an error."""

import asyncio
import logging
import math
import queue
import socket
import sys
import threading
import time as real
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import httpx
import pytest
import trio
from anyio import from_thread, to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.pytest_plugin import get_runner

from sse_middleware import EventSourceResponse
from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.loop import running_asyncio_task, threadsafe_caller
from sse_middleware.testing.virtual_time.clock import VirtualTime
from sse_middleware.testing.virtual_time.schedule import (
    DeadlockError,
    RealIOError,
    Schedule,
    VirtualTimeError,
)
from sse_middleware.testing.virtual_time.trio_time import TrioTime
from tests.testing.portals import ON_PORTALS, forgets_options

HOUR = 3600


@pytest.fixture(params=["asyncio", "trio"])
def time(request: pytest.FixtureRequest) -> VirtualTime:
    return VirtualTime(request.param)


@pytest.fixture(params=["asyncio", "trio"])
def hasty(request: pytest.FixtureRequest) -> VirtualTime:
    """Does not wait long for other threads before it calls something a deadlock."""
    return VirtualTime(request.param, grace=0)


@pytest.fixture
def asyncio_time() -> VirtualTime:
    return VirtualTime("asyncio")


@pytest.fixture
def trio_time() -> VirtualTime:
    return VirtualTime("trio")


def compute() -> None:
    """Take some real time, and no virtual time."""
    sum(range(1_000_000))


class TestPassing:
    def test_an_hour_of_waits_passes_at_once(self, time: VirtualTime) -> None:
        async def wait() -> str:
            for _ in range(240):
                await anyio.sleep(15)
            return "done"

        assert time.elapsed == 0
        began = real.perf_counter()
        assert time.run(wait) == "done"
        assert real.perf_counter() - began < 1
        assert time.elapsed == HOUR

    def test_moves_to_each_deadline_in_turn(self, time: VirtualTime) -> None:
        seen = []

        async def wait(seconds: float) -> None:
            await anyio.sleep(seconds)
            seen.append((seconds, time.elapsed))

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for seconds in (3, 0.1, 2, 1):
                    tasks.start_soon(wait, seconds)

        time.run(main)
        assert seen == [(0.1, 0.1), (1, 1), (2, 2), (3, 3)]

    def test_moves_on_for_days(self, time: VirtualTime) -> None:
        time.run(anyio.sleep, 30 * 24 * HOUR)
        assert time.elapsed == 30 * 24 * HOUR

    def test_moves_on_for_decades(self, time: VirtualTime) -> None:
        async def main() -> None:
            for seconds in (10**9, 15, HOUR):
                with anyio.fail_after(10**10):
                    await anyio.sleep(seconds)

        time.run(main)
        assert time.elapsed == 10**9 + 15 + HOUR

    def test_begins_anew_with_each_run_and_never_at_zero(self, time: VirtualTime) -> None:
        async def main() -> tuple[float, float]:
            begin = anyio.current_time()
            await anyio.sleep(5)
            return begin, anyio.current_time() - begin

        first, second = time.run(main), time.run(main)
        assert first == second
        assert first[0] > 0
        assert first[1] == time.elapsed == 5

    def test_hands_arguments_on_and_raises_what_is_raised(self, time: VirtualTime) -> None:
        async def main(one: int, two: int) -> None:
            raise KeyError(one, two)

        with pytest.raises(KeyError, match=r"\(1, 2\)"):
            time.run(main, 1, 2)

    def test_scopes_end_at_their_deadline(self, time: VirtualTime) -> None:
        async def main() -> None:
            with pytest.raises(TimeoutError), anyio.fail_after(10):
                await anyio.sleep_forever()
            assert time.elapsed == 10

        time.run(main)

    def test_a_deadline_that_has_passed_takes_no_time(self, time: VirtualTime) -> None:
        async def main() -> None:
            for seconds in (0, -1):
                with anyio.CancelScope() as scope:
                    scope.deadline = anyio.current_time() + seconds
                    await anyio.sleep_forever()
                assert scope.cancelled_caught

        time.run(main)
        assert time.elapsed == 0

    def test_tasks_that_wait_for_the_others_go_first(self, trio_time: VirtualTime) -> None:
        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(anyio.sleep, 10)
                await anyio.wait_all_tasks_blocked()
                assert trio_time.elapsed == 0
            assert trio_time.elapsed == 10

        trio_time.run(main)

    @pytest.mark.parametrize("backend", ON_PORTALS)
    def test_takes_the_options_of_each_way_to_run(self, backend: Any) -> None:
        time = VirtualTime(backend)

        async def main() -> float:
            await anyio.sleep(7)
            return time.elapsed

        name, options = time.anyio_backend
        assert name == time.backend
        assert anyio.run(main, backend=name, backend_options=options) == 7
        options.clear()
        with start_blocking_portal(time.backend, time.backend_options) as portal:
            assert portal.call(main) == 7


class TestAsyncio:
    def test_timers_fire_in_order_at_their_time(self, asyncio_time: VirtualTime) -> None:
        seen: list[tuple[str, float]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(2, lambda: seen.append(("later", loop.time())))
            loop.call_at(loop.time() + 1, lambda: seen.append(("at", loop.time())))
            loop.call_later(1.5, lambda: seen.append(("never", loop.time()))).cancel()
            begin = loop.time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await asyncio.Event().wait()
            assert [(name, at - begin) for name, at in seen] == [("at", 1), ("later", 2)]

        asyncio_time.run(main)

    def test_an_infinite_timer_can_be_cancelled(self, asyncio_time: VirtualTime) -> None:
        async def main() -> None:
            loop = asyncio.get_running_loop()
            timer = loop.call_at(math.inf, pytest.fail)
            assert timer.when() == math.inf
            timer.cancel()
            assert timer.cancelled()
            await asyncio.sleep(1)

        asyncio_time.run(main)

    @pytest.mark.parametrize("debug", [False, True])
    def test_runs_in_a_runner(self, asyncio_time: VirtualTime, debug: bool) -> None:
        async def main() -> float:
            await asyncio.sleep(HOUR)
            await asyncio.to_thread(compute)
            return asyncio_time.elapsed

        factory = asyncio_time.backend_options["loop_factory"]
        with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
            assert runner.get_loop().get_debug() is debug
            assert runner.run(main()) == HOUR

    def test_errors_of_callbacks_go_where_they_always_go(self, asyncio_time: VirtualTime) -> None:
        contexts: list[dict[str, Any]] = []

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: contexts.append(context))
            loop.call_soon(partial(int, "x"))
            await asyncio.sleep(1)

        asyncio_time.run(main)
        assert isinstance(contexts[0]["exception"], ValueError)


class TestThreads:
    def test_time_stands_while_a_worker_thread_computes(self, time: VirtualTime) -> None:
        async def main() -> None:
            for _ in range(5):
                with anyio.fail_after(0.001):
                    await to_thread.run_sync(compute)
            assert time.elapsed == 0
            await anyio.sleep(30)  # idle threads don't hold it up
            assert time.elapsed == 30

        time.run(main)

    def test_time_stands_while_an_executor_computes(self, asyncio_time: VirtualTime) -> None:
        async def main() -> None:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().run_in_executor(None, compute)
            assert asyncio_time.elapsed == 0

        asyncio_time.run(main)

    def test_time_stands_while_an_executor_shuts_down(self, asyncio_time: VirtualTime) -> None:
        async def main() -> None:
            asyncio.get_running_loop().run_in_executor(None, compute).cancel()

        asyncio_time.run(main)
        assert asyncio_time.elapsed == 0

    def test_time_stands_while_an_abandoned_thread_computes(self, time: VirtualTime) -> None:
        seen = []

        async def main() -> None:
            begun = anyio.Event()

            def work() -> None:
                from_thread.run_sync(begun.set)
                compute()
                seen.append(time.elapsed)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(to_thread.run_sync, work, abandon_on_cancel=True))
                await begun.wait()
                tasks.cancel_scope.cancel()
            await anyio.sleep(10)
            assert seen == [0]

        time.run(main)

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_blocked_thread_costs_its_grace_once(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0.05)

        async def main() -> None:
            go_on = threading.Event()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(to_thread.run_sync, go_on.wait))
                for _ in range(240):
                    await anyio.sleep(15)
                go_on.set()

        began = real.perf_counter()
        time.run(main)
        assert 0.05 <= real.perf_counter() - began < 2
        assert time.elapsed == HOUR

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_a_blocked_thread_that_calls_in_is_waited_for_again(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0.1)
        seen = []

        async def main() -> None:
            go_on = threading.Event()

            def work() -> None:
                go_on.wait()
                from_thread.run_sync(lambda: None)
                compute()
                seen.append(time.elapsed)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(to_thread.run_sync, work)
                await anyio.sleep(10)
                await anyio.sleep(10)
                await to_thread.run_sync(go_on.set)
                await anyio.sleep(10)

        time.run(main)
        assert seen == [20]

    @pytest.mark.parametrize("backend", ["asyncio", "trio"])
    def test_waits_for_a_thread_where_nothing_else_is_due(self, backend: Any) -> None:
        time = VirtualTime(backend, grace=0)

        async def main() -> None:
            timer = threading.Timer(0.15, lambda: None)  # longer than any look at the threads
            timer.start()
            await to_thread.run_sync(timer.join)

        time.run(main)
        assert time.elapsed == 0

    def test_a_sync_generator_of_the_library_needs_nothing(self, time: VirtualTime) -> None:
        def numbers() -> Iterator[int]:
            for number in range(3):
                compute()
                yield number

        async def main() -> str:
            app = EventSourceResponse(numbers(), ping_interval=0.001)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return (await client.get("http://test/")).text

        assert time.run(main) == "data: 0\n\ndata: 1\n\ndata: 2\n\n"

    def test_the_keep_alives_of_an_hour_need_nothing(self, time: VirtualTime) -> None:
        async def silence() -> AsyncIterator[int]:
            await anyio.sleep(HOUR + 1)
            yield 1

        async def main() -> str:
            app = EventSourceResponse(silence(), ping_interval=15, ping="ping")
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
                return (await client.get("http://test/", timeout=None)).text

        began = real.perf_counter()
        assert time.run(main).count(": ping") == 240
        assert real.perf_counter() - began < 1


async def connect_by_address() -> None:
    await anyio.connect_tcp("127.0.0.1", 9)


async def connect_by_name() -> None:
    await anyio.connect_tcp("localhost", 9)


async def request_over_http() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get("http://127.0.0.1:9/")


async def look_up_a_name() -> None:
    await anyio.getnameinfo(("127.0.0.1", 9))


async def listen_with_trio() -> None:
    await trio.open_tcp_listeners(0, host="127.0.0.1")


async def start_a_process() -> None:
    await anyio.run_process([sys.executable, "-c", "input()"])


async def wait_for_a_file() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        if running_asyncio_task() is None:
            await trio.lowlevel.wait_readable(one)
        else:
            await asyncio.get_running_loop().sock_recv(one, 1)


async def open_an_asyncio_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def start_an_asyncio_server() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def connect_an_asyncio_socket() -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", 9))


async def read_in_a_callback() -> None:
    one, other = socket.socketpair()
    with one, other:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, one)
        try:
            await anyio.sleep_forever()
        finally:
            transport.abort()


EVERYWHERE: list[Callable[[], Awaitable[None]]] = [
    connect_by_address,
    connect_by_name,
    request_over_http,
    look_up_a_name,
    start_a_process,
    wait_for_a_file,
]


class TestRealIO:
    @pytest.mark.parametrize("begin", EVERYWHERE)
    def test_fails_at_once(self, time: VirtualTime, begin: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises((RealIOError, ExceptionGroup)) as caught:
            time.run(begin)
        errors = caught.value
        error = errors.exceptions[0] if isinstance(errors, ExceptionGroup) else errors
        assert isinstance(error, RealIOError)
        assert str(error).startswith("real I/O in virtual time: ")
        assert time.elapsed == 0

    @pytest.mark.parametrize(
        ("begin", "name"),
        [
            (open_an_asyncio_connection, "create_connection"),
            (start_an_asyncio_server, "create_server"),
            (start_a_process, "subprocess_exec"),
            (connect_an_asyncio_socket, "sock_connect"),
            (connect_by_name, "getaddrinfo"),
        ],
    )
    def test_asyncio_names_what_was_called(
        self, asyncio_time: VirtualTime, begin: Callable[[], Awaitable[None]], name: str
    ) -> None:
        with pytest.raises(RealIOError, match=rf"{name}\(\) was called"):
            asyncio_time.run(begin)

    def test_is_raised_to_the_caller(self, asyncio_time: VirtualTime) -> None:
        async def main() -> str:
            with pytest.raises(RealIOError, match="waiting for"):
                await wait_for_a_file()
            await anyio.sleep(1)
            return "went on"

        assert asyncio_time.run(main) == "went on"

    def test_in_a_callback_fails_the_run(self, asyncio_time: VirtualTime) -> None:
        with pytest.raises(RealIOError, match="waiting for"):
            asyncio_time.run(read_in_a_callback)

    def test_trio_refuses_listeners(self, trio_time: VirtualTime) -> None:
        with pytest.raises(RealIOError, match="a socket was asked for"):
            trio_time.run(listen_with_trio)

    def test_nothing_of_it_stays_with_trio(self, trio_time: VirtualTime) -> None:
        async def main() -> None:
            with pytest.raises(RealIOError):
                trio.socket.socket()

        async def later() -> None:
            trio.socket.socket().close()
            assert await trio.socket.getnameinfo(("127.0.0.1", 9), socket.NI_NUMERICHOST)

        trio_time.run(main)
        trio.run(later)

    def test_a_process_that_trio_has_started_is_killed(self, trio_time: VirtualTime) -> None:
        processes = []

        async def main() -> None:
            async with await anyio.open_process([sys.executable, "-c", "input()"]) as process:
                processes.append(process)
                await process.wait()

        with pytest.raises(RealIOError, match="a task waits"):
            trio_time.run(main)
        assert processes[0].returncode is not None


class TestDeadlock:
    def test_is_an_error_that_shows_where(self, hasty: VirtualTime) -> None:
        steps = []

        async def waits_in_vain() -> None:
            try:
                await anyio.Event().wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(5)
                steps.append(hasty.elapsed)

        with pytest.raises(DeadlockError, match="everything waits") as caught:
            hasty.run(waits_in_vain)
        assert steps == [5]
        assert caught.value.__cause__ is not None
        names = [
            entry.name
            for entry in pytest.ExceptionInfo.from_exception(caught.value.__cause__).traceback
        ]
        assert "waits_in_vain" in names

    def test_may_be_swallowed_by_no_one(self) -> None:
        async def main() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

        with pytest.raises(DeadlockError):
            VirtualTime(grace=0).run(main)

    def test_of_the_cleanup_breaks_asyncio(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

        with pytest.raises(DeadlockError):
            VirtualTime(grace=0).run(main)
        assert caplog.record_tuples[0][:2] == (
            "sse_middleware.testing.virtual_time.schedule",
            logging.ERROR,
        )

    def test_of_the_cleanup_breaks_trio(self) -> None:
        # looked at from inside, with a clock that trio does not run by: a broken trio leaves
        # nurseries that complain to the end of the process
        time = TrioTime(Schedule(0, held=False))

        async def main() -> None:
            time.before_run()
            time._break(DeadlockError())
            time._break(DeadlockError())
            with pytest.raises(DeadlockError):
                time.deadline_to_sleep_time(math.inf)
            with pytest.raises(trio.Cancelled):
                await trio.sleep_forever()

        trio.run(main)

    def test_another_thread_has_its_grace(self, time: VirtualTime) -> None:
        async def main() -> None:
            done = anyio.Event()
            call_loop = threadsafe_caller()

            def call_in() -> None:
                compute()
                call_loop(done.set)

            thread = threading.Thread(target=call_in)
            thread.start()
            await done.wait()
            thread.join()

        time.run(main)

    def test_fails_a_test_of_the_pytest_plugin(
        self, hasty: VirtualTime, caplog: pytest.LogCaptureFixture
    ) -> None:
        failure = {"asyncio": DeadlockError, "trio": trio.Cancelled}[hasty.backend]
        with get_runner(*hasty.anyio_backend) as runner, pytest.raises(failure):
            runner.run_test(anyio.Event().wait, {})
        assert "everything waits" in caplog.text

    def test_is_none_between_the_tests_of_a_runner(self, hasty: VirtualTime) -> None:
        async def test() -> None:
            await anyio.sleep(1)

        with get_runner(*hasty.anyio_backend) as runner:
            for _ in range(3):
                runner.run_test(test, {})
        assert hasty.elapsed == 3

    def test_is_none_where_a_guest_of_another_loop_goes_on(self) -> None:
        calls = queue.SimpleQueue[Callable[[], object]]()
        events: list[trio.Event] = []
        outcomes: list[Any] = []

        async def main() -> str:
            events.append(trio.Event())
            await events[0].wait()
            return "went on"

        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=calls.put,
            done_callback=outcomes.append,
            **VirtualTime("trio", grace=0).backend_options,
        )
        while not outcomes:
            call = calls.get()
            if events and not calls.qsize() and call.__name__ == "in_main_thread":
                events[0].set()  # trio's wait has ended for want of events, and trio can't know yet
            call()
        assert outcomes[0].unwrap() == "went on"


class Held:
    """A portal into a loop whose time is held."""

    def __init__(self, time: VirtualTime, portal: BlockingPortal) -> None:
        self.time = time
        self.portal = portal

    def call(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        async def flow() -> Any:
            with self.time.flowing():
                return await function(*args)

        return self.portal.call(flow)


@pytest.fixture(params=ON_PORTALS)
def held(request: pytest.FixtureRequest) -> Iterator[Held]:
    time = VirtualTime(request.param, grace=0.1)
    assert not time.held
    time.held = True
    with start_blocking_portal(time.backend, time.backend_options) as portal:
        yield Held(time, portal)
        portal.call(portal.stop, True)


class TestHeld:
    def test_time_passes_only_within_calls(self, held: Held) -> None:
        ticks: list[float] = []

        async def tick() -> None:
            while True:
                await anyio.sleep(10)
                ticks.append(held.time.elapsed)

        held.portal.start_task_soon(tick)
        compute()
        held.portal.call(anyio.lowlevel.checkpoint)
        assert ticks == []
        held.call(anyio.sleep, 35)
        compute()
        held.portal.call(anyio.lowlevel.checkpoint)
        assert ticks == [10, 20, 30]
        assert held.time.elapsed == 35
        held.call(anyio.sleep, 15)
        assert ticks[:4] == [10, 20, 30, 40]
        assert held.time.elapsed == 50

    def test_a_deadlock_fails_the_call_and_not_the_portal(self, held: Held) -> None:
        with pytest.raises(DeadlockError):
            held.call(anyio.sleep_forever)
        held.call(anyio.sleep, 5)
        assert held.time.elapsed == 5

    def test_a_thread_that_was_blocked_is_waited_for_in_the_next_call(self, held: Held) -> None:
        go_on = threading.Event()
        seen: list[float] = []

        def work() -> None:
            compute()
            seen.append(held.time.elapsed)

        async def sleep_and_work() -> None:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(to_thread.run_sync, work)
                await anyio.sleep(10)

        blocked = held.portal.start_task_soon(partial(to_thread.run_sync, go_on.wait))
        held.call(anyio.sleep, 10)
        go_on.set()
        blocked.result()
        held.call(sleep_and_work)
        assert seen == [10]

    def test_a_block_can_be_paused(self, held: Held) -> None:
        steps: list[object] = []

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[str]:
            with held.time.flowing() as flow:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(anyio.sleep, 100)
                    await anyio.sleep(10)
                    with flow.paused():
                        yield "up"
                    await anyio.sleep(10)
                    tasks.cancel_scope.cancel()

        with held.portal.wrap_async_context_manager(lifespan()) as value:
            steps += [value, held.time.elapsed]
            with pytest.raises(DeadlockError):
                held.call(anyio.Event().wait)
            steps.append(held.time.elapsed)
        assert steps == ["up", 10, 100]
        assert held.time.elapsed == 110

    @forgets_options
    def test_real_io_outside_of_calls_fails_a_paused_block(self) -> None:
        time = VirtualTime("trio", held=True)

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            with time.flowing() as flow:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait_for_a_file)
                    with flow.paused():
                        yield

        def main() -> None:
            with (
                start_blocking_portal(time.backend, time.backend_options) as portal,
                portal.wrap_async_context_manager(lifespan()),
            ):
                pass

        with pytest.raises(RealIOError):
            main()

    def test_a_loop_of_another_time_is_refused(self, time: VirtualTime) -> None:
        async def main() -> None:
            with (
                pytest.raises(VirtualTimeError, match=f"start it with backend='{time.backend}'"),
                time.flowing(),
            ):
                pytest.fail("it can't flow")

        anyio.run(main, backend=time.backend)

    def test_a_run_is_one_call(self, time: VirtualTime) -> None:
        time.held = True
        time.run(anyio.sleep, HOUR)
        assert time.elapsed == HOUR

    def test_stands_however_long_it_takes(self) -> None:
        # trio looks up every hour, of real time
        schedule = Schedule(0, held=True)
        before = schedule.now
        schedule.let_time_pass(before + 1, 0)
        assert schedule.now == before


class TestConfiguration:
    def test_an_unknown_backend_is_named(self) -> None:
        backend: Any = "curio"
        with pytest.raises(ConfigurationError, match="'asyncio' or 'trio', got 'curio'"):
            VirtualTime(backend)

    @pytest.mark.parametrize("grace", [-1, math.inf, math.nan])
    def test_grace_is_a_duration(self, grace: float) -> None:
        with pytest.raises(ConfigurationError, match=f"grace must be .*, got {grace}"):
            VirtualTime(grace=grace)

    def test_trio_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "trio", None)
        with pytest.raises(ConfigurationError, match="needs trio"):
            VirtualTime("trio")
        VirtualTime("asyncio").run(anyio.sleep, 1)
