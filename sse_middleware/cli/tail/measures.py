"""`Measures`: counts what comes, and how long it is between two events.

The delays are counted in classes whose limits are 1 % apart, so a stream of any length takes the
same memory, and a percentile is right within 0.5 %.
"""

import math
from collections import Counter

_STEP = 0.00995033085316808
"""The logarithm of 1.01."""

_SHORTEST = 1e-6
"""Seconds. What is shorter came together."""

_SECOND = 1.0


class Measures:
    """The figures of ``--stats``. All times are seconds of one monotonic clock."""

    def __init__(self, begin: float) -> None:
        self.events = 0
        self.bytes = 0
        self.keep_alives = 0
        self.connections = 0
        self._begin = begin
        self._last_event: float | None = None
        self._longest = 0.0
        self._classes: Counter[int | None] = Counter()

    def event(self, now: float) -> None:
        """Count an event."""
        self.events += 1
        if self._last_event is not None:
            delay = now - self._last_event
            self._longest = max(self._longest, delay)
            self._classes[_class_of(delay)] += 1
        self._last_event = now

    def percentile(self, percent: float) -> float | None:
        """Return the delay in seconds that this share of the delays doesn't pass.

        Returns ``None`` if there were not two events.
        """
        total = self._classes.total()
        rank = max(1, math.ceil(total * percent / 100))
        for one in sorted(self._classes, key=lambda one: -math.inf if one is None else one):
            rank -= self._classes[one]
            if rank <= 0:
                return min(_middle_of(one), self._longest)
        return None

    def summary(self, now: float) -> str:
        """Return the figures as lines of text."""
        seconds = max(now - self._begin, _SHORTEST)
        middle, high = self.percentile(50), self.percentile(99)
        lines = [
            f"time         {duration(seconds)}",
            f"events       {self.events:,} ({self.events / seconds:,.1f}/s)",
            f"bytes        {self.bytes:,} ({self.bytes / seconds:,.0f}/s)",
        ]
        if middle is not None and high is not None:
            lines.append(
                f"between      p50 {duration(middle)}, p99 {duration(high)}, "
                f"longest {duration(self._longest)}"
            )
        lines.append(f"keep-alives  {self.keep_alives:,}")
        lines.append(f"reconnects   {max(0, self.connections - 1):,}")
        return "".join(f"{line}\n" for line in lines)


def duration(seconds: float) -> str:
    """Return a time for people: three figures and a unit."""
    number, unit = (seconds, "s") if seconds >= _SECOND else (seconds * 1000, "ms")
    digits = 0 if number >= 100 else 1 if number >= 10 else 2  # noqa: PLR2004 - three figures
    return f"{number:.{digits}f} {unit}"


def _class_of(delay: float) -> int | None:
    return math.floor(math.log(delay) / _STEP) if delay >= _SHORTEST else None


def _middle_of(one: int | None) -> float:
    return 0.0 if one is None else math.exp((one + 0.5) * _STEP)
