"""The text/event-stream grammar, both ways, without I/O.

Rules of this file:
- It follows the WHATWG HTML standard, section "Server-sent events": 9.2.5 (the ABNF) for writing,
  9.2.6 (interpreting an event stream) for reading.
- A line ends at CRLF, CR or LF and at nothing else. ``str.splitlines`` knows seven more and is
  never used.
- Writing works on bytes: CR and LF are never part of a longer UTF-8 sequence. What can't be written
  is refused, never repaired.
- Reading accepts everything, as the standard does: what it doesn't know it ignores. Only the size
  of one event is bounded.
"""

import sys
from codecs import getincrementaldecoder
from collections.abc import Iterable
from dataclasses import dataclass

from sse_middleware.errors import EventTooLargeError, FieldError

DEFAULT_MAX_EVENT_SIZE = 1024 * 1024
"""Bytes of one event that a decoder accepts: room for any sane payload, an end to an insane one."""


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    r"""Write one event from data that is already text (WHATWG HTML, 9.2.5).

    Fields are written as ``field: value``, in the order comment, event, data, id, retry; ``None``
    leaves a field out. Data and comments are split into lines at CRLF, CR and LF, and trailing
    empty lines are kept: ``"Hello\n"`` becomes ``data: Hello\ndata: \n\n``.

    Args:
        data_str: the text of the ``data`` field.
        event: the event's type, one line.
        id: the event's id, one line; the browser sends it back as ``Last-Event-ID``.
        retry: the client's reconnection time in milliseconds, 0 or more.
        comment: text that clients ignore.

    Returns:
        The event in UTF-8, ending with an empty line.

    Raises:
        FieldError: a newline or NUL in ``event`` or ``id``, a ``retry`` that is not a non-negative
            integer, text that UTF-8 can't encode (a lone surrogate), or a wrong type.
    """
    data = None if data_str is None else to_utf8("data", data_str)
    return encode_event(data, event=event, id=id, retry=retry, comment=comment)


def encode_event(
    data: bytes | None,
    *,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    """As `format_sse_event`, for data that is already UTF-8."""
    lines: list[bytes] = []
    if comment is not None:
        lines += [b": " + line for line in split_lines(to_utf8("comment", comment))]
    if event is not None:
        lines.append(b"event: " + to_utf8("event", check_single_line("event", event)))
    if data is not None:
        lines += [b"data: " + line for line in split_lines(data)]
    if id is not None:
        lines.append(b"id: " + to_utf8("id", check_single_line("id", id)))
    if retry is not None:
        lines.append(b"retry: %d" % _check_retry(retry))
    return b"\n".join(lines) + b"\n\n"


FRAMING = 8
"""Bytes that `encode_data` adds to each text."""


def encode_data(texts: Iterable[bytes]) -> bytes:
    r"""Write events that have data and nothing else, joined.

    Args:
        texts: UTF-8 without CR; what follows an LF begins with ``data: `` already.
    """
    return b"data: %b\n\n" % b"\n\ndata: ".join(texts)


def _check_text(field: str, value: str) -> str:
    """Return `value`, or raise `FieldError` if it is no text."""
    if not isinstance(value, str):
        raise FieldError(f"{field} must be a str, got {value!r}")
    return value


def check_single_line(field: str, value: str) -> str:
    """Return `value`, or raise `FieldError` if it holds a newline or NUL.

    A newline would end the field and start another one, of the attacker's choice. A NUL makes
    clients ignore an id (9.2.6).
    """
    _check_text(field, value)
    if "\n" in value or "\r" in value or "\0" in value:
        raise FieldError(f"{field} must be a single line without NUL, got {value!r}")
    return value


def _check_retry(value: int) -> int:
    """Return `value`, or raise `FieldError` if it is no count of milliseconds."""
    if type(value) is not int or value < 0:
        raise FieldError(f"retry must be an integer of 0 or more milliseconds, got {value!r}")
    return value


def to_utf8(field: str, value: str) -> bytes:
    """Encode a field's text, or raise `FieldError` for a lone surrogate or for no text at all."""
    try:
        return _check_text(field, value).encode()
    except UnicodeEncodeError as error:
        raise FieldError(f"{field} can't be encoded as UTF-8: {error}") from error


def split_lines(value: bytes) -> list[bytes]:
    """Split at CRLF, CR and LF, keeping empty lines, the last one too."""
    if b"\r" in value:
        value = value.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return value.split(b"\n")


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
