"""`TimedWriter`: a writer as far as its one timer needs it.

Rules of this file:
- It says when a silence has lasted for the interval, when a time limit is reached, and when a
  `send` takes too long.
- Once started the timer is always set. When it fires, it checks what is due. So a message only
  notes when it was sent, and sets no timer.
- On asyncio it ends silences a little early, together with the timers of other streams. Everything
  else happens exactly on time.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from sse_middleware.event_loop.loop import call_later
from sse_middleware.event_loop.timers import SLACK, CoalescedTimers, TimerGroup


class TimedWriter(ABC):
    """A writer with a timer. Nothing is due before `wait_for` or `start_timer`.

    Args:
        clock: the event loop's.
        send_timeout: `on_send_timeout` is called, once, if a send takes longer than these seconds.
    """

    __slots__ = (
        "_cancel",
        "_clock",
        "_group",
        "_interval",
        "_send_timeout",
        "_slack",
        "_timers",
        "send_began",
        "sent",
        "time_limit",
    )

    _timers: CoalescedTimers

    def __init__(self, clock: Callable[[], float], send_timeout: float | None) -> None:
        self._clock = clock
        self.sent = -math.inf
        """When the silence began, by the event loop's clock."""
        self.send_began = math.inf
        """When the running send began, ``inf`` if none runs."""
        self.time_limit = math.inf
        """When the next time limit is reached. It may only become later: the timer is set."""
        self._send_timeout = math.inf if send_timeout is None else send_timeout
        self._interval, self._slack = math.inf, 0.0
        self._cancel: Callable[[], object] | None = None
        self._group: TimerGroup | None = None

    @abstractmethod
    def on_due(self, now: float) -> None:
        """Know that a silence has lasted for the interval, or that `time_limit` is reached.

        It must not raise.
        """

    @abstractmethod
    def on_send_timeout(self) -> None:
        """Know that a send takes too long. It must not raise."""

    def wait_for(self, seconds: float) -> None:
        """Call `on_due` after exactly this many seconds of silence from now on."""
        self.sent = now = self._clock()
        self._interval = seconds
        self._look_again(now)

    def start_timer(self, timers: CoalescedTimers, interval: float) -> None:
        """Watch sends, and call `on_due` after each silence of about `interval` seconds.

        Args:
            timers: whose timers it may share.
            interval: seconds.
        """
        self.sent = now = self._clock()
        self._timers = timers
        self._interval = interval
        self._slack = SLACK if timers.has_groups else 0.0  # a product would be an object for each
        self._look_again(now)

    def stop_timer(self) -> None:
        """Let nothing be due any more."""
        self._interval = self._send_timeout = self.time_limit = math.inf
        self._unset()

    def on_timer_group(self, now: float, following: float) -> bool:
        """Act as the timer does. Stays in the group if nothing was sent for the whole interval."""
        if self._is_silent(now) and following < self.time_limit:
            self.on_due(now)
            return self._group is not None
        self._group = None
        self._check(now)
        return False

    def _on_timer(self) -> None:
        self._cancel = None
        self._check(self._clock())

    def _is_silent(self, now: float) -> bool:
        """Whether a silence has lasted for the interval, nearly if the timer may fire early."""
        return now >= self.sent + self._interval * (1 - self._slack) and self.send_began == math.inf

    def _check(self, now: float) -> None:
        """Act on what is due. Then set the timer for the next check."""
        if now >= self.send_began + self._send_timeout:
            self.send_began = math.inf
            self.on_send_timeout()
        elif now >= self.time_limit:
            self.time_limit = math.inf
            self.on_due(now)
        elif self._is_silent(now):
            self.on_due(now)
        self._look_again(now)

    def _look_again(self, now: float) -> None:
        """Set the timer to when something is due next, at most one period from now."""
        exact = min(self.send_began + self._send_timeout, self.time_limit)
        silent = self.sent + self._interval
        period = min(self._interval, self._send_timeout)
        at = min(silent if silent > now else math.inf, now + period)
        self._unset()
        if exact <= at or not self._slack:
            self._fire_at(min(at, exact))
        else:  # at this time, or a little before, together with the timers of others
            self._group = self._timers.group_at(at, period)
            self._group.members[self] = None

    def _fire_at(self, at: float) -> None:
        """Have a timer of its own fire at this time, or never."""
        if at < math.inf:
            self._cancel = call_later(max(0, at - self._clock()), self._on_timer)

    def _unset(self) -> None:
        if self._group is not None:
            self._group.discard(self)
            self._group = None
        elif self._cancel is not None:
            self._cancel()
            self._cancel = None
