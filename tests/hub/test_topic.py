"""What a worker knows of a topic."""

from collections.abc import Sequence

import pytest

from sse_middleware.hub import topic as module
from sse_middleware.hub.abc import Entry, Incarnation, Kept, State
from sse_middleware.hub.topic import NEVER, Topic


def entry(clock: int, before: int = 0) -> Entry:
    return Entry(clock, before, b"%d" % clock)


def kept(*entries: Entry, last: int | None = None, more: bool = False) -> Kept:
    return Kept(entries[0] if entries else None, entries, more, last)


def state(clock: int) -> State:
    return State(clock, clock, (Incarnation(1, 0),))


def new_topic() -> Topic:
    return Topic("a", lambda _, block: block)


def clocks(topic: Topic) -> Sequence[int]:
    return [clock for clock, _ in topic.ring.after_clock(0)]


def synced(*entries: Entry, clock: int = 10) -> Topic:
    topic = new_topic()
    topic.to_fill = True
    assert topic.apply(kept(*entries, last=5), state(clock), fill=True)
    return topic


def test_it_is_complete_up_to_its_read_or_the_watermark() -> None:
    topic = new_topic()
    assert topic.complete(99) == NEVER
    topic = synced(entry(5, 3))
    assert topic.whole
    assert topic.ring.floor == 3
    assert [topic.complete(watermark) for watermark in (8, 10, 12)] == [10, 10, 12]
    topic.lose(12)
    assert topic.complete(99) == 12


def test_what_is_announced_twice_is_dropped() -> None:
    topic = synced(entry(5))
    assert topic.receive(entry(5), 10)
    assert topic.receive(entry(11, 5), 10)
    assert topic.receive(entry(11, 5), 11)
    assert clocks(topic) == [5, 11]


def test_a_hole_is_read() -> None:
    topic = synced(entry(5))
    assert not topic.receive(entry(12, 11), 10)
    assert not topic.synced
    assert topic.complete(12) == 10
    found = kept(entry(5), entry(11, 5), entry(12, 11), last=12)
    assert topic.apply(found, state(12), fill=False)
    assert clocks(topic) == [5, 11, 12]
    assert topic.whole


def test_what_was_announced_before_the_read_comes_after_it() -> None:
    topic = new_topic()
    for early in (entry(9), entry(11, 9), entry(12, 11)):
        assert not topic.receive(early, 0)
    assert topic.apply(kept(entry(9), last=9), state(10), fill=True)
    assert clocks(topic) == [9, 11, 12]
    assert topic.complete(0) == 12


def test_a_hole_before_the_read_is_found_too() -> None:
    topic = new_topic()
    for early in (entry(11, 9), entry(13, 12)):
        topic.receive(early, 0)
    assert not topic.apply(kept(entry(9), last=9), state(10), fill=True)
    assert topic.complete(99) == 11


def test_what_waits_for_the_read_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RING_BYTES", 5)
    topic = new_topic()
    for clock in range(11, 16):
        topic.receive(entry(clock, clock - 1), 0)
    assert not topic.apply(kept(entry(9), last=9), state(10), fill=True), "some must be read again"
    assert topic.apply(kept(*map(entry, range(11, 16))), state(15), fill=False)
    assert topic.ring.last == 15


def test_all_that_is_kept_comes_before_what_was_announced() -> None:
    topic = new_topic()
    assert topic.apply(kept(last=5, more=True), state(10), fill=False)
    assert (topic.ring.floor, topic.whole, topic.filled) == (10, False, False)
    topic.receive(entry(11, 5), 10)
    topic.to_fill = True
    assert topic.apply(kept(entry(4, 2), entry(5, 4), last=5), state(10), fill=True)
    assert clocks(topic) == [4, 5, 11]
    assert (topic.ring.floor, topic.whole, topic.filled) == (2, True, True)


def test_too_much_for_a_ring_leaves_it_as_it_is() -> None:
    topic = synced(entry(5, 3))
    topic.to_fill = True
    assert topic.apply(kept(entry(1), more=True, last=12), state(12), fill=True)
    assert clocks(topic) == [5]
    assert topic.filled
    assert topic.complete(10) == 10, "what was published up to the read is still on its way"
    assert topic.receive(entry(12, 5), 10)
    assert clocks(topic) == [5, 12]


def test_what_has_expired_meanwhile_begins_the_ring_anew() -> None:
    topic = synced(entry(5, 3))
    topic.lose(10)
    assert topic.apply(kept(entry(20, 15), last=20), state(20), fill=False)
    assert (topic.ring.floor, clocks(topic), topic.whole) == (15, [20], True)


def test_another_incarnation_forgets_everything() -> None:
    topic = synced(entry(5, 3))
    topic.begin_anew(lambda _, block: block + b"!")
    assert (topic.base, topic.synced, topic.to_fill, clocks(topic)) == (NEVER, False, True, [])
    assert topic.apply(kept(entry(1), last=1), state(1), fill=True)
    assert list(topic.ring.after_clock(0)) == [(1, b"1!")]


def test_what_has_gone_again_while_all_was_read_is_no_hole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RING_BYTES", 4)
    topic = synced(entry(5, 3))
    for clock in range(11, 15):
        topic.receive(entry(clock, clock - 1), clock)
    topic.to_fill = True
    assert topic.apply(kept(entry(4, 3), entry(5, 4), last=5), state(10), fill=True)
    assert (topic.ring.floor, clocks(topic), topic.whole) == (12, [13, 14], False)
    assert topic.filled
