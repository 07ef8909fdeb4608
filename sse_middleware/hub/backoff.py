"""`Backoff`: how long to wait before the store is tried again."""

import random
from collections.abc import Callable

FIRST = 0.1
"""Seconds."""
LONGEST = 5.0
"""Seconds."""


class Backoff:
    """Waits longer each time, and at random, so that workers don't try all at once.

    Args:
        chance: returns a number from 0 to 1.
    """

    __slots__ = ("_chance", "_most", "cut_short")

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._most = FIRST
        self.cut_short = False
        """Whether the last wait was cut short. See `Recovery`."""

    def next(self) -> float:
        """Return the seconds to wait: from half of the longest wait to the whole."""
        seconds = self._most * (1 + self._chance()) / 2
        self._most = min(2 * self._most, LONGEST)
        return seconds

    def reset(self) -> None:
        """Begin again: the store is there."""
        self._most = FIRST
