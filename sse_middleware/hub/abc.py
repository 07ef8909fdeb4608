"""What the hub asks of a store: its methods, and the values that they take and return.

Rules of this file:
- A store has one clock for all topics. Each event gets the next clock, in microseconds. It is at
  least the store's time, and always above the last clock.
- A store has one incarnation, or several. The first begins with the store. Another one begins
  whenever the store may have lost what it had acknowledged. Each has a mark, a random number. So
  the marks of two stores differ, and the mark of an incarnation that a store doesn't know is
  another store's.
- What a store sends to a listener comes in the order of the clock, each with the mark of the
  incarnation that sent it. A listener never heals: once its connection is broken, it is replaced.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend


@dataclass(frozen=True, slots=True)
class Entry:
    """An event in a topic."""

    clock: int
    """When it was published, in microseconds. No other event of the store has the same clock."""
    before: int
    """The clock of the topic's event before it, 0 if the store doesn't know of any."""
    block: bytes
    """The encoded event without an id. It ends with an empty line."""


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a store."""

    mark: int
    """A random number of `MARK_BITS` bits."""
    start: int
    """The store's clock when this life began."""


@dataclass(frozen=True, slots=True)
class State:
    """What a store is, at one moment."""

    clock: int
    """The clock of the last event of any topic."""
    now: int
    """The store's time, in microseconds."""
    incarnations: tuple[Incarnation, ...]
    """Its lives, the present one last."""

    @property
    def mark(self) -> int:
        """The mark of the present incarnation."""
        return self.incarnations[-1].mark


@dataclass(frozen=True, slots=True)
class Kept:
    """What a store has of one topic."""

    first: Entry | None
    """The oldest event that is kept, without its block. ``None`` if nothing is kept."""
    entries: tuple[Entry, ...]
    """The events that were asked for, in order."""
    more: bool
    """Whether there are more after them."""
    last: int | None
    """The clock of the topic's last event, kept or not. Known for `DAY` at least."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The answer to a read. All of it is of the same moment."""

    state: State
    topics: Mapping[str, Kept]


@dataclass(frozen=True, slots=True)
class Appended:
    """Events that were appended."""

    clocks: list[int]
    mark: int
    """The mark of the incarnation that has them. The hub may not know it yet."""


DAY = 24 * 60 * 60 * 1_000_000
"""Microseconds for which a store knows the last clock of a topic."""

MARK_BITS = 20
"""Bits of the mark of an incarnation."""

OnEvent = Callable[[str, Entry, int], object]
"""Called with an event's topic, the event, and the mark of the store's incarnation."""

OnTick = Callable[[int, int], object]
"""Called with the store's clock, and the mark of its incarnation."""


class Listener(Protocol):
    """One listening connection to a store. After `close` it calls nothing."""

    async def add(self, topics: Sequence[str]) -> None:
        """Listen to these topics. All that is published after the return is heard."""

    def remove(self, topics: Sequence[str]) -> None:
        """Listen to these topics no more, from now on or a little later."""

    async def tick(self) -> None:
        """Have the store send its clock to this listener.

        The request goes to where events are appended. So a tick that comes back proves that both
        connections lead to the same server.
        """

    def close(self) -> None:
        """Close the connection."""


class Store(Protocol):
    """Keeps the events of topics. Any method may raise any exception if the store is away."""

    async def append(
        self,
        topic: str,
        events: Sequence[bytes],
        keep: Keep,
        *,
        once: str | None = None,
        run: RunAppend | None = None,
    ) -> Appended:
        """Number events, keep them and announce them: all of them or none, with nothing between.

        Args:
            topic: its name.
            events: encoded, without ids.
            keep: how many to keep, and for how long.
            once: if the topic had an append with this text within `ONCE_SECONDS`, nothing is
                appended.
            run: what else belongs to an append to the topic's run. Then there is no `once`.

        Returns:
            Their clocks, or the clocks of the append that came first with `once`. None if the run
            had this append before. In any case, the mark of the incarnation that has them now.

        Raises:
            FencedError: the run may not be appended to.
        """

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        """Return what is kept of some topics.

        Args:
            topics: their names. There may be none.
            after: the clock after which events are wanted.
            limit: how many events of each topic are wanted. 0 asks for none.
        """

    def listen(
        self, on_event: OnEvent, on_tick: OnTick, on_broken: Callable[[], object]
    ) -> Listener:
        """Return a new listener. The functions are called in the event loop, and never raise."""

    async def begin_run(self, topic: str, new: NewRun) -> Run:
        """Begin a run of a topic, unless there is one.

        The topic loses what it has kept, and gets an entry with its `start_marker`, in one step.

        Args:
            topic: its name.
            new: what it begins with. A run that has its token is returned as it is, also with
                ``restart``.

        Returns:
            The topic's run. It has the new one's token if that has begun.
        """

    async def find_run(self, topic: str, *, watched: bool = False) -> Run | None:
        """Return the run of a topic.

        Args:
            topic: its name.
            watched: whether to note that somebody watches it.
        """

    async def renew_run(self, topic: str, token: str, keep: Keep, seconds: float) -> Run | None:
        """Make the lease of a run last for some seconds, if the token holds it.

        Then the topic keeps what it has from now on, too. Returns the run of the topic.
        """

    async def stop_run(self, topic: str) -> Run | None:
        """Note that the run of a topic is to stop, if it runs. Returns the run."""

    async def aclose(self) -> None:
        """Close what the store has open. Nothing is called after it."""


ONCE_SECONDS = 60
"""How long an append with ``once`` is remembered, from when it was made."""
