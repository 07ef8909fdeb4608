"""`EventStreamDecoder`: reads text/event-stream as a client does, without I/O.

Rules of this file:
- It follows the WHATWG HTML standard, 9.2.6 (interpreting an event stream).
- A line ends at CRLF, CR or LF and nowhere else.
- It accepts everything, as the standard does, and ignores what it doesn't know. Only the size of
  one event is limited.
"""

import sys
from codecs import getincrementaldecoder
from dataclasses import dataclass

from sse_middleware.errors import EventTooLargeError

DEFAULT_MAX_EVENT_SIZE = 1024 * 1024
"""Bytes of one event that a decoder accepts by default: more than any sane payload needs."""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """An event as a client dispatches it (WHATWG HTML, 9.2.6, "dispatch the event")."""

    data: str
    """The data lines, joined by LF."""
    type: str = "message"
    """The value of the ``event`` field, ``message`` if there is none."""
    last_event_id: str = ""
    """The last id of the stream so far. An earlier event may have carried it."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that starts with a colon, such as a keep-alive."""

    text: str
    """What follows the colon and one optional space."""


@dataclass(frozen=True, slots=True)
class ReconnectionTime:
    """A valid ``retry`` field: how long the client waits before it reconnects."""

    milliseconds: int
    """0 or more; ``sys.maxsize`` for a number of more than 18 digits."""


Decoded = MessageEvent | Comment | ReconnectionTime
"""What the bytes of a stream can mean to a client."""


class EventStreamDecoder:
    """An incremental text/event-stream parser: takes chunks of any size, returns what they mean.

    Args:
        max_event_size: how many bytes the lines of one undispatched event may take together, after
            invalid bytes are replaced.
        last_event_id: the id to start from, as a reconnecting client has it. The attribute is the
            id to reconnect with: the id of the last event that ended.
    """

    def __init__(
        self, *, max_event_size: int = DEFAULT_MAX_EVENT_SIZE, last_event_id: str = ""
    ) -> None:
        self.max_event_size = max_event_size
        self.last_event_id = last_event_id
        self._decode = getincrementaldecoder("utf-8-sig")("replace").decode
        self._after_cr = False
        self._line: list[str] = []  # the pieces of the unfinished line
        self._data: list[str] = []
        self._type = ""
        self._id = last_event_id
        self._size = 0

    def feed(self, chunk: bytes) -> list[Decoded]:
        """Take the next bytes of the stream and return what they complete, in order.

        An event without its final empty line is never returned: the standard discards it.

        Raises:
            EventTooLargeError: one event is larger than ``max_event_size``. The error's ``decoded``
                holds what this chunk completed before. The decoder can't be used after that.
        """
        *ended, rest = self._split_lines(self._decode(chunk))
        found: list[Decoded] = []
        for piece in ended:
            self._add_to_line(piece, found)
            line = "".join(self._line)
            self._line.clear()
            meaning = self._interpret(line) if line else self._dispatch()
            if meaning is not None:
                found.append(meaning)
        if rest:
            self._add_to_line(rest, found)
        return found

    def _split_lines(self, text: str) -> list[str]:
        """Split at line ends. A CRLF may lie across two chunks."""
        if not text:
            return [""]
        if self._after_cr and text[0] == "\n":
            text = text[1:]
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.split("\n")

    def _add_to_line(self, piece: str, found: list[Decoded]) -> None:
        self._line.append(piece)
        self._size += _size(piece)
        if self._size > self.max_event_size:
            raise EventTooLargeError(self.max_event_size, found)

    def _interpret(self, line: str) -> Comment | ReconnectionTime | None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                return self._comment(line, value)
            case "data":
                self._data.append(value)
            case "event":
                self._type = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                return ReconnectionTime(_milliseconds(value))
        return None

    def _comment(self, line: str, text: str) -> Comment:
        # Comments don't count. A stream of keep-alives is one event that never ends.
        self._size -= _size(line)
        return Comment(text)

    def _dispatch(self) -> MessageEvent | None:
        self.last_event_id = self._id
        data, type_ = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return MessageEvent("\n".join(data), type_ or "message", self.last_event_id)


_MAX_DIGITS = 18


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _milliseconds(digits: str) -> int:
    # Python refuses to parse thousands of digits, and no client waits 300 million years.
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MAX_DIGITS else sys.maxsize
