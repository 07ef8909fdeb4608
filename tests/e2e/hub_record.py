"""Whether what one subscriber has read keeps the hub's promise.

The promise: each event exactly once and in order. Where the hub has kept an event no longer, it
tells a gap of that topic, before the first event after it. It tells no other gaps.

Rules of this file:
- It knows nothing of connections: a record goes on over all of a client's connections.
- One publisher numbers the events, each topic's from 1 on, and all of them by their position. It
  awaits each publish before the next one.
- A store that was restarted may have lost what it had acknowledged. Then any gap may be told, but
  nothing may be missing without one.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that was read."""

    topic: str
    number: int
    position: int
    newest: int
    """The topic's newest number at that moment. The hub may have had fewer when it wrote."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap that was told."""

    topics: tuple[str, ...]


Record = Sequence[Seen | Gap]


def violations(
    record: Record, last: Mapping[str, int], kept: int, *, lossy: bool = False
) -> Iterator[str]:
    """Return each way in which a record breaks the promise.

    Args:
        record: all that a subscriber has read, from before the first event until after the last.
        last: the number of the last event of each of its topics.
        kept: how many events of a topic the hub keeps at least.
        lossy: whether the store may have lost some of them.
    """
    had: Counter[str] = Counter()  # the highest number of each topic
    told: set[str] = set()  # topics with a gap and no event since
    position = -1
    for one in record:
        if isinstance(one, Gap):
            yield from _unknown(one.topics, last)
            told.update(one.topics)
            continue
        yield from _unknown([one.topic], last)
        yield from _order(one, position, had[one.topic])
        faults = _gap(one, had[one.topic], told=one.topic in told, kept=kept, lossy=lossy)
        yield from faults
        told.discard(one.topic)
        had[one.topic] = max(had[one.topic], one.number)
        position = max(position, one.position)
    if not lossy:
        yield from (f"a gap of {topic} before nothing" for topic in sorted(told))
    for topic, number in last.items():
        if had[topic] < number:
            yield f"the end of {topic} is missing: {had[topic] + 1} to {number}"


def _unknown(topics: Sequence[str], last: Mapping[str, int]) -> Iterator[str]:
    yield from (f"{topic} is no topic of this subscriber" for topic in topics if topic not in last)


def _order(one: Seen, position: int, had: int) -> Iterator[str]:
    if one.number <= had:
        yield f"{one.topic} {one.number} after {had}: twice, or out of order"
    elif one.position <= position:
        yield f"{one.topic} {one.number} out of order: {one.position} after {position}"


def _gap(one: Seen, had: int, *, told: bool, kept: int, lossy: bool) -> Iterator[str]:
    gone = one.newest - kept  # the highest number that the hub had perhaps dropped
    if one.number > had + 1 and not told:
        yield f"{one.topic} {had + 1} to {one.number - 1} are missing without a gap"
    elif lossy:
        return
    elif one.number > had + 1 and one.number - 1 > gone:
        yield f"{one.topic} {max(had, gone) + 1} to {one.number - 1} are missing, but were kept"
    elif one.number == had + 1 and told:
        yield f"a gap before {one.topic} {one.number}, where nothing is missing"
