"""`Signal`: one task sleeps until another wakes it or a deadline passes.

anyio's `Event` under a `move_on_after` costs several times more than a future and a timer that is
moved instead of set anew, and this is paid for every event that comes alone. The same timer tells
when a `send` takes too long. (Signals of the operating system live in `shutdown`.)
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
    """Wakes the one task that waits. It has no memory: look before you wait."""

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the loop's clock shows `deadline` (false)."""

    def share(self, alarms: Alarms, pause: float) -> None:
        """Say how many seconds a `rest` takes, and with whom it may end early."""

    def rest(self, since: float) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the pause has passed since then, about (false)."""

    def close(self) -> None:
        """Give up the limit of sends, and the timer until the next `wait`."""

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        """Have `overdue` called when a send takes longer."""

    def sending(self) -> None:
        """Note that a send begins. The task that waits must be the one that sends."""

    def sent(self) -> None:
        """Note that the send has ended; not needed where `close` follows."""


class _AsyncioSignal:
    """A future to wake up by, and one timer that looks at the latest deadline when it fires.

    Deadlines mostly move forward, so most waits and sends don't touch the timer.
    """

    __slots__ = (
        "_alarms",
        "_deadline",
        "_future",
        "_loop",
        "_overdue",
        "_pause",
        "_round",
        "_send_timeout",
        "_slack",
        "_timer",
        "_timer_at",
    )

    _alarms: Alarms

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._round: Round | None = None
        self._deadline = self._timer_at = self._send_timeout = self._pause = math.inf
        self._overdue: Callable[[], object] = _nothing
        self._slack = 0.0

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        self._deadline = deadline
        self._slack = 0.0
        if deadline < self._timer_at:
            self._start_timer(deadline)
        self._future = future = self._loop.create_future()
        return future

    def share(self, alarms: Alarms, pause: float) -> None:
        self._alarms = alarms
        self._pause = pause

    def rest(self, since: float) -> Awaitable[bool]:
        self._deadline = deadline = since + self._pause
        self._slack = self._pause * SLACK
        if deadline < self._timer_at:
            self._join_round(deadline)
        self._future = future = self._loop.create_future()
        return future

    def close(self) -> None:
        self.limit(math.inf, _nothing)
        self._deadline = math.inf
        self._start_timer(math.inf)

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        self._send_timeout, self._overdue = seconds, overdue

    def sending(self) -> None:
        self._future = None
        self._slack = 0.0
        now = self._loop.time()
        self._deadline = deadline = now + self._send_timeout
        if deadline >= self._timer_at:
            return
        if self._pause <= self._send_timeout:  # the `rest` to come needs that timer anyway
            self._join_round(now + self._pause)
        else:
            self._start_timer(deadline)

    def sent(self) -> None:
        self._deadline = math.inf

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
        self._round = self._alarms.round_at(self._loop, at, self._pause)
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

    def on_alarm(self, now: float, following: Round) -> None:
        """As the one timer; stay with the others if the rest has been whole."""
        self._round = None
        if self._look(now):
            self._round = following
            self._timer_at = following.when
            following.sleepers[self] = None

    def _look(self, now: float) -> bool:
        """See whether the time has come, and for what. Returns whether somebody is woken."""
        if now < self._deadline - self._slack:
            again = self._join_round if self._slack else self._start_timer
            again(self._deadline)
            return False
        self._timer_at = math.inf
        future = self._future
        if future is None:  # nobody waits: it is a send that takes too long
            self._overdue()
        elif not future.done():
            future.set_result(False)
            return True
        return False


class _AnyioSignal:
    """An event to wake up by, and one timer that looks at the latest deadline of a send.

    A deadline of the send itself would not do: one server's can't be cancelled.
    """

    __slots__ = ("_cancel_timer", "_clock", "_due", "_event", "_overdue", "_pause", "_send_timeout")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._due = self._send_timeout = math.inf
        self._overdue: Callable[[], object] = _nothing
        self._cancel_timer: Callable[[], object] | None = None
        self._clock = clock()

    def set(self) -> None:
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

    def share(self, alarms: Alarms, pause: float) -> None:  # noqa: ARG002 - trio's scopes are cheap
        self._pause = pause

    def rest(self, since: float) -> Awaitable[bool]:
        return self.wait(since + self._pause)

    def close(self) -> None:
        self.limit(math.inf, _nothing)
        self._due = math.inf
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def limit(self, seconds: float, overdue: Callable[[], object]) -> None:
        self._send_timeout, self._overdue = seconds, overdue

    def sending(self) -> None:
        self._due = self._clock() + self._send_timeout
        if self._cancel_timer is None and self._due < math.inf:
            self._cancel_timer = later(self._send_timeout, self._on_timer)

    def sent(self) -> None:
        self._due = math.inf

    def _on_timer(self) -> None:
        self._cancel_timer = None
        left = self._due - self._clock()
        if left <= 0:
            self._overdue()
        elif left < math.inf:
            self._cancel_timer = later(left, self._on_timer)


def signal() -> Signal:
    """Make the signal of the running event loop."""
    task = running_asyncio_task()
    return _AnyioSignal() if task is None else _AsyncioSignal(task.get_loop())
