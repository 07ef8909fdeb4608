"""Whether what one subscriber was sent keeps the hub's promise.

The promise: each event exactly once and in order. Where the hub can't keep it, it tells a gap of
that topic, before the first event after it. It tells no other gaps.

Rules of this file:
- It knows nothing of connections: a record goes on over all of a client's connections.
- The ledger has what was published. An event has a number there. Its id has the clock at which the
  store took it, and the mark of the life in which it did.
- An event without an id in the ledger may be published or not. It comes once or never.
- A store that begins a new life may have lost what it had acknowledged. The history of a life has
  what it took itself, and what the lives before it took until it began. A subscriber changes to
  another life only with a gap, ``lost`` or ``reset``, and goes on from the position of that gap.
  After ``lost``, nothing of the new history may be missing.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from sse_middleware.hub.ids import Position, parse_position

BEGUN_ANEW = ("lost", "reset")
"""Reasons of gaps that are told when a store has begun anew."""


@dataclass(slots=True)
class Published:
    """An event of the ledger."""

    topic: str
    begun: float
    """The moment when it was first published, in seconds of the machine's clock."""
    id: str = ""
    """What the hub answered, ``""`` if nobody knows whether it is published."""
    told: float = inf
    """The moment of that answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An event that was read."""

    number: int
    id: str
    moment: float
    """When it was read."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A gap that was told."""

    topics: tuple[str, ...]
    reason: str
    id: str


@dataclass(frozen=True, slots=True)
class Record:
    """All that a subscriber was sent."""

    topics: Sequence[str]
    begin: str
    """The first id that it had. It was before the first event."""
    events: Sequence[Seen | Gap]


class Ledger:
    """What was published.

    Args:
        events: by number.
        kept: how many events of a topic the hub keeps at least.
        lives: of the store, as it knows them in the end: mark and first clock. Each one continues
            the one before. Lives that it doesn't know have nothing of others.
    """

    def __init__(
        self, events: Sequence[Published], kept: int, lives: Sequence[tuple[int, int]] = ()
    ) -> None:
        self.events = events
        self.kept = kept
        self.lives = lives
        self._positions: dict[str, Position] = {}
        self._begun: dict[str, list[float]] = {}
        for event in sorted(events, key=lambda event: event.begun):
            self._begun.setdefault(event.topic, []).append(event.begun)
        marks = {self.position(event.id).mark for event in events if event.id}
        self._histories = {mark: _History(self, mark) for mark in marks.union(dict(lives))}

    @property
    def is_lossy(self) -> bool:
        """Whether the store has had several lives."""
        return len(self._histories) > 1

    def position(self, id: str) -> Position:
        """Return what an id means."""
        found = self._positions.get(id)
        if found is None:
            parsed = parse_position(id)
            assert parsed is not None, id
            found = self._positions[id] = parsed
        return found

    def history(self, mark: int) -> "_History":
        """Return what a life has."""
        history = self._histories.get(mark)
        if history is None:  # nothing was published in it
            history = self._histories[mark] = _History(self, mark)
        return history

    def end(self, mark: int, later: int) -> float:
        """Return up to which clock a life has what another life took."""
        if mark == later:
            return inf
        marks = [life for life, _ in self.lives]
        if mark not in marks or later not in marks or marks.index(mark) > marks.index(later):
            return -inf
        begin, end = marks.index(mark) + 1, marks.index(later) + 1
        return min(start for _, start in self.lives[begin:end])

    def was_kept(self, topic: str, place: int, moment: float) -> bool:
        """Whether the hub must still have had an event of a topic at a moment."""
        newest = bisect_right(self._begun[topic], moment)
        return newest - place - 1 < self.kept

    def last(self) -> Mapping[str, int]:
        """Return the number of each topic's last event."""
        return {event.topic: number for number, event in enumerate(self.events)}

    def lost(self) -> list[int]:
        """Return the numbers of events that were acknowledged, and are not in the last life."""
        if not self.lives:
            return []
        places = self.history(self.lives[-1][0]).places
        return [n for n, event in enumerate(self.events) if event.id and n not in places]

    def violations(self) -> Iterator[str]:
        """Return each event whose id is not above those of events that were told before it."""
        known = [(self.position(event.id), event) for event in self.events if event.id]
        known.sort(key=lambda one: (one[0].mark, one[0].clock))
        begun = 0.0
        for (before, earlier), (position, event) in pairwise(known):
            same = before.mark == position.mark
            begun = max(begun, earlier.begun) if same else 0.0
            if before == position:
                yield f"two events have the id {event.id}"
            if event.told < begun:
                yield f"{event.id} was told before an event with a lower id was published"


