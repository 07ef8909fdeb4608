"""`WriterTimer`: the one wake-up of a writer, and the timer that watches its sends."""

from collections.abc import Callable
from math import inf

import anyio
import pytest

from sse_middleware.event_loop.loop import clock
from sse_middleware.event_loop.timers import CoalescedTimers
from sse_middleware.event_loop.wakeup import Wakeup, WriterTimer, wakeup, writer_timer

pytestmark = pytest.mark.anyio


async def set_at(timer: WriterTimer, deadline: float) -> None:
    await anyio.sleep_until(deadline)
    timer.set()


@pytest.mark.parametrize("make", [wakeup, writer_timer])
async def test_set_wakes_the_task_that_waits_and_is_forgotten(
    make: Callable[[], Wakeup | WriterTimer],
) -> None:
    waking, log = make(), []

    async def wait() -> None:
        log.append(await waking.wait())
        log.append(await waking.wait())

    waking.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert log == []
        waking.set()
        waking.set()
        await anyio.wait_all_tasks_blocked()
        assert log == [True]
        tasks.cancel_scope.cancel()
    waking.set()


class TestWait:
    async def test_takes_a_deadline_before_or_after_the_last_one(self) -> None:
        timer = writer_timer()
        now = clock()
        start = now()
        for deadline in (10, 5, 20, 19):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(set_at, timer, now() + 0.5)
                assert await timer.wait(start + deadline)
        for deadline in (7, 30, 31):
            assert not await timer.wait(start + deadline)
            assert now() - start == pytest.approx(deadline, abs=0.01)
        timer.close()

    async def test_without_a_deadline_lasts_for_ever(self) -> None:
        timer = writer_timer()
        assert not await timer.wait(anyio.current_time() + 1)
        with anyio.move_on_after(1000) as scope:
            await timer.wait(inf)
        assert scope.cancelled_caught

    async def test_may_follow_one_that_was_cancelled(self) -> None:
        timer = writer_timer()
        with anyio.move_on_after(1):
            await timer.wait()
        timer.set()  # wakes no one, and does no harm
        with anyio.move_on_after(1):
            await timer.wait(anyio.current_time() + 2)
        await anyio.sleep(5)
        assert not await timer.wait(anyio.current_time() + 1)


class Writer:
    """A writer whose sends take a given time each, and when they timed out."""

    def __init__(self, timeout: float, *seconds: float, interval: float = inf) -> None:
        self.timer = writer_timer()
        self.timeouts: list[float] = []
        self._seconds = iter(seconds)
        self._now = clock()
        self.timer.limit_sends(timeout, lambda: self.timeouts.append(self._now()))
        self.timer.start(CoalescedTimers(), interval)

    async def send(self) -> None:
        self.timer.send_began = self._now()
        await anyio.sleep(next(self._seconds))
        self.timer.send_began = inf


class TestSendTimeout:
    async def test_is_reported_once_and_interrupts_nothing(self) -> None:
        writer = Writer(5, 100)
        begin = anyio.current_time()
        await writer.send()
        assert anyio.current_time() - begin == pytest.approx(100, abs=0.01)
        assert writer.timeouts == [pytest.approx(begin + 5, abs=0.01)]
        writer.timer.close()

    async def test_is_not_reported_of_quick_sends(self) -> None:
        writer = Writer(5, *[4.9] * 10)
        for _ in range(10):
            await writer.send()
            assert not await writer.timer.wait(anyio.current_time() + 2)
        await writer.timer.wait(anyio.current_time() + 100)
        assert writer.timeouts == []
        writer.timer.close()

    async def test_is_reported_after_quick_sends(self) -> None:
        writer = Writer(5, 1, 0, 3, 0, 100)
        begin = anyio.current_time()
        for _ in range(5):
            await writer.send()
        assert writer.timeouts == [pytest.approx(begin + 4 + 5, abs=0.01)]
        writer.timer.close()

    @pytest.mark.parametrize("limit", [5, 50], ids=["shorter", "longer"])
    async def test_may_be_shorter_or_longer_than_the_interval(self, limit: float) -> None:
        writer = Writer(limit, 1, 100, interval=20)
        begin = anyio.current_time()
        await writer.send()
        assert not await writer.timer.wait_idle(begin, inf)
        assert anyio.current_time() == pytest.approx(begin + 20, abs=2)
        again = anyio.current_time()
        await writer.send()
        assert writer.timeouts == [pytest.approx(again + limit, abs=0.01)]
        writer.timer.close()

    async def test_is_not_reported_once_the_timer_is_closed(self) -> None:
        writer = Writer(5, 1, 100)
        await writer.send()
        writer.timer.close()
        writer.timer.close()
        await anyio.sleep(100)
        await writer.send()
        assert writer.timeouts == []


async def test_an_idle_wait_counts_from_the_beginning_of_the_silence() -> None:
    timer = Writer(inf, interval=20).timer
    begin = anyio.current_time()
    assert not await timer.wait_idle(begin - 15, inf)
    assert anyio.current_time() - begin == pytest.approx(5, abs=4.01)
    timer.close()
