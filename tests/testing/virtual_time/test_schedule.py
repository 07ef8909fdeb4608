"""Deadlocks in virtual time, and time that passes only within calls."""

import asyncio
import logging
import math
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import pytest
import trio
from anyio import to_thread
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.pytest_plugin import get_runner

from sse_middleware.event_loop.loop import threadsafe_caller
from sse_middleware.testing.virtual_time.clock import VirtualTime
from sse_middleware.testing.virtual_time.schedule import DeadlockError, Schedule, VirtualTimeError
from sse_middleware.testing.virtual_time.trio_time import TrioTime
from tests.testing.portals import ON_PORTALS
from tests.testing.virtual_time.threads import compute

HOUR = 3600


class TestDeadlock:
    def test_is_an_error_with_its_place(self, hasty: VirtualTime) -> None:
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

    def test_can_not_be_swallowed(self) -> None:
        async def main() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return

        with pytest.raises(DeadlockError):
            VirtualTime(grace=0).run(main)

    def test_in_a_cleanup_breaks_asyncio(self, caplog: pytest.LogCaptureFixture) -> None:
        async def main() -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep_forever()

        with pytest.raises(DeadlockError):
            VirtualTime(grace=0).run(main)
        assert caplog.record_tuples[0][:2] == (
            "sse_middleware.testing.virtual_time.schedule",
            logging.ERROR,
        )

    def test_in_a_cleanup_breaks_trio(self) -> None:
        # From inside, and with a clock that trio doesn't use: the nurseries of a broken trio
        # complain until the process ends.
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

    def test_is_not_reported_while_another_thread_may_call(self, time: VirtualTime) -> None:
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

    def test_is_not_reported_between_the_tests_of_a_runner(self, hasty: VirtualTime) -> None:
        async def test() -> None:
            await anyio.sleep(1)

        with get_runner(*hasty.anyio_backend) as runner:
            for _ in range(3):
                runner.run_test(test, {})
        assert hasty.elapsed == 3

    def test_is_not_reported_of_a_guest_of_another_loop(self) -> None:
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
    def test_passes_only_within_calls(self, held: Held) -> None:
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

    def test_the_next_call_waits_for_a_thread_that_was_blocked(self, held: Held) -> None:
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

    def test_stands_still_however_long_it_takes(self) -> None:
        # trio looks at it once an hour of real time.
        schedule = Schedule(0, held=True)
        before = schedule.now
        schedule.let_time_pass(before + 1, 0)
        assert schedule.now == before
