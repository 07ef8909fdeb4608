"""An alarm calls at the earliest time that was set since it last called."""

import anyio
import pytest

from sse_middleware.event_loop.alarm import Alarm
from sse_middleware.event_loop.loop import clock
from tests.patience import PATIENCE

pytestmark = pytest.mark.anyio


class Rung:
    """Notes when an alarm has called."""

    def __init__(self) -> None:
        self.now = clock()
        self.began = self.now()
        self.times: list[float] = []
        self._called = anyio.Event()
        self.alarm = Alarm(self.now, self._note)

    def set(self, seconds: float) -> None:
        self.alarm.set(self.began + seconds)

    def _note(self) -> None:
        self.times.append(self.now() - self.began)
        self._called.set()

    async def once_more(self) -> float:
        """Wait for a call. Returns when it came."""
        self._called = anyio.Event()
        with anyio.fail_after(PATIENCE):
            await self._called.wait()
        return self.times[-1]


async def test_only_the_earliest_call_comes() -> None:
    rung = Rung()
    for seconds in (7200, 0.02, 3600, 0.02):
        rung.set(seconds)
    assert await rung.once_more() > 0.015
    assert len(rung.times) == 1


async def test_it_can_be_set_again_once_it_has_called() -> None:
    rung = Rung()
    rung.set(0.01)
    first = await rung.once_more()
    rung.set(first + 0.02)
    assert await rung.once_more() > first + 0.01


async def test_it_calls_nothing_once_it_is_stopped() -> None:
    stopped, other = Rung(), Rung()
    stopped.set(0.01)
    stopped.alarm.stop()
    other.set(0.03)
    await other.once_more()
    assert not stopped.times
    stopped.alarm.stop()
    stopped.set(0.04)
    await stopped.once_more()
