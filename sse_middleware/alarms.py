"""Timers of many streams that may fire together.

A thousand idle streams would wake the event loop a thousand times for their keep-alives, and waking
it costs as much as a keep-alive does. A keep-alive may come a little early, so all that are due
within the same short while are sent when the first of them is. From then on they are due together.

Rules of this file:
- Nobody is called later than asked for, nor earlier than `slack` seconds before.
- Who is alone is called at the very moment.
"""

import asyncio
import math
from typing import Protocol


class Sleeper(Protocol):
    """Who wants to be called."""

    def on_alarm(self, now: float) -> None:
        """Wake up.

        Args:
            now: the time of the loop's clock.
        """


class Alarms:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[float, float], Round] = {}

    def call_at(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        slack: float,
        sleeper: Sleeper,
    ) -> "Round":
        """Have somebody called at a time of the loop's clock, or up to `slack` seconds before.

        Returns whom it is called with, which can `forget` it.
        """
        key = slack, when // slack
        found = self._rounds.get(key)
        if found is None:
            self._rounds[key] = found = Round(loop, self._rounds, key)
        found.sleepers[sleeper] = None
        if when < found.when:
            found.start(when)
        return found


class Round:
    """Those that are called together: at the time of the first."""

    __slots__ = ("_key", "_loop", "_rounds", "_timer", "sleepers", "when")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rounds: "dict[tuple[float, float], Round]",
        key: tuple[float, float],
    ) -> None:
        self._loop = loop
        self._rounds = rounds
        self._key = key
        self.sleepers: dict[Sleeper, None] = {}
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
        if not self.sleepers and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            del self._rounds[self._key]

    def _fire(self) -> None:
        self._timer = None
        del self._rounds[self._key]  # whoever wants another call gets another round
        sleepers, self.sleepers = self.sleepers, {}
        now = self._loop.time()
        for sleeper in sleepers:
            sleeper.on_alarm(now)
