"""`TimedWriter`: silences, time limits, and sends that take too long."""

from math import inf
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.loop import clock
from sse_middleware.event_loop.timed_writer import TimedWriter
from sse_middleware.event_loop.timers import SLACK, CoalescedTimers

pytestmark = pytest.mark.anyio


class Writer(TimedWriter):
    """A writer whose sends take a given time each. It notes what its timer says, and when."""

    def __init__(self, send_timeout: float | None = None) -> None:
        super().__init__(clock(), send_timeout)
        self.begin = self._clock()
        self.due: list[float] = []
        self.timeouts: list[float] = []

    def passed(self) -> float:
        return self._clock() - self.begin

    def on_due(self, now: float) -> None:
        self.due.append(self.passed())
        self.sent = now  # a keep-alive

    def on_send_timeout(self) -> None:
        self.timeouts.append(self.passed())

    async def send(self, seconds: float) -> None:
        self.send_began = self._clock()
        await anyio.sleep(seconds)
        self.send_began = inf
        self.sent = self._clock()


def close_to(seconds: float) -> Any:
    return pytest.approx(seconds, abs=0.01)


class TestSilence:
    async def test_is_waited_for_exactly_before_the_start(self) -> None:
        writer = Writer()
        writer.wait_for(3)
        await anyio.sleep(4)
        writer.stop_timer()
        assert writer.due == [close_to(3)]

    async def test_is_told_again_and_again(self) -> None:
        writer = Writer()
        writer.start_timer(CoalescedTimers(), 10)
        await anyio.sleep(50.5)
        writer.stop_timer()
        assert len(writer.due) in (5, 6)
        for before, after in zip([0.0, *writer.due], writer.due, strict=False):
            assert 10 * (1 - SLACK) - 0.01 <= after - before <= 10.01

    async def test_counts_from_the_last_message(self) -> None:
        writer = Writer()
        writer.start_timer(CoalescedTimers(), 10)
        for _ in range(5):
            await anyio.sleep(7)
            await writer.send(0)
        assert writer.due == []
        await anyio.sleep(10.01)
        writer.stop_timer()
        assert writer.due == [pytest.approx(45, abs=10 * SLACK + 0.02)]

    async def test_there_is_none_during_a_send(self) -> None:
        writer = Writer()
        writer.start_timer(CoalescedTimers(), 10)
        await writer.send(45)
        assert writer.due == []
        await anyio.sleep(10.01)
        writer.stop_timer()
        assert len(writer.due) == 1

    async def test_there_is_none_after_the_close(self) -> None:
        writer = Writer()
        writer.start_timer(CoalescedTimers(), 10)
        writer.stop_timer()
        writer.stop_timer()
        await anyio.sleep(100)
        assert writer.due == []

    async def test_may_be_switched_off(self) -> None:
        writer = Writer()
        writer.start_timer(CoalescedTimers(), inf)
        await anyio.sleep(1000)
        writer.stop_timer()
        assert writer.due == []


class TestLimit:
    @pytest.mark.parametrize("interval", [3, 7, 1000, inf])
    async def test_is_told_once_and_exactly(self, interval: float) -> None:
        writer = Writer()
        writer.time_limit = writer.begin + 7.5
        writer.start_timer(CoalescedTimers(), interval)
        await anyio.sleep(20)
        writer.stop_timer()
        assert writer.due.count(close_to(7.5)) == 1

    async def test_may_become_later(self) -> None:
        writer = Writer()
        writer.time_limit = writer.begin + 5
        writer.start_timer(CoalescedTimers(), inf)
        await anyio.sleep(4)
        writer.time_limit = writer.begin + 9
        await anyio.sleep(10)
        writer.stop_timer()
        assert writer.due == [close_to(9)]

    async def test_is_told_during_a_send_too(self) -> None:
        writer = Writer()
        writer.time_limit = writer.begin + 5
        writer.start_timer(CoalescedTimers(), 2)
        await writer.send(10)
        writer.stop_timer()
        assert writer.due == [close_to(5)]


class TestSendTimeout:
    async def test_is_told_once_and_interrupts_nothing(self) -> None:
        writer = Writer(5)
        writer.start_timer(CoalescedTimers(), inf)
        await writer.send(100)
        writer.stop_timer()
        assert writer.passed() == close_to(100)
        assert writer.timeouts == [close_to(5)]

    async def test_is_not_told_of_quick_sends(self) -> None:
        writer = Writer(5)
        writer.start_timer(CoalescedTimers(), inf)
        for _ in range(10):
            await writer.send(4.9)
        await anyio.sleep(100)
        writer.stop_timer()
        assert writer.timeouts == []

    async def test_is_told_after_quick_sends(self) -> None:
        writer = Writer(5)
        writer.start_timer(CoalescedTimers(), inf)
        for seconds in (1, 0, 3, 0, 100):
            await writer.send(seconds)
        writer.stop_timer()
        assert writer.timeouts == [close_to(4 + 5)]

    @pytest.mark.parametrize("limit", [5, 50], ids=["shorter", "longer"])
    async def test_may_be_shorter_or_longer_than_the_interval(self, limit: float) -> None:
        writer = Writer(limit)
        writer.start_timer(CoalescedTimers(), 20)
        await writer.send(1)
        await anyio.sleep(21)
        assert len(writer.due) == 1
        again = writer.passed()
        await writer.send(100)
        writer.stop_timer()
        assert writer.timeouts == [close_to(again + limit)]

    async def test_is_not_told_after_the_close(self) -> None:
        writer = Writer(5)
        writer.start_timer(CoalescedTimers(), inf)
        await writer.send(1)
        writer.stop_timer()
        await writer.send(100)
        assert writer.timeouts == []
