"""Mistakes that a hub could make. Each is one small method of the real code, replaced.

A test that passes with one of these would not have noticed it.
"""

from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any

import pytest

from sse_middleware.hub import gaps, paging, subscription
from sse_middleware.hub.abc import Entry, State
from sse_middleware.hub.cursor import Cursor
from sse_middleware.hub.ids import IdFormat, Position
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub.topic import Topic

Patch = pytest.MonkeyPatch


def top_as_keep_alive(patch: Patch) -> None:
    """Claim the store's clock in a keep-alive, and not the subscriber's own."""
    patch.setattr(Subscription, "_claimed", lambda self: self._worker.top)


def highest_complete(patch: Patch) -> None:
    """Deliver up to where any topic is complete, and not all."""
    for module in (subscription, paging):
        patch.setattr(module, "lowest", max)


def first_page_only(patch: Patch) -> None:
    """Apply the rules of gaps to the first page only."""
    real, pages = Subscription._expired, dict[int, int]()

    def expired(self: Subscription, page: Any) -> bytes:
        first = pages.setdefault(id(self._cursor), id(page)) == id(page)
        return real(self, page) if first else b""

    patch.setattr(Subscription, "_expired", expired)


def floor_as_id(patch: Patch) -> None:
    """Give a gap the floor as its id, and not the position."""
    real = Cursor._position_of_gap

    def position_of_gap(self: Cursor, topics: list[str]) -> Position:
        position = real(self, topics)
        floors = [self._told.get(topic, 0) for topic in topics]
        return Position(max(position.clock, *floors), position.mark)

    patch.setattr(Cursor, "_position_of_gap", position_of_gap)


def hole_by_last_seen(patch: Patch) -> None:
    """See a hole wherever the event before is not the last one that was seen."""

    def is_hole(self: Topic, entry: Entry, watermark: int) -> bool:
        return entry.before != self.ring.last

    patch.setattr(Topic, "is_hole", is_hole)


def no_priming(patch: Patch) -> None:
    """Tell no position before the first event."""
    real = Subscription.position_frame

    def position_frame(self: Subscription) -> bytes:
        return real(self) if self.events else b""

    patch.setattr(Subscription, "position_frame", position_frame)


def no_incarnation(patch: Patch) -> None:
    """Take all lives of a store for one."""
    real = gaps.later_starts

    def later_starts(mark: int, state: State) -> Iterable[int] | None:
        return None if real(mark, state) is None else []

    patch.setattr(gaps, "later_starts", later_starts)


def id_in_later_block(patch: Patch) -> None:
    """Send the id in a block of its own, after the data."""

    def with_id(self: IdFormat, clock: int, block: bytes) -> bytes:
        return block + self.block(clock)

    def with_ids(self: IdFormat, entries: Iterable[Entry]) -> list[bytes]:
        return [with_id(self, entry.clock, entry.block) for entry in entries]

    patch.setattr(IdFormat, "with_id", with_id)
    patch.setattr(IdFormat, "with_ids", with_ids)


MUTATIONS: MappingProxyType[str, Callable[[Patch], None]] = MappingProxyType(
    {
        mutation.__name__: mutation
        for mutation in (
            top_as_keep_alive,
            highest_complete,
            first_page_only,
            floor_as_id,
            hole_by_last_seen,
            no_priming,
            no_incarnation,
            id_in_later_block,
        )
    }
)
