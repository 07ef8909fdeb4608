"""`WriterTimer`: the one timer of a writer.

Rules of this file:
- It says when a silence has lasted for the interval, when a time limit is reached, and when a
  `send` takes too long.
- Once started it is always set. When it fires, it checks what is due. So a message only notes when
  it was sent, and sets no timer.
- On asyncio it ends silences a little early, together with the timers of other streams. Everything
  else happens exactly on time.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from sse_middleware.event_loop.loop import call_later, running_asyncio_task
from sse_middleware.event_loop.timers import SLACK, CoalescedTimers, TimerGroup

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


class Timed(Protocol):
    """A writer. Neither of these may raise."""

    def on_due(self, now: float) -> None:
        """Know that a silence has lasted for the interval, or that ``end`` is reached."""

    def on_send_timeout(self) -> None:
        """Know that a send takes too long."""


class WriterTimer:
    """Says what is due. It does nothing before `wait` or `start`.

    Args:
        clock: the event loop's.
        writer: what is told.
    """

    __slots__ = (
        "_cancel",
        "_clock",
        "_group",
        "_interval",
        "_loop",
        "_period",
        "_send_timeout",
        "_slack",
        "_timers",
        "_writer",
        "end",
        "send_began",
        "sent",
    )

    _timers: CoalescedTimers

    def __init__(self, clock: Callable[[], float], writer: Timed) -> None:
        task = running_asyncio_task()
        self._loop = None if task is None else task.get_loop()
        self._clock = clock
        self.sent = self._clock()
        """When the silence began, by the event loop's clock."""
        self.send_began = math.inf
        """When the running send began, ``inf`` if none runs."""
        self.end = math.inf
        """When the next time limit is reached. It may only become later: the timer is set."""
        self._interval = self._period = self._send_timeout = math.inf
        self._slack = 0.0
        self._writer = writer
        self._cancel: Callable[[], object] | None = None
        self._group: TimerGroup | None = None

    def limit_sends(self, seconds: float) -> None:
        """Tell of a send that takes longer, once."""
        self._send_timeout = seconds

    def wait(self, seconds: float) -> None:
        """Tell of exactly this many seconds of silence from now on."""
        self.sent = now = self._clock()
        self._interval = self._period = seconds
        self._look_again(now)

    def start(self, timers: CoalescedTimers, interval: float) -> None:
        """Watch sends, and tell of each silence of about `interval` seconds.

        Args:
            timers: whose timers it may share.
            interval: seconds.
        """
        self.sent = now = self._clock()
        self._timers = timers
        self._interval = interval
        self._slack = 0.0 if self._loop is None else interval * SLACK
        self._period = min(interval, self._send_timeout)
        self._look_again(now)

    def close(self) -> None:
        """Tell nobody any more."""
        self._writer = None  # type: ignore[assignment]  # nothing is due, and it has this timer
        self._interval = self._period = self._send_timeout = self.end = math.inf
        self._stop()

    def on_timer_group(self, now: float, following: float) -> bool:
        """Act as the timer does. Stays in the group if nothing was sent for the whole interval."""
        if self._is_silent(now) and following < self.end:
            self._writer.on_due(now)
            return self._group is not None
        self._group = None
        self._check(now)
        return False

    def _on_timer(self) -> None:
        self._cancel = None
        self._check(self._clock())

    def _is_silent(self, now: float) -> bool:
        """Whether a silence has lasted for the interval, nearly if the timer may fire early."""
        return now >= self.sent + self._interval - self._slack and self.send_began == math.inf

    def _check(self, now: float) -> None:
        """Act on what is due. Then set the timer for the next check."""
        if now >= self.send_began + self._send_timeout:
            self.send_began = math.inf
            self._writer.on_send_timeout()
        elif now >= self.end:
            self.end = math.inf
            self._writer.on_due(now)
        elif self._is_silent(now):
            self._writer.on_due(now)
        self._look_again(now)

    def _look_again(self, now: float) -> None:
        """Set the timer to when something is due next, at most one period from now."""
        exact = min(self.send_began + self._send_timeout, self.end)
        silent = self.sent + self._interval
        at = min(silent if silent > now else math.inf, now + self._period)
        if exact <= at or not self._slack:
            self._fire_at(min(at, exact))
        else:
            self._join_group(at)

    def _fire_at(self, at: float) -> None:
        """Have a timer of its own fire at this time, or never."""
        self._stop()
        if at == math.inf:
            return
        if self._loop is None:
            self._cancel = call_later(max(0, at - self._clock()), self._on_timer)
        else:
            self._cancel = self._loop.call_at(at, self._on_timer).cancel

    def _join_group(self, at: float) -> None:
        """Have it fire at this time, or a little before, together with the timers of others."""
        self._stop()
        self._group = self._timers.group_at(cast("AbstractEventLoop", self._loop), at, self._period)
        self._group.members[self] = None

    def _stop(self) -> None:
        if self._group is not None:
            self._group.discard(self)
            self._group = None
        elif self._cancel is not None:
            self._cancel()
            self._cancel = None
