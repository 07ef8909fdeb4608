"""Timers of many streams that may fire together.

A thousand idle streams would wake the event loop a thousand times for their keep-alives, and waking
it costs as much as a keep-alive does. A keep-alive may come a little early, so all that are due
within the same short while are sent when the first of them is. From then on they are due together.

Rules of this file:
- Nobody is called later than asked for, nor earlier than `SLACK` permits.
- Who is alone is called at the very moment.
- Who is called for a keep-alive is called for the next one, too: they stay together.
- They are never so many that nothing else could run for long.
"""

import asyncio
import math
from typing import Protocol

SLACK = 0.2
"""The part of their pause by which sleepers may be called early, to be called with others."""

CROWD = 250
"""Sleepers who are called together at most: a few milliseconds of work."""


class Sleeper(Protocol):
    """Who wants to be called."""

    def on_alarm(self, now: float, following: float) -> bool:
        """Wake up. Returns whether to be called again after the pause, with the others who stay.

        Args:
            now: the time of the loop's clock.
            following: when that will be.
        """


class Alarms:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[float, int], Round] = {}

    def round_at(self, loop: asyncio.AbstractEventLoop, when: float, pause: float) -> "Round":
        """Return those who are called at a time of the loop's clock, or a little before.

        Args:
            loop: the running one.
            when: the time.
            pause: the seconds between two calls of the same sleeper.
        """
        found = self._rounds.get(_key(when, pause))
        if found is None or found.is_full:
            found = Round(loop, self, pause)
        if when < found.when:
            found.start(when)
        return found

    def list(self, which: "Round") -> None:
        """Let others join a round, unless there is one for them already."""
        key = _key(which.when, which.pause)
        listed = self._rounds.get(key)
        if listed is None or listed.is_full:
            self._rounds[key] = which

    def drop(self, which: "Round") -> None:
        """Let no other join a round."""
        key = _key(which.when, which.pause)
        if self._rounds.get(key) is which:
            del self._rounds[key]


def _key(when: float, pause: float) -> tuple[float, int]:
    return pause, int(when / (pause * SLACK))


class Round:
    """Those that are called together: at the time of the first."""

    __slots__ = ("_alarms", "_loop", "_timer", "pause", "sleepers", "when")

    def __init__(self, loop: asyncio.AbstractEventLoop, alarms: Alarms, pause: float) -> None:
        self._loop = loop
        self._alarms = alarms
        self.pause = pause
        self.sleepers: dict[Sleeper, None] = {}
        """Who is called; whoever adds itself."""
        self.when = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether no other should join."""
        return len(self.sleepers) >= CROWD

    def start(self, when: float) -> None:
        """Call all of them then."""
        self._stop()
        self.when = when
        self._timer = self._loop.call_at(when, self._fire)
        self._alarms.list(self)

    def forget(self, sleeper: Sleeper) -> None:
        """Don't call somebody; harmless when that has come."""
        self.sleepers.pop(sleeper, None)
        if not self.sleepers:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._alarms.drop(self)

    def _fire(self) -> None:
        self._stop()
        now = self._loop.time()
        following = now + self.pause
        sleepers = self.sleepers
        leaving = [one for one in tuple(sleepers) if not one.on_alarm(now, following)]
        for one in leaving:
            sleepers.pop(one, None)
        if sleepers:
            self.start(following)
