"""A server of a store: what it has, and what it would have after a crash."""

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from sse_middleware.hub.abc import MARK_BITS, Entry, Incarnation, Kept, Snapshot, State
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import FencedError, NewRun, Run, RunAppend, StoredRun, start_marker

BEGIN = 10**15
"""The store's clock when the world begins."""


class Hearing(Protocol):
    """A listener, as its server sees it."""

    topics: set[str]

    def send(self, message: Any) -> None:
        """Bring a message."""

    def cut(self) -> None:
        """Break the connection."""


class Surroundings(Protocol):
    """The world, as its store sees it."""

    random: random.Random

    def time(self) -> float:
        """Return the seconds of its clock."""

    def note(self, server: "Server", topic: str, block: bytes) -> None:
        """Note what a server has acknowledged."""


@dataclass(slots=True)
class Contents:
    """What a server has. A crash may lose the newest of it."""

    clock: int = BEGIN
    topics: dict[str, list[Entry]] = field(default_factory=dict)
    expires: dict[str, int] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    runs: dict[str, StoredRun] = field(default_factory=dict)

    def copy(self) -> "Contents":
        return Contents(
            self.clock,
            {topic: list(entries) for topic, entries in self.topics.items()},
            dict(self.expires),
            dict(self.last),
            {topic: replace(run) for topic, run in self.runs.items()},
        )

    def drop(self, topic: str) -> None:
        """Keep nothing of a topic but its last clock."""
        for kept in (self.topics, self.expires, self.runs):
            kept.pop(topic, None)


class Server:
    """One server of a store, and what it would have after a crash."""

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self.skew = 0
        self.incarnations = [Incarnation(new_mark(world), BEGIN)]
        self.contents = Contents()
        self.listeners: list[Hearing] = []
        self.saved: deque[Contents] = deque(maxlen=8)

    @property
    def clock(self) -> int:
        return self.contents.clock

    def now(self) -> int:
        return BEGIN + int((self.world.time() - 1000) * 1e6) + self.skew

    def save(self) -> None:
        self.saved.append(self.contents.copy())

    def lose(self, writes: int) -> None:
        """Forget what the last writes changed."""
        writes = min(writes, len(self.saved))
        if writes:
            self.contents = self.saved[-writes]
        self.saved.clear()

    def begin_anew(self) -> None:
        self.incarnations.append(Incarnation(new_mark(self.world), self.clock))
        del self.incarnations[:-6]

    def flush(self) -> None:
        """Be another store from now on."""
        self.contents = type(self.contents)(self.now())
        self.saved.clear()
        self.incarnations = [Incarnation(new_mark(self.world), self.clock)]

    def copy_of(self, other: "Server") -> None:
        """Have all that another server has."""
        self.skew = other.skew
        self.contents = other.contents.copy()
        self.saved = deque((one.copy() for one in other.saved), maxlen=8)
        self.incarnations = list(other.incarnations)

    def expire(self) -> None:
        contents, now = self.contents, self.now()
        for topic, expires in list(contents.expires.items()):
            if expires <= now:
                contents.drop(topic)
        for topic, last in list(contents.last.items()):
            if topic not in contents.topics and last <= now - 24 * 3600 * 10**6:
                del contents.last[topic]

    def append(
        self, topic: str, blocks: Sequence[bytes], keep: Keep, run: RunAppend | None = None
    ) -> list[int]:
        self.expire()
        stored = self.contents.runs.get(topic)
        if run is not None:
            if stored is None:
                raise FencedError("the run is gone")
            if not stored.takes(run, self.now()):
                return []
        self.save()
        clocks = self._append(topic, blocks, keep)
        if run is not None and stored is not None:
            stored.note(run, clocks[-1], self.now())
        return clocks

    def _append(self, topic: str, blocks: Sequence[bytes], keep: Keep) -> list[int]:
        contents, clocks = self.contents, []
        for block in blocks:
            contents.clock = max(self.now(), contents.clock + 1)
            entry = Entry(contents.clock, contents.last.get(topic, 0), block)
            contents.last[topic] = contents.clock
            contents.topics.setdefault(topic, []).append(entry)
            clocks.append(entry.clock)
            self.world.note(self, topic, block)
            for listener in tuple(self.listeners):
                if topic in listener.topics:
                    listener.send(("event", topic, entry, self.incarnations[-1].mark))
        if keep.count:
            del contents.topics[topic][: -keep.count]
            self._keep(topic, keep)
        else:
            contents.drop(topic)
        return clocks

    def _keep(self, topic: str, keep: Keep) -> None:
        self.contents.expires[topic] = self.now() + int(keep.seconds * 1e6)

    def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        self.expire()
        found = {}
        for topic in topics:
            entries = self.contents.topics.get(topic, [])
            new = [one for one in entries if one.clock > after]
            first = Entry(entries[0].clock, entries[0].before, b"") if entries else None
            last = self.contents.last.get(topic)
            found[topic] = Kept(first, tuple(new[:limit]), len(new) > limit, last)
        return Snapshot(State(self.clock, self.now(), tuple(self.incarnations)), found)

    def begin_run(self, topic: str, new: NewRun) -> Run:
        run = self.find_run(topic)
        if run is not None and self.contents.runs[topic].stays(new):
            return run
        self.save()
        self.contents.drop(topic)
        (start,) = self._append(topic, (start_marker(new.token),), new.keep)
        stored = StoredRun.begun(new, start, self.now())
        self.contents.runs[topic] = stored
        return stored.at(self.now())

    def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        self.expire()
        stored = self.contents.runs.get(topic)
        if stored is not None and watched:
            stored.watched = self.now()
        return None if stored is None else stored.at(self.now())

    def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        if self.find_run(topic) is None:
            return None
        self.save()
        if self.contents.runs[topic].renew(token, seconds, self.now()):
            self._keep(topic, keep)
        return self.find_run(topic)

    def stop_run(self, topic: str) -> Run | None:
        if self.find_run(topic) is None:
            return None
        self.save()
        self.contents.runs[topic].stop()
        return self.find_run(topic)


def new_mark(world: Surroundings) -> int:
    return world.random.randrange(1 << MARK_BITS)
