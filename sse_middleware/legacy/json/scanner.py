"""`JSONScanner`: finds where a JSON value ends, in steps, so that it never holds the event loop.

Rules of this file:
- It accepts what Pydantic's parser accepts (RFC 8259, without NaN and Infinity): nesting up to
  `MAX_DEPTH`, and numbers whose integer part has up to 4300 digits. A test compares the two.
- The text may be cut anywhere. Each byte is looked at a few times at most, however the text is cut:
  the scanner keeps its place, also within a string or a number. Only an escape or a literal that is
  cut is read again, which is twelve bytes at most.
- A text that can't be JSON any more is broken for good.
- Values that nest little are skipped by one regular expression, in C (`grammar`).
"""

from collections.abc import Callable, Iterator
from sys import maxsize
from types import MappingProxyType

from pydantic_core import from_json

from sse_middleware.legacy.json.grammar import (
    BLANKS,
    CUT_ESCAPE,
    ELEMENT,
    ELEMENTS,
    LITERALS,
    MEMBERS,
    NUMBER,
    NUMBER_BYTES,
    REST_OF_STRING,
)

MAX_DEPTH = 201
"""Arrays and objects that may be open at once."""

SCAN_STEP = 4 * 1024
"""Bytes that are scanned between two pauses."""

_QUOTE, _COMMA, _COLON = b'",:'
_ARRAY, _OBJECT, _ARRAY_END, _OBJECT_END = b"[{]}"
_CLOSING = MappingProxyType({_ARRAY: _ARRAY_END, _OBJECT: _OBJECT_END})

Text = bytes | bytearray
State = Callable[["JSONScanner", Text, int], bool]
"""Takes one token that begins at `JSONScanner.at`. Returns whether it could do anything."""


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value and nothing else."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


