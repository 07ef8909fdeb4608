r"""`EventBoundaries`: follows the bytes of a foreign event stream, and knows where its events end.

Rules of this file:
- Not a byte is changed, and none is held back. Only the state is kept: within an event, or between
  two.
- The standard is WHATWG HTML, 9.2.5 and 9.2.6. A line ends at CRLF, CR or LF. A line that begins
  with a colon is a comment. A blank line ends an event. So a frame may go in where a line ends and
  no field has come since the last blank line: at the start, after the blank line of an event, and
  after a comment outside of an event. An event that consists of an ``id`` or a ``retry`` alone
  counts as one: its fields hold only from its blank line on.
- The CR that ends a chunk may be half of a CRLF. A frame in between would make a blank line of the
  LF. The standard ignores a second blank line, but not all clients do. So after a CR a frame has to
  wait for the next byte, unless CR alone has ended lines of this stream, and CRLF has ended none.
- A byte order mark counts only as the first bytes of a stream. Nothing goes in between its bytes.
  After a frame it would no longer be a mark, and would spoil the first line.
- If events have a bound, an event that grows over it is an error. The events before it pass. What
  has passed of the large event itself stays incomplete, so clients drop it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sse_middleware.errors import BodyError

PASS_STEP = 64 * 1024
"""Bytes that are looked at between two pauses."""

BOM = b"\xef\xbb\xbf"
_CR = 0x0D
_EOL = rb"(?:\r\n|\n|\r)"
_LINES = rb"[^\r\n]*+(?:%b[^\r\n]++)*(?:%b(%b)?)?" % (_EOL, _EOL, _EOL)

_END_OF_LINE = re.compile(_EOL)
_REST_OF_LINE = re.compile(rb"[^\r\n]*+%b?" % _EOL)
_REST_OF_EVENT = re.compile(_LINES)
"""What is left of an event from the middle of a line on. The group is its blank line."""

_EVENT = re.compile(rb"(?<![^\r\n])(?=[^:\r\n])" + _LINES)
"""An event from its first field on, up to its blank line, which is the group, or up to the end."""


class EventBoundaries:
    """The state of one stream, whose bytes pass unchanged.

    Args:
        max_event_size: bytes that one event may take, with its fields. ``None`` sets no bound.
        bom: whether the stream may begin with a byte order mark.
    """

    def __init__(self, max_event_size: int | None = None, *, bom: bool = True) -> None:
        self.events = 0
        """How many events ended in what was yielded last."""
        self._bound = max_event_size
        self._longest = min(max_event_size or PASS_STEP, PASS_STEP)
        # The first bytes, while they may be a byte order mark.
        self._start: bytes | None = b"" if bom else None
        self._in_event = False
        self._in_line = False
        self._after_cr = False
        self._has_cr = False  # CR alone has ended a line
        self._has_crlf = False
        self._size = 0

    @property
    def between_events(self) -> bool:
        """Whether a frame may go in after what was yielded last."""
        if self._in_event or self._in_line:
            return False
        return not self._after_cr or (self._has_cr and not self._has_crlf)

    def is_one_event(self, chunk: bytes) -> bool:
        """Whether a chunk is one whole event in the usual form. Then the state stays as it is."""
        at_start = not (self._in_event or self._in_line or self._after_cr)
        return (
            (at_start and self._start is None)
            and chunk.find(b"\n\n") == len(chunk) - 2 > 0
            and chunk[0] not in b":\n"
            and b"\r" not in chunk
            and len(chunk) <= self._longest
        )

    def usual_events(self, chunk: bytes) -> "UsualEvents":
        """Return the whole events at the start of a chunk.

        There are none unless all of them have the usual form. Then the state stays as it is. This
        is many times faster than `feed`.
        """
        if self._in_event or self._in_line or self._after_cr or self._start is not None:
            return UsualEvents()
        found = usual_events(chunk)
        if self._bound is not None and max(map(len, found.events), default=0) + 2 > self._bound:
            return UsualEvents()
        return found

    def cut_at_end_of_event(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return the parts of a chunk up to the end of the open event or comment, and after it."""
        at, _ = self._rest(chunk)
        return chunk[:at], chunk[at:]

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk, in parts if it is large.

        Raises:
            BodyError: an event is too large.
        """
        for at in range(0, len(chunk), PASS_STEP):
            yield from self._pass(chunk[at : at + PASS_STEP])

    def note_end(self) -> None:
        """Note that the stream has ended: nothing follows a last CR any more."""
        self._after_cr = False

    def missing(self) -> bytes:
        """Return what would complete the open event or comment, ``b""`` if there is none."""
        if self._in_event:
            # An LF after a CR only completes a CRLF.
            return b"\n\n" if self._in_line or self._after_cr else b"\n"
        return b"\n" if self._in_line else b""

    def _pass(self, part: bytes) -> Iterator[bytes]:
        text = part if self._start is None else self._after_bom(part)
        large = None if self._bound is None else self._too_large(text, self._bound)
        if large is None:
            self.events = self._read(text)
            yield part
            return
        self.events = self._read(text[:large])
        before = part[: len(part) - len(text) + large]
        if before:
            yield before
        raise BodyError(f"an event takes more than max_event_size={self._bound} bytes")

    def _after_bom(self, part: bytes) -> bytes:
        """Return what follows the byte order mark, if there is one."""
        seen = self._start or b""
        first = (seen + part)[: len(BOM)]
        self._in_line = first != BOM
        if first == BOM:
            self._start = None
            return part[len(BOM) - len(seen) :]
        if BOM.startswith(first):
            self._start = first
            return b""
        self._start = None
        self._in_event = self._in_line = bool(seen)  # the name of a field begins with these bytes
        return part

    def _read(self, text: bytes) -> int:
        """Update the state to what it is after the text. Return how many events end in it."""
        if not text:
            return 0
        if b"\r" in text or self._after_cr:
            self._note_line_ends(text)
        at, ended = self._rest(text)
        blank_lines = _EVENT.findall(text, at)
        is_open = bool(blank_lines) and not blank_lines[-1]  # only the last one can be
        self._in_event = is_open or (self._in_event and not ended)
        self._in_line = not text.endswith((b"\r", b"\n"))
        self._after_cr = text.endswith(b"\r")
        return ended + len(blank_lines) - is_open

    def _rest(self, text: bytes) -> tuple[int, bool]:
        """Return where the open line or event ends, and whether an event ends there."""
        at = int(self._after_cr and text.startswith(b"\n"))
        if not self._in_event:
            rest = _REST_OF_LINE.match(text, at) if self._in_line else None
            return (at if rest is None else rest.end()), False
        blank_line = None if self._in_line else _END_OF_LINE.match(text, at)
        if blank_line is not None:
            return blank_line.end(), True
        event = _REST_OF_EVENT.match(text, at)
        assert event is not None  # noqa: S101 - the pattern matches anything
        return event.end(), event[1] is not None

    def _note_line_ends(self, text: bytes) -> None:
        pairs = text.count(b"\r\n")
        alone = text.count(b"\r") - pairs - text.endswith(b"\r")
        if self._after_cr:
            completed = text.startswith(b"\n")
            pairs += completed
            alone += not completed
        self._has_crlf = self._has_crlf or pairs > 0
        self._has_cr = self._has_cr or alone > 0

    def _too_large(self, text: bytes, bound: int) -> int | None:
        """Return where an event begins that is too large, if there is one.

        If an event ends in CRLF, its LF doesn't count, since it may come after the event has ended.
        """
        at, ended = self._rest(text)
        size = self._size + at if self._in_event else 0
        if size - (ended and text.endswith(b"\r\n", 0, at)) > bound:
            return 0
        for event in _EVENT.finditer(text, at):
            size = event.end() - event.start()
            if size - (event[1] == b"\r\n") > bound:
                return event.start()
        self._size = size  # counts only if the event is still open
        return None


def end_of_last_event(text: bytes) -> int:
    """Return where the last blank line of a text ends, 0 if there is none.

    A blank line whose CR ends the text doesn't count: its LF may follow.
    """
    end = text.rfind(b"\n\n") + 2
    if b"\r" not in text:
        return end if end > 1 else 0
    last = len(text) - text.endswith(b"\r")
    ends = [text.rfind(pair, 0, last) + 2 for pair in (b"\n\n", b"\r\r", b"\n\r")]
    end = max(ends)
    if end == 1:
        return 0
    return end + (text[end - 1] == _CR and text.startswith(b"\n", end))


class UsualEvents(NamedTuple):
    """Whole events in a form that needs no look at each byte."""

    events: Sequence[bytes] = ()
    """The events, without their blank lines."""
    size: int = 0
    """Bytes of all of them, with their blank lines."""
    only_data: bool = True
    """Whether it is known that each event has one line, and that none is an ``id``."""


_UNUSUAL = frozenset((b"", b"\n", b":"))
"""How a piece between two blank lines begins that is not simply an event."""


def usual_events(text: bytes) -> UsualEvents:
    """Return the whole events at the start of a text that begins between two events.

    There are none if the text has a CR, or a comment or another blank line between them.
    """
    size = text.rfind(b"\n\n") + 2
    if size == 1 or b"\r" in text:
        return UsualEvents()
    # Splitting at one byte takes half the time of splitting at two.
    lines = text[:size].split(b"\n")
    lines.pop()
    events, blank = lines[::2], lines[1::2]
    if {event[:1] for event in events} == {b"d"} and blank.count(b"") == len(events):
        return UsualEvents(events, size, only_data=True)
    events = text[: size - 2].split(b"\n\n")
    if _UNUSUAL.isdisjoint({event[:1] for event in events}):
        return UsualEvents(events, size, only_data=False)
    return UsualEvents()


def events_in(text: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the events of a text begin and end. The text begins between two events."""
    for event in _EVENT.finditer(text):
        yield event.span()
