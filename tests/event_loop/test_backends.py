"""The two event loops: waking up, and cancelling once."""

import asyncio
import sys
from math import inf
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.cancel_scope import RECANCEL_INTERVAL, edge_cancel_scope
from sse_middleware.event_loop.loop import (
    call_later,
    checkpoint,
    clock,
    current_token,
    threadsafe_caller,
)
from sse_middleware.event_loop.timers import CoalescedTimers
from sse_middleware.event_loop.wakeup import writer_timer

pytestmark = pytest.mark.anyio


class TestSignal:
    async def test_has_no_memory(self) -> None:
        sleeper = writer_timer()
        sleeper.set()
        assert not await sleeper.wait(anyio.current_time() + 1)

    async def test_deadlines_may_move_both_ways(self) -> None:
        sleeper = writer_timer()
        now = clock()
        start = now()
        for deadline in (10, 5, 20, 19):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self.set_at, sleeper, now() + 0.5)
                assert await sleeper.wait(start + deadline)
        for deadline in (7, 30, 31):
            assert not await sleeper.wait(start + deadline)
            assert now() - start == pytest.approx(deadline, abs=0.01)
        sleeper.close()

    async def test_without_a_deadline_waits_for_ever(self) -> None:
        sleeper = writer_timer()
        assert not await sleeper.wait(anyio.current_time() + 1)
        with anyio.move_on_after(1000) as scope:
            await sleeper.wait(inf)
        assert scope.cancelled_caught

    async def test_a_cancelled_wait_does_not_hurt_who_sets_it(self) -> None:
        sleeper = writer_timer()
        with anyio.move_on_after(1):
            await sleeper.wait()
        sleeper.set()
        with anyio.move_on_after(1):
            await sleeper.wait(anyio.current_time() + 2)
        await anyio.sleep(5)
        assert not await sleeper.wait(anyio.current_time() + 1)

    async def set_at(self, sleeper: Any, deadline: float) -> None:
        await anyio.sleep_until(deadline)
        sleeper.set()


class TestCancelOnce:
    async def test_ends_the_block_silently(self) -> None:
        guard = edge_cancel_scope(5)
        reached = False
        async with anyio.create_task_group() as tasks:
            with guard:
                tasks.start_soon(self.cancel, guard)
                await anyio.sleep_forever()
                reached = True
            await anyio.sleep(1)  # nothing is left of it
        assert not reached

    async def test_a_block_that_ends_by_itself_is_not_touched(self) -> None:
        guard = edge_cancel_scope(5)
        with guard:
            await anyio.sleep(1)
        guard.cancel()
        await anyio.sleep(1)

    async def test_errors_pass(self) -> None:
        with pytest.raises(KeyError), edge_cancel_scope(5):
            raise KeyError

    async def test_ends_a_cleanup_that_hangs(self) -> None:
        guard = edge_cancel_scope(5)
        begin = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            with guard:
                tasks.start_soon(self.cancel, guard)
                try:
                    await anyio.sleep_forever()
                finally:
                    await anyio.sleep_forever()
        assert anyio.current_time() - begin <= 5 + RECANCEL_INTERVAL

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_a_cancellation_from_outside_passes_also_together_with_its_own(self) -> None:
        guard = edge_cancel_scope(5)

        async def guarded() -> None:
            nonlocal guard
            guard = edge_cancel_scope(5)
            with guard:
                await asyncio.Event().wait()

        for own in (False, True):
            task = asyncio.create_task(guarded())
            await asyncio.sleep(0)
            task.cancel()
            if own:
                guard.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    @pytest.mark.parametrize("anyio_backend", ["asyncio"])
    async def test_is_taken_back_also_where_the_block_swallows_it(self) -> None:
        guard = edge_cancel_scope(5)
        task = asyncio.current_task()
        assert task is not None
        async with anyio.create_task_group() as tasks:
            with guard:
                tasks.start_soon(self.cancel, guard)
                try:
                    await anyio.sleep_forever()
                except asyncio.CancelledError:
                    await asyncio.sleep(1)
            assert task.cancelling() == 0

    async def cancel(self, guard: Any) -> None:
        guard.cancel()
        guard.cancel()


async def test_next_pass_lets_other_tasks_run() -> None:
    ran = []

    async def other() -> None:
        ran.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await checkpoint()()
        await checkpoint()()  # trio runs the tasks of one pass in random order
        assert ran


async def test_a_thread_may_call_into_the_loop_without_waiting() -> None:
    called = anyio.Event()
    call = threadsafe_caller()
    await anyio.to_thread.run_sync(call, called.set)
    await called.wait()