class JSONScanner:
    """Scans one JSON value in a text that may still grow.

    Args:
        at: where the value begins, with or without blanks before it.
        alone: whether only blanks may follow the value. Otherwise the scanner stops at its end.
    """

    __slots__ = ("_begin", "_end", "_is_key", "_open", "_state", "at")

    def __init__(self, at: int = 0, *, alone: bool = True) -> None:
        self.at = at
        """How far it has scanned: up to the end, or up to the place where the text is broken."""
        self._end: State = JSONScanner._blanks if alone else JSONScanner._complete
        self._begin = at
        self._is_key = False
        self._open = bytearray()
        self._state: State = JSONScanner._value

    @property
    def complete(self) -> bool:
        """Whether the value has ended."""
        return self._state is self._end

    @property
    def broken(self) -> bool:
        """Whether the text can't be JSON, however it goes on."""
        return self._state is JSONScanner._broken

    def scan(self, text: Text, end: int) -> None:
        """Scan up to `end`. What was scanned before must not have changed."""
        while self.at < end and self._state(self, text, end):
            pass

    def finish(self, text: Text) -> None:
        """Let the end of the text end the value, which a number needs."""
        if self._state is JSONScanner._number:
            self._end_number(text)

    def steps(self, text: Text, end: int) -> Iterator[None]:
        """Scan up to `end`, or up to the end of the value, with a pause after each `SCAN_STEP`."""
        while True:
            limit = min(self.at + SCAN_STEP, end)
            self.scan(text, limit)
            if limit == end or self._state in (JSONScanner._complete, JSONScanner._broken):
                return
            yield

    def _value(self, text: Text, end: int) -> bool:
        """Expect a value. Skip what nests little: all of it in an array, else one value."""
        opened = self._open
        if opened and opened[-1] == _ARRAY:
            self.at = ELEMENTS.match(text, self.at, end).end()  # type: ignore[union-attr]
        if opened and (found := ELEMENT.match(text, self.at, end)):
            self.at = found.end()
            return self._end_value()
        return self._at_token(text, end) and self._begin_value(text, end)

    def _begin_value(self, text: Text, end: int) -> bool:
        byte = text[self.at]
        if byte == _QUOTE:
            return self._move(1, JSONScanner._string)
        if byte in _CLOSING:
            self._open.append(byte)
            if len(self._open) > MAX_DEPTH:
                return self._move(0, JSONScanner._broken)
            first = JSONScanner._first_value if byte == _ARRAY else JSONScanner._first_key
            return self._move(1, first)
        if byte in b"-0123456789":
            self._begin = self.at
            return self._move(0, JSONScanner._number)
        return self._literal(text, end)

    def _first_value(self, text: Text, end: int) -> bool:
        """Expect the first value of an array, or its end."""
        if not self._at_token(text, end):
            return False
        return self._close() if text[self.at] == _ARRAY_END else self._move(0, JSONScanner._value)

    def _first_key(self, text: Text, end: int) -> bool:
        """Expect the first key of an object, or its end."""
        if not self._at_token(text, end):
            return False
        return self._close() if text[self.at] == _OBJECT_END else self._move(0, JSONScanner._key)

    def _key(self, text: Text, end: int) -> bool:
        """Expect a key. Skip the members that nest little."""
        self.at = MEMBERS.match(text, self.at, end).end()  # type: ignore[union-attr]
        if not self._at_token(text, end):
            return False
        self._is_key = text[self.at] == _QUOTE
        if self._is_key:
            return self._move(1, JSONScanner._string)
        return self._move(0, JSONScanner._broken)

    def _colon(self, text: Text, end: int) -> bool:
        if not self._at_token(text, end):
            return False
        colon = text[self.at] == _COLON
        return self._move(1, JSONScanner._value) if colon else self._move(0, JSONScanner._broken)

    def _string(self, text: Text, end: int) -> bool:
        """Go on within a string."""
        self.at = REST_OF_STRING.match(text, self.at, end).end()  # type: ignore[union-attr]
        if self.at == end:
            return False
        if text[self.at] == _QUOTE:
            self.at += 1
            return self._end_key() if self._is_key else self._end_value()
        if CUT_ESCAPE.fullmatch(text, self.at, end):
            return False
        return self._move(0, JSONScanner._broken)

    def _end_key(self) -> bool:
        self._is_key = False
        return self._move(0, JSONScanner._colon)

    def _number(self, text: Text, end: int) -> bool:
        """Go on within a number. It ends where something else begins."""
        self.at = NUMBER_BYTES.match(text, self.at, end).end()  # type: ignore[union-attr]
        return self.at < end and self._end_number(text)

    def _end_number(self, text: Text) -> bool:
        if NUMBER.fullmatch(text, self._begin, self.at):
            return self._end_value()
        return self._move(0, JSONScanner._broken)

    def _literal(self, text: Text, end: int) -> bool:
        found = text[self.at : min(self.at + 5, end)]
        for literal in LITERALS:
            if found.startswith(literal):
                self.at += len(literal)
                return self._end_value()
            if literal.startswith(found):
                return False
        return self._move(0, JSONScanner._broken)

    def _after_value(self, text: Text, end: int) -> bool:
        """Expect what follows a value in an array or object."""
        if not self._at_token(text, end):
            return False
        byte, container = text[self.at], self._open[-1]
        if byte == _COMMA:
            return self._move(1, JSONScanner._value if container == _ARRAY else JSONScanner._key)
        return self._close() if byte == _CLOSING[container] else self._move(0, JSONScanner._broken)

    def _close(self) -> bool:
        self.at += 1
        self._open.pop()
        return self._end_value()

    def _end_value(self) -> bool:
        return self._move(0, JSONScanner._after_value if self._open else self._end)

    def _at_token(self, text: Text, end: int) -> bool:
        """Skip blanks. Return whether something follows them."""
        self.at = skip_blanks(text, self.at, end)
        return self.at < end

    def _move(self, count: int, state: State) -> bool:
        self.at += count
        self._state = state
        return True

    def _blanks(self, text: Text, end: int) -> bool:
        """Expect nothing but blanks."""
        return self._at_token(text, end) and self._move(0, JSONScanner._broken)

    def _complete(self, text: Text, end: int) -> bool:  # noqa: ARG002 - a `State`
        return False

    def _broken(self, text: Text, end: int) -> bool:  # noqa: ARG002 - a `State`
        return False


def checked(text: Text) -> Iterator[None]:
    """Check a whole text in steps. Raises `ValueError` if it is not JSON."""
    scanner = JSONScanner()
    yield from scanner.steps(text, len(text))
    scanner.finish(text)
    if scanner.broken:
        raise ValueError(f"it stops being JSON at byte {scanner.at}")
    if not scanner.complete:
        raise ValueError(f"it ends within a value, after {len(text)} bytes")


def elements(text: Text) -> Iterator[bytes | None]:
    """Yield the elements of an array as they are written, or the whole text of anything else.

    Args:
        text: valid JSON.
    """
    at = skip_blanks(text, 0)
    if text[at] != _ARRAY:
        yield bytes(text).strip()
        return
    at = skip_blanks(text, at + 1)
    pause_at = at + SCAN_STEP
    while text[at] != _ARRAY_END:
        found = ELEMENT.match(text, at, at + SCAN_STEP)
        if found is not None:
            yield found[1]
            at = found.end() + (found[2] == b",")
        else:
            begin = skip_blanks(text, at)
            scanner = JSONScanner(begin, alone=False)
            yield from scanner.steps(text, len(text))
            yield bytes(text[begin : scanner.at])
            at = skip_blanks(text, scanner.at)
            at += text[at] == _COMMA
            if at >= pause_at:  # those that nest deep take ten times as long as others
                pause_at = at + SCAN_STEP
                yield None


def skip_blanks(text: Text, at: int, end: int = maxsize) -> int:
    """Return where the next byte that is not a blank is."""
    return BLANKS.match(text, at, end).end()  # type: ignore[union-attr] # it always matches
