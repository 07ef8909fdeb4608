"""`Wakeup` and `WriterTimer`: one task sleeps until another one wakes it, or until a time comes.

anyio's `Event` under a `move_on_after` costs several times more than a future and a timer that is
seldom set. This is paid for every event that comes alone.

A `WriterTimer` is the wake-up of a writer. Its one timer serves two purposes: it ends a silence, so
that the writer sends a keep-alive, and it notices that a `send` takes too long.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from sse_middleware.event_loop.loop import call_later, clock, running_asyncio_task
from sse_middleware.event_loop.timers import SLACK, CoalescedTimers, TimerGroup


def _nothing() -> None:
    """Do nothing: no send takes too long."""


class Wakeup(Protocol):
    """Wakes the one task that waits. It forgets: look at what you wait for before you wait."""

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self) -> Awaitable[bool]:
        """Sleep until `set`. Returns true."""


class WriterTimer(Protocol):
    """Wakes the one writer: when there is something to send, and when silence has lasted."""

    raised: bool
    """Whether it was set since the writer made this false."""
    send_began: float
    """When the send began that is going on, ``inf`` if there is none. The task that waits must be
    the one that sends."""

    def set(self) -> None:
        """Wake the writer, if it waits."""

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the loop's clock shows `deadline` (false)."""

    def limit_sends(self, seconds: float, on_timeout: Callable[[], object]) -> None:
        """Have `on_timeout` called when a send takes longer. It takes effect with `start`."""

    def start(self, timers: CoalescedTimers, interval: float) -> None:
        """Begin to watch sends, and say how long `wait_idle` waits and whose timers it may share.

        Args:
            timers: of the event loop.
            interval: seconds of silence.
        """

    def wait_idle(self, since: float, end: float) -> Awaitable[bool]:
        """Sleep until `set` (true), until `end`, or until about the interval has passed (false).

        Args:
            since: when the silence began, by the loop's clock.
            end: when to wake up in any case.
        """

    def close(self) -> None:
        """Stop watching sends, and set no timer until the next `wait`."""


class _AsyncioWakeup:
    """A future."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self) -> Awaitable[bool]:
        self._future = future = self._loop.create_future()
        return future


class _AsyncioWriterTimer:
    """A future to wake up by, and one timer that looks at what is due when it fires.

    Once started, it fires at least once in each interval and in each time that a send may take. So
    neither a wait nor a send has to set it.
    """

    __slots__ = (
        "_deadline",
        "_earliest",
        "_future",
        "_group",
        "_interval",
        "_loop",
        "_on_timeout",
        "_period",
        "_send_timeout",
        "_timer",
        "_timer_at",
        "_timers",
        "raised",
        "send_began",
    )

    _timers: CoalescedTimers

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.raised = False
        self.send_began = math.inf
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._group: TimerGroup | None = None
        self._deadline = self._earliest = self._timer_at = math.inf
        self._interval = self._period = self._send_timeout = math.inf
        self._on_timeout: Callable[[], object] = _nothing

    def set(self) -> None:
        self.raised = True
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        self._deadline = self._earliest = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)
        self._future = future = self._loop.create_future()
        return future

    def limit_sends(self, seconds: float, on_timeout: Callable[[], object]) -> None:
        self._send_timeout, self._on_timeout = seconds, on_timeout

    def start(self, timers: CoalescedTimers, interval: float) -> None:
        self._timers = timers
        self._interval = interval
        self._period = min(interval, self._send_timeout)
        at = self._loop.time() + self._period
        if at < self._timer_at:
            self._join_group(at)

    def wait_idle(self, since: float, end: float) -> Awaitable[bool]:
        deadline = since + self._interval
        if deadline >= end:
            return self.wait(end)
        self._deadline = deadline
        self._earliest = deadline - self._interval * SLACK
        if deadline < self._timer_at:
            self._join_group(deadline)
        self._future = future = self._loop.create_future()
        return future

    def close(self) -> None:
        self.limit_sends(math.inf, _nothing)
        self._deadline = self._earliest = self._period = math.inf
        self._set_timer(math.inf)

    def _set_timer(self, at: float) -> None:
        """Let the one timer fire then, or never."""
        self._cancel_timer()
        self._timer_at = at
        if at != math.inf:
            self._timer = self._loop.call_at(at, self._on_timer)

    def _join_group(self, at: float) -> None:
        """Let the timer fire then, or a little before, together with those of others."""
        self._cancel_timer()
        self._timer_at = at
        self._group = self._timers.group_at(self._loop, at, self._period)
        self._group.members[self] = None

    def _cancel_timer(self) -> None:
        if self._group is not None:
            self._group.discard(self)
            self._group = None
        elif self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        self._check(self._loop.time())

    def on_timer_group(self, now: float, following: float) -> bool:
        """As the one timer. Stays in the group if the whole interval was silent."""
        future = self._future
        if future is None or future.done() or now < self._earliest:
            self._group = None
            self._check(now)
            return False
        future.set_result(False)
        self._timer_at = following
        return True

    def _check(self, now: float) -> None:
        """Look whether the time has come, and for what. Then set the timer for the next look."""
        future, due = self._future, math.inf
        if future is None or future.done():
            due = self.send_began + self._send_timeout
            if now >= due:
                self.send_began = due = math.inf
                self._on_timeout()
        elif now < self._earliest:
            due = self._deadline
        else:
            future.set_result(False)
        if due > now + self._period:
            self._join_group(now + self._period)
        elif self._earliest < due == self._deadline:  # the end of a silence
            self._join_group(due)
        else:
            self._set_timer(due)


class _AnyioWakeup:
    """An event."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def set(self) -> None:
        if self._event is not None:
            self._event.set()

    async def wait(self) -> bool:
        self._event = anyio.Event()
        try:
            await self._event.wait()
            return True
        finally:
            self._event = None


