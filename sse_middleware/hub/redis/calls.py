"""The scripts' arguments and replies, as the rest of the hub knows them."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from sse_middleware.hub.abc import (
    DAY,
    ONCE_SECONDS,
    Appended,
    Entry,
    Incarnation,
    Kept,
    Snapshot,
    State,
)
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.keys import Keys

DAY_MS = DAY // 1000


def append_keys(keys: Keys, topic: bytes, once: str | None) -> list[bytes]:
    """Return the keys of an append."""
    names = [keys.clock, keys.stream(topic), keys.last(topic)]
    if once is not None:
        names.append(keys.once(topic, once))
    return names


def append_arguments(keys: Keys, topic: bytes, keep: Keep) -> list[bytes]:
    """Return the other arguments of an append. The events follow them."""
    return [*adding_arguments(keys, topic, keep), b"%d" % (ONCE_SECONDS * 1000)]


def adding_arguments(keys: Keys, topic: bytes, keep: Keep) -> list[bytes]:
    """Return the arguments of all scripts that add events."""
    return [b"%d" % keep.count, *kept_ms(keep), keys.channel(topic)]


def kept_ms(keep: Keep) -> list[bytes]:
    """Return for how long a topic's events are kept, and its last clock, in milliseconds."""
    ms = max(1, int(keep.seconds * 1000))  # Redis refuses 0
    return [b"%d" % ms, b"%d" % max(DAY_MS, ms)]


def appended(reply: bytes) -> Appended:
    """Return what was appended. The clocks follow each other."""
    first, count, mark = map(int, reply.split())
    return Appended(list(range(first, first + count)), mark)


def read_keys(keys: Keys, topics: Sequence[str]) -> list[bytes]:
    """Return the keys of a read."""
    names = [keys.clock]
    for topic in topics:
        name = topic.encode()
        names += (keys.stream(name), keys.last(name))
    return names


def snapshot(topics: Sequence[str], reply: Sequence[Any]) -> Snapshot:
    """Return what was read."""
    clock, now, incarnations, *found = reply
    state = State(int(clock), int(now), _incarnations(incarnations))
    return Snapshot(state, dict(zip(topics, map(_kept, found), strict=True)))


def _incarnations(text: bytes) -> tuple[Incarnation, ...]:
    pairs = (one.split(b":") for one in text.split(b";") if one)
    return tuple(Incarnation(int(mark), int(start)) for mark, start in pairs)


def _kept(found: list[Any]) -> Kept:
    first_id, before, more, last, heads, joined = found
    first = None if first_id is None else Entry(int(first_id[:-2]), int(before), b"")
    return Kept(first, _entries(heads, joined), bool(more), None if last is None else int(last))


def _entries(heads: bytes, joined: bytes) -> tuple[Entry, ...]:
    """Return entries. Each head has an id ``clock-0``, the clock before, and the event's size."""
    numbers = list(map(int, heads.replace(b"-0", b"").split()))
    ends = list(accumulate(numbers[2::3]))
    blocks = map(joined.__getitem__, map(slice, [0, *ends], ends))
    return tuple(map(Entry, numbers[::3], numbers[1::3], blocks))
