"""`Cursor`: one subscriber's position, and the gaps that it was told.

Rules of this file:
- The position has the mark of the incarnation under which gaps were last looked at.
- A gap of a topic is told once, until the topic's floor rises. Its event has the position as its
  id, so that a client which is cut off after it loses nothing.
- A subscriber that begins with all that is kept is told no gap for what was gone before.
- What is published after a gap is told lies above the position. The position never falls, unless
  the store has begun anew.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from sse_middleware.hub.abc import State
from sse_middleware.hub.gaps import GapReason, Verdict, is_expired, judge, later_starts
from sse_middleware.hub.ids import Position, format_position
from sse_middleware.hub.run import RUN_TOPIC
from sse_middleware.hub.wanted import Wanted
from sse_middleware.items.hints import GAP
from sse_middleware.wire.encoding import encode_event
from sse_middleware.wire.json_text import to_json

NOWHERE = Position(0, -1)
"""A position of no store."""


def id_of(position: Position | None) -> str:
    """Return the id of a position, ``""`` if it is none of a store."""
    return "" if position is None or position is NOWHERE else format_position(position)


def _nothing(_topics: list[str], _reason: str) -> None:
    """Do nothing: nobody wants to know."""


Floors = Mapping[str, int]
"""Of each topic, up to which clock events may be gone."""

_NONE: Floors = MappingProxyType({})


class Cursor:
    """A position that moves.

    Args:
        wanted: what the subscriber wants.
    """

    __slots__ = ("_told", "_wanted", "at", "before", "events", "on_gap", "sends_positions")

    def __init__(self, wanted: Wanted) -> None:
        self.at = wanted.after
        """``None`` for a subscriber that begins with all that is kept, and has not begun yet."""
        self.before: Position | None = None
        """Where it was before what was taken last."""
        self.events = 0
        """How many events were taken, gaps included."""
        self.sends_positions = True
        """Whether the client may get blocks that have only an id: some take each for an event."""
        self._wanted = wanted
        self._told: Floors = _NONE
        self.on_gap: Callable[[list[str], str], object] = _nothing
        """Called with the topics and the reason of each gap."""

    @property
    def clock(self) -> int:
        """The clock of the position."""
        return 0 if self.at is None else self.at.clock

    @property
    def mark(self) -> int | None:
        """The mark of the position, ``None`` without one."""
        return None if self.at is None else self.at.mark

    def move(self, clock: int) -> None:
        """Have all up to a clock."""
        at = self.at
        if at is not None and clock > at.clock:
            self.at = Position(clock, at.mark)

    def has_passed(self, clock: int, state: State) -> bool:
        """Whether it has moved on from a clock, past all that a store had at a moment.

        A position above the store's clock is a mistake only where it was there before the read.
        """
        return self.mark == state.mark and self.clock > max(clock, state.clock)

    def begin(self, clock: int, state: State) -> None:
        """Begin after a clock of a store, or where the server allows."""
        since = self._wanted.since
        if since is not None and later_starts(since.mark, state) is not None:
            clock = max(clock, min(since.clock, state.clock))
        self.at = Position(clock, state.mark)

    def block(self) -> bytes:
        """Return a block that moves the client's position, and dispatches nothing, or ``b""``."""
        if not self.sends_positions:
            return b""
        return b"id: %b\n\n" % format_position(self.at or NOWHERE).encode()

    def enter(self, state: State, floors: Floors) -> bytes:
        """Go on in what a store has now. Returns the gaps of that, or ``b""``.

        Args:
            state: what the store is.
            floors: of all topics if the position may be of another store.
        """
        verdict = Verdict(None, None) if self.at is None else judge(self.at, state)
        if verdict.clock is None:
            self.begin(min(floors.values()), state)
            self._told = floors
        else:
            self.begin(verdict.clock, state)
            if verdict.reason is not None:
                self._told = _NONE
        if verdict.reason is None:
            return b""
        return self.gap(self._wanted.names, verdict.reason)

    def is_behind(self, name: str, floor: int) -> bool:
        """Whether events of a topic may be gone that were not told to be."""
        return is_expired(floor, max(self.clock, self._told.get(name, 0)))

    def expire(self, floors: Floors) -> bytes:
        """Tell the gap of those topics of which events may be gone, or return ``b""``."""
        found = {name: floor for name, floor in floors.items() if self.is_behind(name, floor)}
        if not found:
            return b""
        self._told = {**self._told, **found}
        return self.gap(found, GapReason.EXPIRED)

    def gap(self, names: Iterable[str], reason: GapReason) -> bytes:
        """Return an event that tells a gap of topics."""
        self.events += 1
        topics = [name.removeprefix(RUN_TOPIC) for name in names]
        self.on_gap(topics, reason.value)
        data = to_json({"topics": topics, "reason": reason.value})
        return encode_event(data, event=GAP, id=format_position(self._position_of_gap(topics)))

    def _position_of_gap(self, _topics: list[str]) -> Position:
        return self.at or NOWHERE
