"""From wire."""

import sys
from codecs import getincrementaldecoder
from dataclasses import dataclass

from sse_middleware.errors import EventTooLargeError

DEFAULT_MAX_EVENT_SIZE = 1024 * 1024
"""Bytes of one event that a decoder accepts: room for any sane payload, an end to an insane one."""


@dataclass(frozen=True, slots=True)
class MessageEvent:
    """An event as a client dispatches it (WHATWG HTML, 9.2.6, "dispatch the event")."""

    data: str
    """The data lines, joined by LF."""
    type: str = "message"
    """The value of the ``event`` field, ``message`` if there was none."""
    last_event_id: str = ""
    """The last id of the stream so far, which need not have come with this event."""


@dataclass(frozen=True, slots=True)
class Comment:
    """A line that starts with a colon; keep-alives are such lines."""

    text: str
    """What stands behind the colon and one space."""


@dataclass(frozen=True, slots=True)
class ReconnectionTime:
    """A valid ``retry`` field: the client shall wait so long before it reconnects."""

    milliseconds: int
    """0 or more; what is beyond 18 digits is ``sys.maxsize``."""


Decoded = MessageEvent | Comment | ReconnectionTime
"""What a stream's bytes can mean to a client."""


class EventStreamDecoder:
    """An incremental text/event-stream parser: bytes in any cut in, what they mean out.

    Args:
        max_event_size: how many bytes the lines of one undispatched event may take together, once
            invalid ones are replaced.
        last_event_id: the id to start from, as a client has it that reconnects. As an attribute,
            the one to reconnect with: that of the last event that ended.
    """

    def __init__(
        self, *, max_event_size: int = DEFAULT_MAX_EVENT_SIZE, last_event_id: str = ""
    ) -> None:
        self.max_event_size = max_event_size
        self.last_event_id = last_event_id
        self._decode = getincrementaldecoder("utf-8-sig")("replace").decode
        self._after_cr = False
        self._line: list[str] = []  # the pieces of the line that has not ended yet
        self._data: list[str] = []
        self._type = ""
        self._id = last_event_id
        self._size = 0

    def feed(self, chunk: bytes) -> list[Decoded]:
        """Take the next bytes of the stream and return what they complete, in order.

        An event whose empty line never comes is never returned: the standard discards it.

        Raises:
            EventTooLargeError: one event has grown over ``max_event_size``. What this chunk had
                completed before is in its ``decoded``; the decoder is of no use after that.
        """
        *ended, rest = self._cut(self._decode(chunk))
        found: list[Decoded] = []
        for piece in ended:
            self._keep(piece, found)
            line = "".join(self._line)
            self._line.clear()
            meaning = self._interpret(line) if line else self._dispatch()
            if meaning is not None:
                found.append(meaning)
        if rest:
            self._keep(rest, found)
        return found

    def _cut(self, text: str) -> list[str]:
        """Split at the ends of lines; a CRLF may lie across two chunks."""
        if not text:
            return [""]
        if self._after_cr and text[0] == "\n":
            text = text[1:]
        self._after_cr = text.endswith("\r")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.split("\n")

    def _keep(self, piece: str, found: list[Decoded]) -> None:
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
        # A stream of nothing but comments is one event that never ends: don't count it as one.
        self._size -= _size(line)
        return Comment(text)

    def _dispatch(self) -> MessageEvent | None:
        self.last_event_id = self._id
        data, type_ = self._data, self._type
        self._data, self._type, self._size = [], "", 0
        if not data:
            return None
        return MessageEvent("\n".join(data), type_ or "message", self.last_event_id)


_MOST_DIGITS = 18


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _milliseconds(digits: str) -> int:
    # Python refuses to parse thousands of digits, and nobody waits for 300 million years.
    digits = digits.lstrip("0")
    return int(digits or "0") if len(digits) <= _MOST_DIGITS else sys.maxsize
