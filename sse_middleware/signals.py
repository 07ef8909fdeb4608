"""`Signal`: one task sleeps until another wakes it or a deadline passes.

anyio's `Event` under a `move_on_after` costs several times more than a future and a timer that is
moved instead of set anew, and this is paid for every event that comes alone. The same timer tells
when a `send` takes too long. (Signals of the operating system live in `shutdown`.)
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import Any, Protocol, cast

import anyio

from sse_middleware.alarms import Alarms, Round
from sse_middleware.backends import clock, later, running_asyncio_task

Send = Callable[[Any], Awaitable[None]]


class Signal(Protocol):
    """Wakes the one task that waits. It has no memory: look before you wait."""

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self, deadline: float = math.inf, slack: float = 0.0) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the loop's clock shows `deadline` (false).

        Args:
            deadline: on the loop's clock.
            slack: how many seconds before that it may be, where others wake up.
        """

    def share(self, alarms: Alarms) -> None:
        """Have the timers of waits with slack fire together with others'."""

    def close(self) -> None:
        """Give up the timer, until the next `wait` or send."""

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        """Return a `send` that calls `overdue` when it takes longer, and goes on nevertheless.

        It shares the timer of `wait`, so the task that waits must be the one that sends.
        """


class _AsyncioSignal:
    """A future to wake up by, and one timer that looks at the latest deadline when it fires.

    Deadlines mostly move forward, so most waits don't touch the timer.
    """

    __slots__ = (
        "_alarms",
        "_deadline",
        "_future",
        "_loop",
        "_overdue",
        "_round",
        "_send",
        "_send_timeout",
        "_slack",
        "_timer",
        "_timer_at",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarms: Alarms | None = None
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._round: Round | None = None
        self._deadline = self._timer_at = math.inf
        self._slack = 0.0

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self, deadline: float = math.inf, slack: float = 0.0) -> Awaitable[bool]:
        self._deadline = deadline
        self._slack = slack
        if deadline < self._timer_at:
            self._start_timer()
        self._future = future = self._loop.create_future()
        return future

    def share(self, alarms: Alarms) -> None:
        self._alarms = alarms

    def close(self) -> None:
        self._deadline = math.inf
        self._slack = 0.0
        self._start_timer()

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        self._send_timeout, self._send, self._overdue = seconds, send, overdue
        return cast("Send", self._send_in_time)  # a generator that can be awaited

    @coroutine
    def _send_in_time(self, message: Any) -> Generator[Any, Any, None]:
        # Most calls of `send` don't suspend, and need no timer.
        sending: Any = self._send(message).__await__()
        try:
            waits_for = next(sending)
        except StopIteration:
            return
        self._expect_send()
        try:
            yield from _resumed(sending, waits_for)
        finally:
            self._deadline = math.inf

    def _expect_send(self) -> None:
        """Let the timer fire for a `send`."""
        self._future = None
        self._slack = 0.0
        self._deadline = self._loop.time() + self._send_timeout
        if self._deadline < self._timer_at:
            self._start_timer()

    def _start_timer(self) -> None:
        """Let the one timer fire at the deadline, or never."""
        if self._round is not None:
            self._round.forget(self._on_timer)
            self._round = None
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = deadline = self._deadline
        if self._slack and self._alarms is not None:
            self._round = self._alarms.call_at(self._loop, deadline, self._slack, self._on_timer)
        elif deadline != math.inf:
            self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = self._round = None
        if self._loop.time() < self._deadline - self._slack:
            self._start_timer()
            return
        self._timer_at = math.inf
        future = self._future
        if future is None:  # nobody waits: it is a `send` that takes too long
            self._overdue()
        elif not future.done():
            future.set_result(False)


def _resumed(sending: Any, waits_for: Any) -> Generator[Any, Any, None]:
    """Go on with an awaitable that has taken its first step."""
    try:
        yield waits_for
    except BaseException as error:  # a cancellation, which is not ours to judge
        try:
            waits_for = sending.throw(error)
        except StopIteration:
            return
        yield from _resumed(sending, waits_for)
    else:
        yield from sending


class _AnyioSignal:
    """An event to wake up by, and one timer that looks at the latest deadline of a `send`.

    A deadline of the `send` itself would not do: one server's can't be cancelled.
    """

    __slots__ = ("_cancel_timer", "_clock", "_due", "_event", "_overdue")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._due = math.inf
        self._cancel_timer: Callable[[], object] | None = None
        self._clock = clock()

    def set(self) -> None:
        if self._event is not None:
            self._event.set()

    async def wait(self, deadline: float = math.inf, slack: float = 0.0) -> bool:  # noqa: ARG002
        self._event = anyio.Event()
        try:
            with anyio.CancelScope(deadline=deadline):
                await self._event.wait()
                return True
            return False
        finally:
            self._event = None

    def share(self, alarms: Alarms) -> None:
        """Share nothing: trio's scopes are cheap."""

    def close(self) -> None:
        self._due = math.inf
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        self._overdue = overdue

        async def send_in_time(message: Any) -> None:
            self._due = self._clock() + seconds
            if self._cancel_timer is None:
                self._cancel_timer = later(seconds, self._on_timer)
            await send(message)
            self._due = math.inf

        return send_in_time

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