class _History:
    """What one life of a store has."""

    def __init__(self, ledger: Ledger, mark: int) -> None:
        self.places: dict[int, int] = {}
        """By number: the place in its topic."""
        self.clocks: dict[str, list[int]] = {}
        """By topic."""
        taken = []
        for number, event in enumerate(ledger.events):
            if event.id:
                position = ledger.position(event.id)
                if position.clock <= ledger.end(position.mark, mark):
                    taken.append((position.clock, number, event.topic))
        for clock, number, topic in sorted(taken):
            clocks = self.clocks.setdefault(topic, [])
            self.places[number] = len(clocks)
            clocks.append(clock)

    def place_after(self, topic: str, clock: int) -> int:
        """Return the place of a topic's next event after a clock."""
        return bisect_right(self.clocks.get(topic, ()), clock)


def violations(record: Record, ledger: Ledger) -> Iterator[str]:
    """Return each way in which a record breaks the promise."""
    check = _Check(record, ledger)
    for one in record.events:
        yield from check.gap(one) if isinstance(one, Gap) else check.seen(one)
    yield from check.end()


class _Check:
    """Goes through a record."""

    def __init__(self, record: Record, ledger: Ledger) -> None:
        self._ledger = ledger
        self._topics = record.topics
        self._had = dict[int, Position]()
        self._told = dict[str, str]()  # by topic: the reason of a gap with no event since
        self._move(ledger.position(record.begin))

    def _move(self, position: Position) -> None:
        """Go on from a position. What lies after it comes, also if it had come before."""
        self._position = position
        self._history = history = self._ledger.history(position.mark)
        self._due = {topic: history.place_after(topic, position.clock) for topic in self._topics}
        events = self._ledger.events
        self._had = {
            number: at
            for number, at in self._had.items()
            if at.clock <= position.clock or (events[number].id and number not in history.places)
        }

    def gap(self, one: Gap) -> Iterator[str]:
        foreign = [topic for topic in one.topics if topic not in self._topics]
        yield from (f"{topic} is no topic of this subscriber" for topic in foreign)
        position = self._ledger.position(one.id)
        same = position.mark == self._position.mark
        if one.reason in BEGUN_ANEW:
            if same:
                yield f"a gap {one.reason} at {one.id}, but the store has not begun anew"
            self._move(position)
            self._told.clear()
        elif not same or position.clock < self._position.clock:
            yield f"a gap at {one.id}: out of order"
        if one.reason != "lost":
            self._told.update(dict.fromkeys(one.topics, one.reason))

    def seen(self, one: Seen) -> Iterator[str]:
        event, position = self._ledger.events[one.number], self._ledger.position(one.id)
        if one.number in self._had:
            yield f"{one.id} comes twice"
        if event.topic not in self._topics:
            yield f"{event.topic} is no topic of this subscriber"
            return
        if position.mark != self._position.mark:
            yield f"{one.id} comes without a gap, though the store has begun anew"
            self._move(position)
        elif position.clock <= self._position.clock:
            yield f"{one.id} is out of order"
        self._had[one.number] = self._position = position
        if event.id:
            yield from self._known(one, event)

    def _known(self, one: Seen, event: Published) -> Iterator[str]:
        """Look at an event of which the ledger knows the id."""
        if self._ledger.position(event.id).clock != self._position.clock:
            yield f"{one.id} was published as {event.id}"
        elif one.number not in self._history.places:
            yield f"{one.id} was lost, and comes all the same"
        else:
            yield from self._missing(one, event.topic)
            self._due[event.topic] = self._history.places[one.number] + 1

    def _missing(self, one: Seen, topic: str) -> Iterator[str]:
        """Compare what is missing before an event with what was told."""
        due, place = self._due[topic], self._history.places[one.number]
        told = self._told.pop(topic, "")
        if place > due and not told:
            yield f"{topic}: {place - due} events before {one.id} are missing without a gap"
        elif told == "expired" and place > due:
            if self._ledger.was_kept(topic, place - 1, one.moment):
                yield f"{topic}: the event before {one.id} is missing, but was kept"
        elif told == "expired" and not self._ledger.is_lossy:
            yield f"{topic}: a gap before {one.id}, where nothing is missing"

    def end(self) -> Iterator[str]:
        if not self._ledger.is_lossy:
            yield from (f"{topic}: a gap before nothing" for topic in sorted(self._told))
        last = self._ledger.last()
        for topic in self._topics:
            if topic in last and last[topic] not in self._had:
                yield f"{topic}: the end is missing"