class TestLimit:
    """A `send` that takes too long."""

    def sending(
        self, seconds: float, takes: list[float], pause: float = inf
    ) -> tuple[Any, Any, list[float]]:
        overdue: list[float] = []
        sleeper, now = writer_timer(), clock()

        async def send(_: Any) -> None:
            sleeper.send_began = now()
            await anyio.sleep(takes.pop(0))
            sleeper.send_began = inf

        sleeper.limit_sends(seconds, lambda: overdue.append(now()))
        sleeper.start(CoalescedTimers(), pause)
        return sleeper, send, overdue

    async def test_is_told_once_and_goes_on(self) -> None:
        sleeper, send, overdue = self.sending(5, [100])
        begin = anyio.current_time()
        await send(None)
        assert anyio.current_time() - begin == pytest.approx(100, abs=0.01)
        assert overdue == [pytest.approx(begin + 5, abs=0.01)]
        sleeper.close()

    async def test_that_is_quick_enough_is_not_told_of(self) -> None:
        sleeper, send, overdue = self.sending(5, [4.9] * 10)
        for _ in range(10):
            await send(None)
            assert not await sleeper.wait(anyio.current_time() + 2)
        await sleeper.wait(anyio.current_time() + 100)
        assert overdue == []
        sleeper.close()

    async def test_is_told_of_after_many_that_were_quick(self) -> None:
        sleeper, send, overdue = self.sending(5, [1, 0, 3, 0, 100])
        begin = anyio.current_time()
        for _ in range(5):
            await send(None)
        assert overdue == [pytest.approx(begin + 4 + 5, abs=0.01)]
        sleeper.close()

    async def test_is_not_told_of_when_closed(self) -> None:
        sleeper, send, overdue = self.sending(5, [1])
        await send(None)
        sleeper.close()
        sleeper.close()
        await anyio.sleep(100)
        assert overdue == []

    async def test_is_told_of_also_where_rests_take_longer(self) -> None:
        sleeper, send, overdue = self.sending(5, [1, 100], pause=20)
        begin = anyio.current_time()
        await send(None)
        assert not await sleeper.wait_idle(begin, inf)
        assert anyio.current_time() == pytest.approx(begin + 20, abs=2)
        again = anyio.current_time()
        await send(None)
        assert overdue == [pytest.approx(again + 5, abs=0.01)]
        sleeper.close()

    async def test_is_told_of_also_where_rests_are_shorter(self) -> None:
        sleeper, send, overdue = self.sending(50, [1, 100], pause=20)
        begin = anyio.current_time()
        await send(None)
        assert not await sleeper.wait_idle(begin + 1, inf)
        assert anyio.current_time() == pytest.approx(begin + 20, abs=2)
        again = anyio.current_time()
        await send(None)
        assert overdue == [pytest.approx(again + 50, abs=0.01)]
        sleeper.close()

    async def test_a_rest_counts_from_when_it_is_told(self) -> None:
        sleeper, _, _ = self.sending(inf, [], pause=20)
        begin = anyio.current_time()
        assert not await sleeper.wait_idle(begin - 15, inf)
        assert anyio.current_time() - begin == pytest.approx(5, abs=4.01)
        sleeper.close()

    async def test_has_no_limit_after_a_close(self) -> None:
        sleeper, send, overdue = self.sending(5, [1, 100])
        await send(None)
        sleeper.close()
        await send(None)
        assert overdue == []
        sleeper.close()


class TestLater:
    async def test_calls_in_time(self) -> None:
        called: list[float] = []
        begin = anyio.current_time()
        call_later(5, lambda: called.append(anyio.current_time() - begin))
        call_later(0, lambda: called.append(anyio.current_time() - begin))
        await anyio.sleep(10)
        assert called == pytest.approx([0, 5], abs=0.01)

    async def test_that_is_cancelled_calls_nobody(self) -> None:
        called: list[bool] = []
        cancel = call_later(5, lambda: called.append(True))
        cancel()
        cancel()
        await anyio.sleep(10)
        assert called == []

    async def test_may_be_cancelled_when_it_is_over(self) -> None:
        called: list[bool] = []
        cancel = call_later(0, lambda: called.append(True))
        await anyio.sleep(1)
        cancel()
        assert called == [True]

    async def test_may_be_asked_for_where_no_task_runs(self) -> None:
        called = anyio.Event()
        await anyio.to_thread.run_sync(threadsafe_caller(), lambda: call_later(1, called.set))
        with anyio.fail_after(2):
            await called.wait()


async def test_a_cancellation_of_our_own_is_known_as_such() -> None:
    guard = edge_cancel_scope(5)
    with guard:
        assert not guard.cancel_called
        guard.cancel()
        assert guard.cancel_called
        await anyio.sleep_forever()


def test_no_event_loop_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError):
        current_token()
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    with pytest.raises(RuntimeError):
        current_token()