class _AnyioWriterTimer:
    """An event to wake up by, and one timer that looks at the send that is going on.

    The send can't have a deadline of its own: one server's `send` can't be cancelled.
    """

    __slots__ = (
        "_cancel_timer",
        "_clock",
        "_interval",
        "_on_timeout",
        "_send_timeout",
        "_wakeup",
        "raised",
        "send_began",
    )

    def __init__(self) -> None:
        self.raised = False
        self.send_began = self._send_timeout = self._interval = math.inf
        self._wakeup = _AnyioWakeup()
        self._on_timeout: Callable[[], object] = _nothing
        self._cancel_timer: Callable[[], object] | None = None
        self._clock = clock()

    def set(self) -> None:
        self.raised = True
        self._wakeup.set()

    async def wait(self, deadline: float = math.inf) -> bool:
        with anyio.CancelScope(deadline=deadline):
            return await self._wakeup.wait()
        return False

    def limit_sends(self, seconds: float, on_timeout: Callable[[], object]) -> None:
        self._send_timeout, self._on_timeout = seconds, on_timeout

    def start(self, timers: CoalescedTimers, interval: float) -> None:  # noqa: ARG002 - trio's scopes are cheap
        self._interval = interval
        self._check_again_in(self._send_timeout)

    def wait_idle(self, since: float, end: float) -> Awaitable[bool]:
        return self.wait(min(since + self._interval, end))

    def close(self) -> None:
        self.limit_sends(math.inf, _nothing)
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def _check_again_in(self, seconds: float) -> None:
        if seconds < math.inf:
            self._cancel_timer = call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        now = self._clock()
        due = self.send_began + self._send_timeout
        if now >= due:
            self.send_began = due = math.inf
            self._on_timeout()
        self._check_again_in(min(due - now, self._send_timeout))


def wakeup() -> Wakeup:
    """Make a wake-up of the running event loop."""
    task = running_asyncio_task()
    return _AnyioWakeup() if task is None else _AsyncioWakeup(task.get_loop())


def writer_timer() -> WriterTimer:
    """Make a writer's wake-up of the running event loop."""
    task = running_asyncio_task()
    return _AnyioWriterTimer() if task is None else _AsyncioWriterTimer(task.get_loop())
