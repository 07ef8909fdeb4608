"""A client that comes back with its id, and checks what it gets."""

import asyncio
import json
from collections import deque
from collections.abc import Collection
from typing import Protocol

from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import parse_position
from sse_middleware.hub.subscription import Subscription
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.hub.simulation.store import Link


class Violation(AssertionError):  # noqa: N818 - it reads as what it is
    """A client did not get what it is owed."""


class Truth(Protocol):
    """The world, as its clients see it."""

    limit: int
    loop: asyncio.AbstractEventLoop
    truth: dict[str, list[int]]

    def gone(self, client: "Client") -> dict[str, set[int]]:
        """Return what a client's store does not have any more."""

    def check_reason(
        self, client: "Client", reason: str, topics: Collection[str], before: str, after: str
    ) -> None:
        """Raise `Violation` for a gap where nothing was lost."""


class Client:
    """Subscribes, comes back with its id, and checks what it gets."""

    def __init__(self, world: Truth, topics: tuple[str, ...]) -> None:
        self.world = world
        self.topics = topics
        self.subscription: Subscription | None = None
        self.task: asyncio.Task[None] | None = None
        self.opened = self.paused = self.owed = False
        self.wire = b""
        self.decoder = EventStreamDecoder()
        self.seen = set[int]()
        self.clock = 0
        """The clock of what came last, since the last gap."""
        self.checked = dict.fromkeys(topics, 0)
        """How many of a topic's payloads it is not owed any more."""
        self.gaps = set[str]()
        """Topics with a gap since their last payload."""
        self.excused = set[int]()
        """Payloads that were gone when a gap was told."""
        self.gone: deque[dict[str, set[int]]] = deque()
        """What was gone when each gap on the wire was told."""
        self.link: Link | None = None
        self.gap_count = 0

    @property
    def last_id(self) -> str:
        return self.decoder.last_event_id

    def connect(self, hub: Hub, link: Link) -> None:
        self.disconnect()
        self.link = link
        self.decoder = EventStreamDecoder(last_event_id=self.last_id)
        self.subscription = subscription = hub.subscribe(*self.topics)
        subscription.resume(self.last_id)
        self.task = self.world.loop.create_task(self._run(subscription))

    async def _run(self, subscription: Subscription) -> None:
        await subscription.open(self.on_wake)
        self.opened = True
        if not self.owed:
            self.checked = {topic: len(self.world.truth[topic]) for topic in self.topics}
        self.wire += subscription.position_frame()
        self.on_wake()

    def on_wake(self) -> None:
        if not self.paused:
            self.pull(1)  # one is enough: it is woken again if there is more

    def pull(self, times: int = 1000) -> None:
        if self.opened and self.subscription is not None:
            while times and (taken := self.subscription.take(self.world.limit)):
                times -= 1
                self.wire += taken
                self.gone.extend(self.world.gone(self) for _ in range(taken.count(b"event: gap")))

    def keep_alive(self) -> None:
        if self.opened and self.subscription is not None:
            self.wire += self.subscription.position_frame()

    def was_behind(self) -> bool:
        subscription = self.subscription
        return subscription is not None and bool(
            subscription._flight or subscription._page or subscription._behind()
        )

    def disconnect(self, part: float = 1.0) -> None:
        """Lose the connection, when a part of what is on the wire has come."""
        if self.subscription is not None and self.task is not None:
            wire, self.wire = self.wire, b""
            self.feed(wire[: int(len(wire) * part)])
            self.owed = self.owed or bool(self.last_id)
            self.gone.clear()
            self.task.cancel()
            self.subscription.close()
            self.subscription = self.task = None
            self.opened = False

    def deliver(self) -> None:
        """Get all that is on the wire."""
        wire, self.wire = self.wire, b""
        self.feed(wire)
        self.owed = self.owed or self.opened

    def feed(self, wire: bytes) -> None:
        before = self.last_id
        for block in wire.split(b"\n\n"):
            whole = block + b"\n\n" if wire.startswith(block + b"\n\n") else block
            wire = wire[len(whole) :]
            for event in self.decoder.feed(whole):
                assert isinstance(event, MessageEvent)
                if event.type == "gap":
                    self.check_gap(event, before)
                else:
                    self.check_event(event)
            self.check_id(before)
            before = self.last_id

    def check_id(self, before: str) -> None:
        old, new = parse_position(before), parse_position(self.last_id)
        if old and new and old.mark == new.mark and new.clock < old.clock and not self.gaps:
            raise Violation(f"the position fell from {old} to {new}")

    def check_gap(self, event: MessageEvent, before: str) -> None:
        told = json.loads(event.data)
        self.gap_count += 1
        topics, reason = set(told["topics"]), told["reason"]
        if not topics <= set(self.topics):
            raise Violation(f"a gap of other topics: {topics}")
        self.world.check_reason(self, reason, topics, before, event.last_event_id)
        self.gaps |= topics
        gone = self.gone.popleft()
        self.excused.update(*(gone[topic] for topic in topics))
        self.clock = 0
        if reason == "reset":
            self.seen.clear()

    def check_event(self, event: MessageEvent) -> None:
        topic, number = json.loads(event.data)
        position = parse_position(event.last_event_id)
        if topic not in self.topics:
            raise Violation(f"an event of another topic: {topic}")
        if number in self.seen:
            raise Violation(f"{topic} {number} came twice")
        if position is None:
            raise Violation(f"{topic} {number} has no id")
        if position.clock <= self.clock:
            raise Violation(f"{topic} {number} has the clock {position.clock} after {self.clock}")
        self.clock = position.clock
        self.seen.add(number)
        truth = self.world.truth[topic]
        if number in truth:
            at = truth.index(number)
            had = self.seen | self.excused
            missed = [one for one in truth[self.checked[topic] : at] if one not in had]
            if missed:
                raise Violation(f"{topic} {number} came, and {missed} did not")
            self.checked[topic] = max(self.checked[topic], at + 1)
            self.gaps.discard(topic)
