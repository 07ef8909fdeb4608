"""The rows that the page shows: streams, topics, runs and closes, as JSON can hold them.

Rules of this file:
- All texts come from requests, or may. They are cut, and are text that UTF-8 can encode.
- Times are seconds since 1970.
- A row says nothing that changes while nothing happens. So it is sent once.
"""

import time
from collections.abc import Iterable
from dataclasses import asdict
from heapq import nlargest
from itertools import islice
from typing import Any, Literal

from sse_middleware.hub.overview import RunOverview, TopicOverview
from sse_middleware.records import StreamInfo
from sse_middleware.registry.recent_closes import RecentClose
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.wire.request_headers import last_event_id

LONGEST = 300
"""Characters of a text that is shown."""

Row = dict[str, Any]

Order = Literal["newest", "oldest", "events", "size", "waiting"]
"""Which streams come first: by age, or those with the most."""

ORDERS: tuple[Order, ...] = ("newest", "oldest", "events", "size", "waiting")

_BY_COUNT: tuple[Order, ...] = ("events", "size", "waiting")
"""In the order of `Slot.counts`."""


def shown(text: str) -> str:
    """Return a text as it is shown."""
    cut = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
    return cut.encode("utf-8", "replace").decode()


class StreamRows:
    """Makes the rows of an application's open streams.

    Args:
        registry: the application's.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._epoch = time.time() - registry.clock()

    def first(self, order: Order, limit: int) -> dict[str, Row]:
        """Return the rows of the first streams in an order, by their ids."""
        slots = [slot for slot in self._registry.slots() if slot.stream is not None]
        rows = map(self._row, _first(slots, order, limit))
        return {row["id"]: row for row in rows}

    def _row(self, slot: Slot) -> Row:
        events, size, waiting = slot.counts()
        began = self._epoch + slot.began
        return {
            **_described(slot.described()),
            "began": round(began, 1),
            "events": events,
            "size": size,
            "waiting": waiting,
            "last": "" if slot.stream is None else shown(slot.stream.last_id()),
            "came": _came_with(slot),
        }


def _first(slots: list[Slot], order: Order, limit: int) -> Iterable[Slot]:
    if order == "newest":
        return islice(reversed(slots), limit)
    if order == "oldest":
        return slots[:limit]
    count = _BY_COUNT.index(order)
    return nlargest(limit, slots, key=lambda slot: slot.counts()[count])


def _came_with(slot: Slot) -> str:
    """Return the id that a client has come back with, or ``""``."""
    scope = slot.scope or {}
    headers, query = scope.get("headers", ()), scope.get("query_string", b"")
    return shown(last_event_id(headers, query))


def _described(stream: StreamInfo | None) -> Row:
    assert stream is not None  # noqa: S101 - an open stream can be described
    return {
        "id": stream.id,
        "method": shown(stream.method),
        "path": shown(stream.path),
        "route": shown(stream.route or ""),
        "client": shown(stream.client or ""),
    }


def close_row(close: RecentClose) -> Row:
    """Return the row of a stream that has ended."""
    return {
        **_described(close.stream),
        "number": close.number,
        "at": round(close.at, 1),
        "reason": close.reason.value,
        "events": close.events,
        "size": close.size,
        "seconds": round(close.seconds, 3),
        "error": shown(close.error or ""),
    }


def topic_rows(topics: Iterable[TopicOverview]) -> dict[str, Row]:
    """Return the rows of topics, by their names."""
    return {topic.name: {**asdict(topic), "name": shown(topic.name)} for topic in topics}


def run_rows(runs: Iterable[RunOverview]) -> dict[str, Row]:
    """Return the rows of runs. A key may have had several."""
    return {f"{run.began} {run.key}": {**asdict(run), "key": shown(run.key)} for run in runs}
