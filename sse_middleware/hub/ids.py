"""Ids: a position in all topics of a hub, as text.

Rules of this file:
- An id has 15 characters of Crockford's base 32: 11 of the clock, 4 of the incarnation's mark.
- Ids of one incarnation sort as their clocks do.
- What isn't an id of a hub is no error, because a client sends it.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sse_middleware.hub.abc import MARK_BITS, Entry

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CLOCK_LENGTH = 11
_MARK_LENGTH = 4
_LENGTH = _CLOCK_LENGTH + _MARK_LENGTH

_LOW_BITS = 20
"""Bits of the clock that change within a second. The text of the others is kept."""


@dataclass(frozen=True, slots=True)
class Position:
    """A moment of a store."""

    clock: int
    """All up to this clock has been had."""
    mark: int
    """The mark of the store's incarnation."""


def format_position(position: Position) -> str:
    """Return the id of a position."""
    mark = _digits(position.mark, _MARK_LENGTH)
    return _digits(position.clock, _CLOCK_LENGTH) + mark


def parse_position(text: str) -> Position | None:
    """Return the position of an id, ``None`` if it isn't one of a hub."""
    if len(text) != _LENGTH or not set(text).issubset(_DIGITS):
        return None
    number = 0
    for digit in text:
        number = number << 5 | _DIGITS.index(digit)
    return Position(number >> MARK_BITS, number & (1 << MARK_BITS) - 1)


class IdFormat:
    """Makes the ids of one incarnation, quickly.

    Args:
        mark: the incarnation's.
    """

    __slots__ = ("_ends", "_high", "_high_text", "_mark_text", "_pairs", "mark")

    def __init__(self, mark: int) -> None:
        self.mark = mark
        self._mark_text = _digits(mark, _MARK_LENGTH)
        self._pairs = [first + second for first in _DIGITS for second in _DIGITS]
        self._ends: list[bytes] = []
        self._high = -1
        self._high_text = ""

    def of(self, clock: int) -> str:
        """Return the id of a clock."""
        high = clock >> _LOW_BITS
        if high != self._high:
            self._high = high
            self._high_text = _digits(high, _CLOCK_LENGTH - _LOW_BITS // 5)
        pairs = self._pairs
        low = pairs[clock >> 10 & 1023] + pairs[clock & 1023]
        return f"{self._high_text}{low}{self._mark_text}"

    def block(self, clock: int) -> bytes:
        """Return a block that moves a client's position and dispatches nothing."""
        return b"id: %b\n\n" % self.of(clock).encode()

    def with_id(self, clock: int, block: bytes) -> bytes:
        """Return an event with its id, in one block."""
        return f"id: {self.of(clock)}\n".encode() + block

    def with_ids(self, entries: Iterable[Entry]) -> list[bytes]:
        """Return events with their ids. That takes half as long as one by one."""
        join, ends = b"".join, self._ends
        if not ends:
            ends += [f"{pair}{self._mark_text}\n".encode() for pair in self._pairs]
        blocks, known, begin = [], -1, b""
        for entry in entries:
            clock = entry.clock
            if clock >> 10 != known:
                known = clock >> 10
                begin = f"id: {self.of(clock)[: _CLOCK_LENGTH - 2]}".encode()
            blocks.append(join((begin, ends[clock & 1023], entry.block)))
        return blocks


def _digits(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in range(length - 1, -1, -1))
