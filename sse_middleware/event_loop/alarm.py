"""`Alarm`: a function that is called at some time at the latest, where that time moves often.

A cancel scope around each ``await`` would set and stop a timer each time, which costs more than
what a task does in between.
"""

import math
from collections.abc import Callable

from sse_middleware.event_loop.loop import call_later


def _nothing() -> None:
    """Do nothing: there is no timer."""


class Alarm:
    """Calls a function. Use it in one event loop.

    Args:
        clock: of the event loop, in seconds.
        callback: what is called. It must not raise.
    """

    __slots__ = ("_callback", "_clock", "_stop", "_when")

    def __init__(self, clock: Callable[[], float], callback: Callable[[], object]) -> None:
        self._clock = clock
        self._callback = callback
        self._when = math.inf
        self._stop: Callable[[], object] = _nothing

    def set(self, when: float) -> None:
        """Call the function at a time of the clock.

        If an earlier call is to come, only that comes. So look at the time when you are called.
        """
        if when < self._when:
            self._stop()
            self._when = when
            self._stop = call_later(when - self._clock(), self._ring)

    def stop(self) -> None:
        """Call nothing any more."""
        self._stop()
        self._stop, self._when = _nothing, math.inf

    def _ring(self) -> None:
        self._when = math.inf
        self._callback()
