"""`History`: what is kept of a topic, read without a stream."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.cursor import NOWHERE
from sse_middleware.hub.gaps import GapReason, Verdict, complete_of, floor_of, is_expired, judge
from sse_middleware.hub.ids import IdFormat, parse_position
from sse_middleware.hub.published_event import PublishedEvent, read_block

Read = Callable[[Sequence[str], int, int], Awaitable[Snapshot]]
"""Reads topics after a clock, and a number of events of each."""


@dataclass(frozen=True, slots=True)
class History:
    """What is kept of a topic.

    Attributes:
        events: in order.
        gap: why others before them may be missing, ``None`` if none are.
        position: the id after which the next call goes on.
    """

    events: tuple[PublishedEvent, ...]
    gap: GapReason | None
    position: str


async def read_history(read: Read, topic: str, after: str | None, limit: int) -> History:
    """Read what is kept of a topic after an id, ``None`` for all of it."""
    if after is None:
        return _history(topic, await read((topic,), 0, limit), None)
    position = parse_position(after) or NOWHERE
    snapshot = await read((topic,), position.clock, limit)
    verdict = judge(position, snapshot.state)
    if verdict.clock != position.clock:
        snapshot = await read((topic,), verdict.clock or 0, limit)
    return _history(topic, snapshot, _gap(topic, verdict, snapshot))


def _gap(topic: str, verdict: Verdict, snapshot: Snapshot) -> GapReason | None:
    if verdict.reason is None and verdict.clock is not None:
        floor = floor_of(snapshot.topics[topic], snapshot.state)
        return GapReason.EXPIRED if is_expired(floor, verdict.clock) else None
    return verdict.reason


def _history(topic: str, snapshot: Snapshot, gap: GapReason | None) -> History:
    kept, ids = snapshot.topics[topic], IdFormat(snapshot.state.mark)
    blocks = (ids.with_id(entry.clock, entry.block) for entry in kept.entries)
    events = tuple(read_block(topic, block) for block in blocks)
    return History(events, gap, ids.of(complete_of(kept, snapshot.state)))
