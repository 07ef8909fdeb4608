"""Writes text/event-stream, without I/O.

Rules of this file:
- It follows the WHATWG HTML standard, 9.2.5 (the ABNF).
- A line ends at CRLF, CR or LF and nowhere else. ``str.splitlines`` also splits at eight other
  characters, so it is never used.
- Lines are split as bytes. CR and LF are never part of a longer UTF-8 sequence.
- What can't be written is refused, never repaired.
"""

from collections.abc import Iterable, Sequence

from sse_middleware.errors import FieldError


def format_sse_event(
    *,
    data_str: str | None = None,
    event: str | None = None,
    id: str | None = None,
    retry: int | None = None,
    comment: str | None = None,
) -> bytes:
    r"""Write one event whose data is already text (WHATWG HTML, 9.2.5).

    Fields are written as ``field: value``, in the order comment, event, data, id, retry. ``None``
    omits a field. Data and comments are split into lines at CRLF, CR and LF, and trailing empty
    lines are kept: ``"Hello\n"`` becomes ``data: Hello\ndata: \n\n``.

    Args:
        data_str: the text of the ``data`` field.
        event: the event's type, one line.
        id: the event's id, one line; the browser sends it back as ``Last-Event-ID``.
        retry: the client's reconnection time in milliseconds, 0 or more.
        comment: text that clients ignore.

    Returns:
        The event in UTF-8, ending with an empty line.

    Raises:
        FieldError: for a newline or NUL in ``event`` or ``id``, a ``retry`` that is not a
            non-negative integer, text that UTF-8 can't encode (a lone surrogate), or a wrong type.
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
    """Write one event like `format_sse_event`, with data that is already UTF-8."""
    parts: list[bytes] = []  # joined once, since data may be large
    if comment is not None:
        parts += [b": %b\n" % line for line in split_lines(to_utf8("comment", comment))]
    if event is not None:
        parts.append(event_line(event))
    if data is not None:
        parts += [b"data: ", as_data(data), b"\n"]
    if id is not None:
        parts.append(b"id: %b\n" % to_utf8("id", check_single_line("id", id)))
    if retry is not None:
        parts.append(b"retry: %d\n" % _check_retry(retry))
    return b"".join([*parts, b"\n"] if parts else (b"\n\n",))


def event_line(event: str | None) -> bytes:
    """Return the line of the ``event`` field, or ``b""`` without one. Raises as `encode_event`."""
    if event is None:
        return b""
    return b"event: %b\n" % to_utf8("event", check_single_line("event", event))


def encode_named_event(event_line: bytes, data: bytes, id: str | None) -> bytes:
    """Write one event like `encode_event`, with what `event_line` has returned.

    Args:
        event_line: the line of the ``event`` field.
        data: what `as_data` has returned, or JSON on a single line.
        id: the event's id, one line.
    """
    if id is None:
        return b"%bdata: %b\n\n" % (event_line, data)
    if isinstance(id, str) and id.isprintable():  # and so a single line that UTF-8 can encode
        text = id.encode()
    else:
        text = to_utf8("id", check_single_line("id", id))
    return b"%bdata: %b\nid: %b\n\n" % (event_line, data, text)


_NEL_FIRST, _NEL_LAST = b"\xc2\x85"
_LS_FIRST, _LS_LAST, _PS_LAST = b"\xe2\xa8\xa9"

LF, CR = b"\n\r"  # searching bytes for an int is ten times faster

FRAMING = 8
"""Bytes that `encode_data` adds to each text."""


def encode_data(texts: Iterable[bytes]) -> bytes:
    r"""Write events that have only data, and join them.

    Args:
        texts: UTF-8 without CR, in which each line after the first already begins with ``data: ``.
    """
    return b"data: %b\n\n" % b"\n\ndata: ".join(texts)


def encode_texts(texts: Sequence[bytes]) -> bytes:
    """Write events like `encode_data`, of texts in UTF-8 that may have several lines."""
    # Joining them once more takes less time than looking at each.
    joined = b"".join(texts)
    return encode_data(map(as_data, texts) if LF in joined or CR in joined else texts)


def encode_json(texts: Iterable[bytes]) -> bytes:
    """Write events like `encode_data`, whose texts are JSON, with `escaped_json`."""
    frames = b"data: %b\n\n" % b"\n\ndata: ".join(texts)
    return frames if frames.isascii() else escaped_json(frames)


def escaped_json(text: bytes) -> bytes:
    """Escape the characters at which some clients split lines: U+0085, U+2028 and U+2029.

    The standard ends lines at CR and LF only. JSON has these characters in strings only, where an
    escape means the same.
    """
    # Searching for one byte is many times faster than searching for two or three.
    if _NEL_LAST in text and _NEL_FIRST in text:
        text = text.replace(b"\xc2\x85", b"\\u0085")
    if _LS_FIRST in text and (_LS_LAST in text or _PS_LAST in text):
        text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return text


def single_line(text: bytes) -> bytes:
    """Return JSON that is one line for every client, quickly where it is ASCII."""
    return text if text.isascii() else escaped_json(text)


def _check_text(field: str, value: str) -> str:
    """Return `value`, or raise `FieldError` if it is not a str."""
    if not isinstance(value, str):
        raise FieldError(f"{field} must be a str, got {value!r}")
    return value


def check_single_line(field: str, value: str) -> str:
    """Return `value`, or raise `FieldError` if it contains a newline or NUL.

    A newline would end the field and start another one that an attacker chooses. A NUL makes
    clients ignore an id (9.2.6).
    """
    _check_text(field, value)
    if "\n" in value or "\r" in value or "\0" in value:
        raise FieldError(f"{field} must be a single line without NUL, got {value!r}")
    return value


def _check_retry(value: int) -> int:
    """Return `value`, or raise `FieldError` if it is not a number of milliseconds."""
    if type(value) is not int or value < 0:
        raise FieldError(f"retry must be an integer of 0 or more milliseconds, got {value!r}")
    return value


def to_utf8(field: str, value: str) -> bytes:
    """Encode a field's text, or raise `FieldError` for a lone surrogate or a wrong type."""
    try:
        return _check_text(field, value).encode()
    except UnicodeEncodeError as error:
        raise FieldError(f"{field} can't be encoded as UTF-8: {error}") from error


def as_data(value: bytes) -> bytes:
    """Return a text in the form that `encode_data` takes.

    A million lines are replaced in a tenth of the time in which they are split and joined.
    """
    if LF not in value and CR not in value:  # the usual case
        return value
    return _with_lf(value).replace(b"\n", b"\ndata: ")


def split_lines(value: bytes) -> list[bytes]:
    """Split at CRLF, CR and LF. Empty lines are kept, including the last one."""
    return _with_lf(value).split(b"\n")


def _with_lf(value: bytes) -> bytes:
    if CR in value:
        value = value.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return value
