"""`Signal`: one task sleeps until another wakes it or a deadline passes.

anyio's `Event` under a `move_on_after` costs several times more than a future and a timer that is
seldom set, and this is paid for every event that comes alone. The same timer tells when a `send`
takes too long. (Signals of the operating system live in `shutdown`.)
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from sse_middleware.alarms import SLACK, Alarms, Round
from sse_middleware.backends import clock, later, running_asyncio_task


def _nothing() -> None:
    """Do nothing: no send takes too long."""


class Signal(Protocol):
    """Wakes the one task that waits. It has no memory but `raised`: look before you wait."""

    raised: bool
    """Whether it was set since whoever waits has put this back."""
    send_began: float
    """When the send began that is going on, ``inf`` if there is none. The task that waits must be
    the one that sends."""

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the loop's clock shows `deadline` (false)."""

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        """Have `overdue` called when a send takes longer, from `share` on."""

    def share(self, alarms: Alarms, pause: float) -> None:
        """Say how many seconds a `rest` takes, and with whom it may end early."""

    def rest(self, since: float, end: float) -> Awaitable[bool]:
        """Sleep until `set` (true), until the pause has passed since then, about, or until the end.

        (Those are false.)
        """

    def close(self) -> None:
        """Give up the limit of sends, and the timer until the next `wait`."""


class _AsyncioSignal:
    """A future to wake up by, and one timer that looks at what is due when it fires.

    Once shared, it fires at least once in each pause and in each time that a send may take. So
    neither a rest nor a send has to set it.
    """

    __slots__ = (
        "_alarms",
        "_deadline",
        "_earliest",
        "_future",
        "_loop",
        "_overdue",
        "_pause",
        "_period",
        "_round",
        "_send_timeout",
        "_timer",
        "_timer_at",
        "raised",
        "send_began",
    )

    _alarms: Alarms

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.raised = False
        self.send_began = math.inf
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._round: Round | None = None
        self._deadline = self._earliest = self._timer_at = math.inf
        self._pause = self._period = self._send_timeout = math.inf
        self._overdue: Callable[[], object] = _nothing

    def set(self) -> None:
        self.raised = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        self._deadline = self._earliest = deadline
        if deadline < self._timer_at:
            self._start_timer(deadline)
        self._future = future = self._loop.create_future()
        return future

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        self._send_timeout, self._overdue = seconds, overdue

    def share(self, alarms: Alarms, pause: float) -> None:
        self._alarms = alarms
        self._pause = pause
        self._period = min(pause, self._send_timeout)
        at = self._loop.time() + self._period
        if at < self._timer_at:
            self._join_round(at)

    def rest(self, since: float, end: float) -> Awaitable[bool]:
        deadline = since + self._pause
        if deadline >= end:
            return self.wait(end)
        self._deadline = deadline
        self._earliest = deadline - self._pause * SLACK
        if deadline < self._timer_at:
            self._join_round(deadline)
        self._future = future = self._loop.create_future()
        return future

    def close(self) -> None:
        self.limit(math.inf, _nothing)
        self._deadline = self._earliest = self._period = math.inf
        self._start_timer(math.inf)

    def _start_timer(self, at: float) -> None:
        """Let the one timer fire then, or never."""
        self._give_timer_up()
        self._timer_at = at
        if at != math.inf:
            self._timer = self._loop.call_at(at, self._on_timer)

    def _join_round(self, at: float) -> None:
        """Let it fire then, or a little before with others'."""
        self._give_timer_up()
        self._timer_at = at
        self._round = self._alarms.round_at(self._loop, at, self._period)
        self._round.sleepers[self] = None

    def _give_timer_up(self) -> None:
        if self._round is not None:
            self._round.forget(self)
            self._round = None
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._look(self._loop.time())

    def on_alarm(self, now: float, following: float) -> bool:
        """As the one timer; stay with the others if the rest has been whole."""
        future = self._future
        if future is None or future.done() or now < self._earliest:
            self._round = None
            self._look(now)
            return False
        future.set_result(False)
        self._timer_at = following
        return True

    def _look(self, now: float) -> None:
        """See whether the time has come, and for what. Then look again before the next one."""
        future, due = self._future, math.inf
        if future is None or future.done():
            due = self.send_began + self._send_timeout
            if now >= due:
                self.send_began = due = math.inf
                self._overdue()
        elif now < self._earliest:
            due = self._deadline
        else:
            future.set_result(False)
        if due > now + self._period:
            self._join_round(now + self._period)
        elif self._earliest < due == self._deadline:  # a rest
            self._join_round(due)
        else:
            self._start_timer(due)


class _AnyioSignal:
    """An event to wake up by, and one timer that looks at the send that is going on.

    A deadline of the send itself would not do: one server's can't be cancelled.
    """

    __slots__ = (
        "_cancel_timer",
        "_clock",
        "_event",
        "_overdue",
        "_pause",
        "_send_timeout",
        "raised",
        "send_began",
    )

    def __init__(self) -> None:
        self.raised = False
        self.send_began = self._send_timeout = self._pause = math.inf
        self._event: anyio.Event | None = None
        self._overdue: Callable[[], object] = _nothing
        self._cancel_timer: Callable[[], object] | None = None
        self._clock = clock()

    def set(self) -> None:
        self.raised = True
        if self._event is not None:
            self._event.set()

    async def wait(self, deadline: float = math.inf) -> bool:
        self._event = anyio.Event()
        try:
            with anyio.CancelScope(deadline=deadline):
                await self._event.wait()
                return True
            return False
        finally:
            self._event = None

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        self._send_timeout, self._overdue = seconds, overdue

    def share(self, alarms: Alarms, pause: float) -> None:  # noqa: ARG002 - trio's scopes are cheap
        self._pause = pause
        self._look_again_in(self._send_timeout)

    def rest(self, since: float, end: float) -> Awaitable[bool]:
        return self.wait(min(since + self._pause, end))

    def close(self) -> None:
        self.limit(math.inf, _nothing)
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def _look_again_in(self, seconds: float) -> None:
        if seconds < math.inf:
            self._cancel_timer = later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        now = self._clock()
        due = self.send_began + self._send_timeout
        if now >= due:
            self.send_began = due = math.inf
            self._overdue()
        self._look_again_in(min(due - now, self._send_timeout))


def signal() -> Signal:
    """Make the signal of the running event loop."""
    task = running_asyncio_task()
    return _AnyioSignal() if task is None else _AsyncioSignal(task.get_loop())
