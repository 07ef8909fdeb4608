"""A server that checks what is written of runs, without asking the library's own rules."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import RUN_TOPIC, NewRun, Run, RunAppend, RunState, start_marker
from tests.hub.simulation.client import Violation
from tests.hub.simulation.server import Contents, Server, Surroundings


class Payload(NamedTuple):
    """An event of a run."""

    clock: int
    order: int
    """Of the run."""
    work: int
    """Which call of a factory made it."""
    number: int
    """How many events of the work came before."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A run, as its server has written it."""

    order: int
    """How many runs of all topics have begun before it."""
    token: str
    start: int
    until: int
    """When its lease is over."""
    limited: bool
    """Whether it may be stopped because nobody watches it."""
    work: int | None = None
    count: int = 0
    """Of its payloads."""
    end: RunState | None = None
    end_clock: int = 0
    dead: bool = False
    """Whether somebody was told that it doesn't run."""


@dataclass(slots=True)
class RunContents(Contents):
    """What a server has, and what it has had of the runs."""

    chapters: dict[str, Chapter] = field(default_factory=dict)
    """The present run of each topic."""
    payloads: dict[str, list[Payload]] = field(default_factory=dict)
    """Of each topic, also of its earlier runs."""
    dropped: set[Payload] = field(default_factory=set)
    """Those that were not kept at some time. Copies share it: a crash may bring back a run."""

    def copy(self) -> "RunContents":
        base = Contents.copy(self)
        payloads = {topic: list(events) for topic, events in self.payloads.items()}
        return RunContents(
            base.clock,
            base.topics,
            base.expires,
            base.last,
            base.runs,
            dict(self.chapters),
            payloads,
            self.dropped,
        )

    def drop(self, topic: str) -> None:
        Contents.drop(self, topic)
        self.chapters.pop(topic, None)
        self.dropped.update(self.payloads.get(topic, ()))


class RunServer(Server):
    """Raises `Violation` if something is written that must not be."""

    contents: RunContents

    def __init__(self, world: Surroundings) -> None:
        super().__init__(world)
        self.contents = RunContents()
        self.begun = dict[str, int]()
        """How many runs of each key have begun."""
        self.asked = dict[str, int]()
        """Tokens of the runs that somebody wanted to stop, and what `losses` was then."""
        self.ended = set[str]()
        """Tokens of the runs whose end was written, although it may be lost again."""
        self.losses = 0
        """How often it may have lost something."""
        self.starts = dict[str, list[tuple[int, int, str]]]()
        """Of each key: the clock before each run, from which its clients begin, order and token."""
        self._order = 0

    def lose(self, writes: int) -> None:
        super().lose(writes)
        self.losses += 1

    def flush(self) -> None:
        super().flush()
        self.losses += 1

    def chapter(self, key: str) -> Chapter | None:
        """Return the run of a key."""
        self.expire()
        return self.contents.chapters.get(RUN_TOPIC + key)

    def payloads(self, key: str) -> list[Payload]:
        """Return all events of a key's runs, in order."""
        return self.contents.payloads.get(RUN_TOPIC + key, [])

    def append(
        self, topic: str, blocks: Sequence[bytes], keep: Keep, run: RunAppend | None = None
    ) -> list[int]:
        clocks = super().append(topic, blocks, keep, run)
        if run is not None and clocks:
            self._note_append(topic, blocks, clocks, run)
        return clocks

    def _note_append(
        self, topic: str, blocks: Sequence[bytes], clocks: list[int], run: RunAppend
    ) -> None:
        chapter = self.contents.chapters[topic]
        if run.token != chapter.token:
            raise Violation("something of a producer came after another run had begun")
        if chapter.end is not None:
            raise Violation("something came after the end")
        aborts = blocks == (b"run: aborted\n\n",)
        if aborts != (chapter.until <= self.now()):
            raise Violation("aborted while it was held" if aborts else "the lease was over")
        if chapter.dead and not aborts:
            raise Violation("it was said not to run, and went on")
        for block, clock in zip(blocks, clocks, strict=True):
            chapter = self._noted(topic, chapter, block, clock)
        until = self.now() + int(run.seconds * 1e6)
        self.contents.chapters[topic] = replace(chapter, until=until)

    def _noted(self, topic: str, chapter: Chapter, block: bytes, clock: int) -> Chapter:
        """Return a chapter with one more event."""
        if chapter.end is not None:
            raise Violation("something came after the end")
        if block.startswith(b"run: "):
            state = RunState(block[5:-2].decode())
            if state is RunState.STOPPED and not (chapter.limited or chapter.token in self.asked):
                raise Violation("it was stopped, and nobody wanted that")
            self.ended.add(chapter.token)
            return replace(chapter, end=state, end_clock=clock)
        if block.startswith(b"event: "):  # it tells an error
            return chapter
        work, number = json.loads(block.partition(b"data: ")[2])
        if chapter.work not in (None, work):
            raise Violation("two producers wrote one run")
        if number != chapter.count:
            raise Violation(f"event {number} came where {chapter.count} was next")
        payload = Payload(clock, chapter.order, work, number)
        self.contents.payloads.setdefault(topic, []).append(payload)
        return replace(chapter, work=work, count=number + 1)

    def begin_run(self, topic: str, new: NewRun) -> Run:
        self.expire()
        before = self.contents.chapters.get(topic)
        run = super().begin_run(topic, new)
        marker = self.contents.topics[topic][0]
        if marker.block != start_marker(run.token):
            raise Violation("a run does not begin with its beginning")
        if before is None or before.start != run.start:
            key = topic.removeprefix(RUN_TOPIC)
            self.begun[key] = self.begun.get(key, 0) + 1
            self._order += 1
            self.starts.setdefault(key, []).append((marker.before, self._order, new.token))
            until = self.now() + int(new.seconds * 1e6)
            limited = new.unwatched_limit is not None
            chapter = Chapter(self._order, new.token, run.start, until, limited)
            self.contents.chapters[topic] = chapter
        return run

    def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        run = super().renew_run(topic, token, keep, seconds)
        chapter = self.contents.chapters.get(topic)
        if run is not None and chapter is not None and run.is_running and run.token == token:
            if chapter.until <= self.now():
                raise Violation("a lease was renewed that was over")
            until = self.now() + int(seconds * 1e6)
            self.contents.chapters[topic] = replace(chapter, until=until)
        return run

    def stop_run(self, topic: str) -> Run | None:
        run = super().stop_run(topic)
        chapter = self.contents.chapters.get(topic)
        if run is not None and chapter is not None:
            if run.is_running:
                self.asked[chapter.token] = self.losses
            else:
                self.contents.chapters[topic] = replace(chapter, dead=True)
        return run
