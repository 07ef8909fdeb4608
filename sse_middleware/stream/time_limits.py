"""`TimeLimits`: when `max_duration` or `idle_timeout` ends a stream. And when it is kept alive."""

import math
from random import uniform

from sse_middleware import events
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.validation import UNSET

JITTER = 0.1
"""The part of `max_duration` by which a stream may end early, so that not all end together."""


class TimeLimits:
    """The time limits of one stream; ``end`` is when the next one is reached.

    Args:
        settings: those of the stream.
        now: when it begins.
    """

    __slots__ = ("_idle_timeout", "_last", "end")

    def __init__(self, settings: StreamSettings, now: float) -> None:
        self._last = math.inf
        if settings.max_duration is not None:
            part = uniform(1 - JITTER, 1)  # noqa: S311 - nothing to guess
            self._last = now + settings.max_duration * part
        self._idle_timeout = math.inf if settings.idle_timeout is None else settings.idle_timeout
        self.note_event(now)

    def note_event(self, now: float) -> None:
        """Note the moment of an event."""
        self.end = min(self._last, now + self._idle_timeout)

    def reach(self) -> CloseReason:
        """Return which limit is reached at ``end``, and forget the limits.

        The stream may go on for a while: its farewell may have to wait for the end of an event.
        """
        reason = CloseReason.MAX_DURATION if self.end == self._last else CloseReason.IDLE_TIMEOUT
        self._last = self._idle_timeout = self.end = math.inf
        return reason


def ping_interval_of(settings: StreamSettings) -> float:
    """Return the seconds of silence before a keep-alive, ``inf`` if there are none."""
    interval = settings.ping_interval
    if interval is UNSET:
        return events._PING_INTERVAL  # noqa: SLF001 - private by name only, as FastAPI named it
    return math.inf if interval is None else interval
