"""Timers of many streams that may fire together.

A thousand idle streams would wake the event loop a thousand times for their keep-alives, and waking
it costs as much as a keep-alive does. A keep-alive may come a little early, so all that are due
within the same short while are sent when the first of them is. From then on they are due together.

Rules of this file:
- Nobody is called later than asked for, nor earlier than `slack` seconds before.
- Who is alone is called at the very moment.
"""

import asyncio
from collections.abc import Callable


class Alarms:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._rounds: dict[tuple[float, int], _Round] = {}

    def call_at(
        self,
        loop: asyncio.AbstractEventLoop,
        when: float,
        slack: float,
        callback: Callable[[], object],
    ) -> "Alarm":
        """Have a function called at a time of the loop's clock, or up to `slack` seconds before."""
        key = (slack, int(when / slack))
        found = self._rounds.get(key)
        if found is None:
            self._rounds[key] = found = _Round(self._rounds, key)
        found.add(loop, when, callback)
        return Alarm(found, callback)


class Alarm:
    """One call that is to come."""

    __slots__ = ("_callback", "_round")

    def __init__(self, of: "_Round", callback: Callable[[], object]) -> None:
        self._round = of
        self._callback = callback

    def cancel(self) -> None:
        """Forget it; harmless when it has come."""
        self._round.discard(self._callback)


class _Round:
    """Those that are called together: at the time of the first."""

    __slots__ = ("_callbacks", "_key", "_rounds", "_timer", "_when")

    def __init__(self, rounds: "dict[tuple[float, int], _Round]", key: tuple[float, int]) -> None:
        self._rounds = rounds
        self._key = key
        self._callbacks: dict[Callable[[], object], None] = {}
        self._when = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def add(
        self, loop: asyncio.AbstractEventLoop, when: float, callback: Callable[[], object]
    ) -> None:
        self._callbacks[callback] = None
        if self._timer is None or when < self._when:
            self._stop()
            self._when = when
            self._timer = loop.call_at(when, self._fire)

    def discard(self, callback: Callable[[], object]) -> None:
        self._callbacks.pop(callback, None)
        if not self._callbacks and self._timer is not None:
            self._stop()
            del self._rounds[self._key]

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        del self._rounds[self._key]  # whoever wants another call gets another round
        callbacks, self._callbacks = self._callbacks, {}
        for callback in callbacks:
            callback()
