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
from collections.abc import Callable


class Alarms:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[float, float], Round] = {}

    def call_at(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        slack: float,
        callback: Callable[[], object],
    ) -> "Round":
        """Have a function called at a time of the loop's clock, or up to `slack` seconds before.

        Returns what it is called with, which can `forget` it.
        """
        key = slack, when // slack
        found = self._rounds.get(key)
        if found is None:
            self._rounds[key] = found = Round(self._rounds, key)
        found.callbacks[callback] = None
        if when < found.when:
            found.start(loop, when)
        return found


class Round:
    """Those that are called together: at the time of the first."""

    __slots__ = ("_key", "_rounds", "_timer", "callbacks", "when")

    def __init__(
        self, rounds: "dict[tuple[float, float], Round]", key: tuple[float, float]
    ) -> None:
        self._rounds = rounds
        self._key = key
        self.callbacks: dict[Callable[[], object], None] = {}
        self.when = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def start(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        """Call all of them then."""
        if self._timer is not None:
            self._timer.cancel()
        self.when = when
        self._timer = loop.call_at(when, self._fire)

    def forget(self, callback: Callable[[], object]) -> None:
        """Don't call a function; harmless when that has come."""
        self.callbacks.pop(callback, None)
        if not self.callbacks and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            del self._rounds[self._key]

    def _fire(self) -> None:
        self._timer = None
        del self._rounds[self._key]  # whoever wants another call gets another round
        callbacks, self.callbacks = self.callbacks, {}
        for callback in callbacks:
            callback()
