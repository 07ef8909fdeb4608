"""`Counters`: what the streams of an application have sent, and how they ended.

Streams are counted whether anything observes them or not. Records are made only for observers.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from types import MappingProxyType
from typing import Any

from sse_middleware.records import CloseReason, StreamStats


class Counters:
    """Sums over the streams that have ended, and how many have begun."""

    def __init__(self) -> None:
        self.opened = 0
        """How many streams have begun."""
        self._closed: Counter[CloseReason] = Counter()
        self._events = self._size = 0

    def refused(self) -> None:
        """Count a stream that was not admitted."""
        self._closed[CloseReason.REFUSED] += 1

    def closed(self, reason: CloseReason, events: int, size: int) -> None:
        """Count a stream that has ended, and the events and bytes that it sent."""
        self._closed[reason] += 1
        self._events += events
        self._size += size

    def stats(
        self,
        open_streams: Iterable[tuple[int, int, int]],
        *,
        count: int,
        clients: int,
        draining: bool,
    ) -> StreamStats:
        """Return all counts at this moment.

        Args:
            open_streams: for each open stream the events and bytes that it sent, and the bytes that
                wait in it.
            count: how many streams are open.
            clients: how many clients hold slots.
            draining: whether the application is draining.
        """
        events, size, waiting = map(sum, zip((0, 0, 0), *open_streams, strict=True))
        return StreamStats(
            open=count,
            clients=clients,
            draining=draining,
            opened=self.opened,
            closed=MappingProxyType({reason: self._closed[reason] for reason in CloseReason}),
            events=self._events + events,
            size=self._size + size,
            waiting=waiting,
        )


def as_json(stats: StreamStats) -> dict[str, Any]:
    """Return the numbers as an object that JSON can hold."""
    numbers = {field.name: getattr(stats, field.name) for field in fields(stats)}
    return {**numbers, "closed": {reason.value: count for reason, count in stats.closed.items()}}
