"""Timers of many streams that may fire together.

A thousand idle streams would wake the event loop a thousand times for their keep-alives, and waking
it costs as much as a keep-alive does. A keep-alive may come a little early, so all that are due
within the same short while are sent when the first of them is. From then on they are due together.

Rules of this file:
- Nobody is called later than asked for, nor earlier than `SLACK` permits.
- Who is alone is called at the very moment.
- Who is called for a keep-alive is called for the next one, too: they stay together.
"""

import asyncio
import math
from typing import Protocol

SLACK = 0.1
"""The part of their pause by which sleepers may be called early, to be called with others."""


class Sleeper(Protocol):
    """Who wants to be called."""

    def on_alarm(self, now: float, following: "Round") -> None:
        """Wake up.

        Args:
            now: the time of the loop's clock.
            following: the round after the pause, for who wants to be called again: to be joined.
        """


class Alarms:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[float, float], Round] = {}

    def round_at(self, loop: asyncio.AbstractEventLoop, when: float, pause: float) -> "Round":
        """Return those who are called at a time of the loop's clock, or a little before.

        Args:
            loop: the running one.
            when: the time.
            pause: the seconds between two calls of the same sleeper.
        """
        key = pause, when // (pause * SLACK)
        found = self._rounds.get(key)
        if found is None:
            found = Round(loop, self, key)
            self._rounds[key] = found
        if when < found.when:
            found.start(when)
        return found

    def drop(self, key: tuple[float, float]) -> None:
        """Forget a round: whoever wants another call gets another one."""
        del self._rounds[key]


class Round:
    """Those that are called together: at the time of the first."""

    __slots__ = ("_alarms", "_key", "_loop", "_timer", "sleepers", "when")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, alarms: Alarms, key: tuple[float, float]
    ) -> None:
        self._loop = loop
        self._alarms = alarms
        self._key = key
        self.sleepers: dict[Sleeper, None] = {}
        """Who is called; whoever adds itself."""
        self.when = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self, when: float) -> None:
        """Call all of them then."""
        if self._timer is not None:
            self._timer.cancel()
        self.when = when
        self._timer = self._loop.call_at(when, self._fire)

    def forget(self, sleeper: Sleeper) -> None:
        """Don't call somebody; harmless when that has come."""
        self.sleepers.pop(sleeper, None)
        self._end_if_empty()

    def _end_if_empty(self) -> None:
        if not self.sleepers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._alarms.drop(self._key)

    def _fire(self) -> None:
        self._timer = None
        self._alarms.drop(self._key)
        sleepers, self.sleepers = self.sleepers, {}
        now, pause = self._loop.time(), self._key[0]
        following = self._alarms.round_at(self._loop, now + pause, pause)
        for sleeper in sleepers:
            sleeper.on_alarm(now, following)
        following._end_if_empty()  # noqa: SLF001 - of the same class
