"""`Worker`: what one process has of a store: topics, the watermark, and what the store is.

Rules of this file:
- The watermark is the highest clock that came from the listener, with an event or a tick. All that
  was published up to it, to topics that are synced, has come.
- The top is the highest clock of the store that the worker has seen. A position above it may still
  be right: another worker may be ahead.
- A topic may be read when the store is ahead of the watermark. A subscriber of other topics can't
  take all of it yet. So the store is asked for its clock, which wakes these subscribers.
- What comes with another mark than the store's present one comes from another server. Then the
  listener is replaced.
- A new incarnation makes all rings empty. The rules of gaps say where each subscriber goes on.
- A topic stays for `LINGER` seconds after its last subscriber, so that clients which reconnect find
  its ring.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from sse_middleware.hub.abc import Entry, State, Store
from sse_middleware.hub.ids import IdFormat, Position
from sse_middleware.hub.pump import Pump, Woken
from sse_middleware.hub.recovery import Recovery
from sse_middleware.hub.topic import Topic

LINGER = 30.0
"""Seconds that a topic stays after its last subscriber."""


def nothing() -> None:
    """Do nothing: there is nobody to call."""


class Worker:
    """The hub's side of a store, in one event loop.

    Args:
        store: where events are.
        clock: of the event loop, in seconds.
        call_soon: has the event loop call a function.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], float],
        call_soon: Callable[[Callable[[], object]], object],
    ) -> None:
        self.store = store
        self.clock = clock
        self.pump = Pump(call_soon)
        self.recovery = Recovery()
        self.topics = dict[str, Topic]()
        self.idle = dict[Topic, float]()
        """Topics without subscribers, by when the last one left. The first one left first."""
        self.unsynced = dict[Topic, None]()
        """Topics that must be read."""
        self.ahead = dict[Topic, None]()
        """Topics with events that were read when the store was ahead of the watermark."""
        self.ids = IdFormat(0)
        """Makes the ids of the present incarnation."""
        self.state: State | None = None
        """What the store was when it was last read, ``None`` if it never was."""
        self.top = 0
        self.watermark = 0
        self.ticked = 0
        """How many ticks have come."""
        self.suspect = False
        """Whether the listener must be replaced."""
        self.closed = False
        """Whether nothing more is to be heard."""
        self.on_need: Callable[[], object] = nothing
        """Called when there is something to read, or the listener must be replaced."""
        self._now_offset = 0.0
        self._added: tuple[Topic, ...] = ()  # those of the latest subscriber
        self._begun: Position | None = None  # where the latest one has begun

    @property
    def mark(self) -> int:
        """The mark of the store's incarnation."""
        return self.ids.mark

    def add(self, names: Iterable[str], subscriber: Woken, *, to_fill: bool) -> tuple[Topic, ...]:
        """Add a subscriber of topics. Returns the topics."""
        topics = tuple(map(self._topic, names))
        if topics == self._added:  # many subscribers want the same
            topics = self._added
        self._added = topics
        for topic in topics:
            topic.subscribers[subscriber] = None
            self.idle.pop(topic, None)
            if to_fill and not (topic.filled or topic.whole):
                self.fill(topic)
        return topics

    def _topic(self, name: str) -> Topic:
        topic = self.topics.get(name)
        if topic is None:
            topic = self.topics[name] = Topic(name, self.ids.with_id)
            self.must_read(topic)
        return topic

    def remove(self, topics: Iterable[Topic], subscriber: Woken) -> None:
        """Remove a subscriber of topics. It may have been removed before."""
        for topic in topics:
            if subscriber in topic.subscribers:
                del topic.subscribers[subscriber]
                if not topic.subscribers:
                    self.idle[topic] = self.clock()

    def shared(self, position: Position | None) -> Position | None:
        """Return the position of the latest subscriber that has begun, if it is the same one."""
        if position != self._begun:
            self._begun = position
        return self._begun

    def forget_idle(self) -> list[str]:
        """Forget the topics that have been idle for long. Returns their names."""
        now = self.clock()  # the sum is the one to which the loop sleeps, so rounding does no harm
        forgotten = list(takewhile(lambda topic: self.idle[topic] + LINGER <= now, self.idle))
        for topic in forgotten:
            del self.idle[topic], self.topics[topic.name]
            self.unsynced.pop(topic, None)
            self.ahead.pop(topic, None)
            self._added = ()
        return [topic.name for topic in forgotten]

    def must_read(self, topic: Topic) -> None:
        """Have a topic read."""
        self.unsynced[topic] = None
        self.on_need()

    def fill(self, topic: Topic) -> None:
        """Have all that is kept of a topic read."""
        topic.to_fill = True
        self.must_read(topic)

    def on_event(self, name: str, entry: Entry, mark: int) -> None:
        """Take an event that the store has announced."""
        if mark != self.ids.mark:
            self.suspect_listener()
            return
        topic = self.topics.get(name)
        if topic is not None:
            if topic.receive(entry, self.watermark):
                self.pump.wake_all_of(topic)
            else:
                self.must_read(topic)
        self.on_clock(entry.clock)

    def on_tick(self, clock: int, mark: int) -> None:
        """Take the store's clock, which came on the listening connection."""
        if mark != self.ids.mark:
            self.suspect_listener()
            return
        self.ticked += 1
        self.on_clock(clock)

    def on_clock(self, clock: int) -> None:
        """Raise the watermark."""
        self.watermark = max(self.watermark, clock)
        self.top = max(self.top, clock)
        if self.ahead:
            for topic in [one for one in self.ahead if one.base <= clock]:
                del self.ahead[topic]
                self.pump.wake_all_of(topic)

    def suspect_listener(self) -> None:
        """Have the listener replaced."""
        self.suspect = True
        self.on_need()

    def lose_listener(self) -> None:
        """Know that nothing more is heard. All topics must be read again."""
        for topic in self.topics.values():
            topic.lose(self.watermark)
            topic.listener = None
            self.unsynced[topic] = None

    def note(self, state: State) -> None:
        """Look at what the store was when it was read. Another incarnation changes everything."""
        self.recovery.note()
        self._now_offset = state.now - self.clock() * 1e6
        if self.state is None:
            self._begin(state)
        elif state.mark != self.ids.mark:
            self._begin(state)
            self.suspect_listener()
        self.state = state
        self.top = max(self.top, state.clock)

    def _begin(self, state: State) -> None:
        """Begin with another incarnation of the store."""
        self.ids = IdFormat(state.mark)
        self.top = self.watermark = 0
        for topic in self.topics.values():
            topic.begin_anew(self.ids.with_id)
            self.unsynced[topic] = None
            self.pump.wake_all_of(topic)

    def time_of(self, seconds: float) -> int:
        """Return the store's time at a time of the event loop's clock. It is at least that."""
        return int(seconds * 1e6 + self._now_offset)

    def complete(self, topics: Sequence[Topic]) -> list[int]:
        """Return up to which clock each of some topics is complete."""
        watermark = self.watermark
        return [topic.complete(watermark) for topic in topics]
