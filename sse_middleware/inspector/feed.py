"""The stream of the page: what there is, then each second what has changed.

Rules of this file:
- All that is counted is counted anyway. It is read here, once a second for each page that is open.
- Lists are bounded. Their rows are sent when they change, and their order when it changes.
- Looking takes at most a fiftieth of the time: with very many streams it happens less often.
"""

import os
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from time import perf_counter
from typing import Any

import anyio

from sse_middleware import __version__
from sse_middleware.events import ServerSentEvent
from sse_middleware.hub.overview import runs_of, topics_of
from sse_middleware.hub.running import RunningHub
from sse_middleware.inspector.actions import name_of_process
from sse_middleware.inspector.rows import (
    Order,
    Row,
    StreamRows,
    close_row,
    run_rows,
    topic_rows,
)
from sse_middleware.registry.counters import as_json
from sse_middleware.registry.registry import Registry

SHARE = 50
"""Looking takes at most this part of the time."""


class ListChanges:
    """What has changed in a list since the last time."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._total = -1

    def next(self, total: int, rows: dict[str, Row]) -> Row | None:
        """Return the changes, ``None`` if there are none.

        Args:
            total: how many rows there would be without a bound.
            rows: by their ids, in their order.
        """
        before, self._rows = self._rows, rows
        changed = {id_: row for id_, row in rows.items() if before.get(id_) != row}
        same_order = list(before) == list(rows)
        if same_order and not changed and total == self._total:
            return None
        self._total = total
        changes: Row = {"total": total, "rows": changed}
        return changes if same_order else {**changes, "order": list(rows)}


class Feed:
    """Tells one page what there is, and what changes.

    Args:
        registry: of the streams.
        find_hub: returns the hub, if there is one that is open.
        order: which streams come first.
        limit: how many rows a list has.
    """

    def __init__(
        self,
        registry: Registry,
        find_hub: Callable[[], RunningHub | None],
        order: Order,
        limit: int,
    ) -> None:
        self._registry = registry
        self._find_hub = find_hub
        self._order = order
        self._limit = limit
        self._streams = StreamRows(registry)
        self._closes = registry.keep_closes()
        self._closes_told = 0
        self._changes = {name: ListChanges() for name in ("streams", "topics", "runs")}

    async def events(
        self, actions: Sequence[str], path: str, interval: float, ended: anyio.Event
    ) -> AsyncIterator[ServerSentEvent]:
        """Yield what there is, then what changes, until the server stops.

        Args:
            actions: what the page may do.
            path: of this stream, as the application sees it.
            interval: seconds between two looks.
            ended: set when the server stops.
        """
        yield ServerSentEvent(event="hello", data=self._hello(actions, path))
        while not ended.is_set():
            began = perf_counter()
            changes = self.changes()
            pause = max(interval, (perf_counter() - began) * SHARE)
            yield ServerSentEvent(event="changes", data=changes)
            with anyio.move_on_after(pause):
                await ended.wait()

    def _hello(self, actions: Sequence[str], path: str) -> Row:
        return {
            "host": platform.node(),
            "process": os.getpid(),
            "name": name_of_process(self._registry),
            "path": path,
            "version": __version__,
            "began": self._registry.began,
            "closes_since": self._closes.since,
            "actions": list(actions),
            "order": self._order,
            "limit": self._limit,
        }

    def changes(self) -> Row:
        """Return what has changed."""
        changes: Row = {"at": time.time(), "totals": as_json(self._registry.stats())}
        streams = self._streams.first(self._order, self._limit)
        hub = self._find_hub()
        changes["hub"] = hub is not None
        self._add(changes, "streams", changes["totals"]["open"], streams)
        if hub is not None:
            count, topics = topics_of(hub, self._limit)
            self._add(changes, "topics", count, topic_rows(topics))
            count, runs = runs_of(hub, self._limit)
            self._add(changes, "runs", count, run_rows(runs))
        if closes := self._closes.after(self._closes_told):
            changes["closes"] = [close_row(close) for close in closes]
            self._closes_told = self._closes.count
        return changes

    def _add(self, changes: Row, name: str, total: int, rows: dict[str, Any]) -> None:
        """Add what has changed in a list, if anything has."""
        found = self._changes[name].next(total, rows)
        if found is not None:
            changes[name] = found
