"""When events may be missing: pure functions of a position and of what a store has.

Rules of this file:
- The position is of another store: ``reset``, on from all that is kept.
- It is of an earlier incarnation: ``lost`` for all topics, on from the position or from the start
  of any later incarnation, whichever is lowest.
- It is above the store's clock: ``reset``, on from the clock.
- A topic's floor is the clock up to which the store has, or may have, forgotten its events. It is
  the clock of the event before the first one that is kept, or else the topic's last clock. If the
  store knows of no event before, there may have been one that is older than `DAY`.
- A topic whose floor is above the position: ``expired``. The position stays where it is.
- A topic is complete up to the store's clock, or up to the last event of a full page. Several
  topics are complete up to the lowest of these.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from sse_middleware.hub.abc import DAY, Kept, State
from sse_middleware.hub.ids import Position


class GapReason(StrEnum):
    """Why events may be missing."""

    EXPIRED = "expired"
    """They are no longer kept."""
    LOST = "lost"
    """The store began anew, and may have lost what it had acknowledged."""
    RESET = "reset"
    """The position is of another store."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a subscriber goes on."""

    clock: int | None
    """After which clock, ``None`` for all that is kept."""
    reason: GapReason | None
    """Why events of all topics may be missing, ``None`` if none are."""


def judge(position: Position, state: State) -> Verdict:
    """Say where a subscriber goes on in a store."""
    later = later_starts(position.mark, state)
    if later is None:
        return Verdict(None, GapReason.RESET)
    if later:
        return Verdict(min(position.clock, *later), GapReason.LOST)
    if position.clock > state.clock:
        return Verdict(state.clock, GapReason.RESET)
    return Verdict(position.clock, None)


def later_starts(mark: int, state: State) -> list[int] | None:
    """Return where the incarnations after a mark began, ``None`` if the mark is not the store's."""
    starts: list[int] = []
    for incarnation in reversed(state.incarnations):
        if incarnation.mark == mark:
            return starts
        starts.append(incarnation.start)
    return None


def floor_of(kept: Kept, state: State) -> int:
    """Return up to which clock events of a topic may be gone."""
    if kept.first is not None:
        return kept.first.before or max(0, kept.first.clock - DAY)
    if kept.last is not None:
        return kept.last
    return max(0, min(state.clock, state.now - DAY))


def is_expired(floor: int, position: int) -> bool:
    """Whether events of a topic after a position may be gone."""
    return floor > position


def complete_of(kept: Kept, state: State) -> int:
    """Return up to which clock a read of a topic is complete."""
    return kept.entries[-1].clock if kept.more and kept.entries else state.clock


def lowest(completes: Iterable[int]) -> int:
    """Return up to which clock several topics are complete."""
    return min(completes)
