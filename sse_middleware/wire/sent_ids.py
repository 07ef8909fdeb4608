"""`OwnIds` and `ForeignIds`: find the last id in the bytes of an event stream.

Rules of this file:
- Lines and fields are those of the WHATWG HTML standard, 9.2.5 and 9.2.6. A line counts once it is
  complete. An id with a NUL is ignored, and an empty one resets.
- The end of a message is searched first. Where each event has an id, its size doesn't matter.
- A line may begin in one message and end in the next. Its beginning is kept only if it may be an
  id, and is not too long.
"""

from typing import Protocol

_CR = b"\r"[0]
_NUL = b"\0"[0]

LONGEST = 4096
"""Bytes of an id's line that are kept while the line isn't complete."""


class SentIds(Protocol):
    """Knows the last id of one stream."""

    def note(self, message: bytes) -> None:
        """Note the next bytes of the stream."""

    @property
    def last(self) -> str:
        """The last id, or ``""``."""


class IdFollower(Protocol):
    """Follows the ids of a stream, from when on there are any."""

    def follow_ids(self, ids: SentIds) -> None:
        """Know that the next frame may have an id, and how it is found."""


class OwnIds:
    """The last id of a stream of frames that `wire.encoding` has written."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b""

    @property
    def last(self) -> str:
        """The last id, or ``""``."""
        return self._last.decode()

    def note(self, message: bytes) -> None:
        """Note the next frames. Other lines begin with another field, so there is one form."""
        at = message.rfind(b"\nid: ") + 5
        if at > len(b"\nid:"):
            self._last = message[at : message.find(b"\n", at)]
        elif message.startswith(b"id: "):
            self._last = message[4 : message.find(b"\n")]


class ForeignIds:
    """The last id of a stream that others have written, as far as lines are complete.

    Args:
        within_line: whether the first message begins within a line.
    """

    __slots__ = ("_begun", "_last")

    def __init__(self, *, within_line: bool = False) -> None:
        self._last = b""
        self._begun = None if within_line else b""
        """The beginning of a line that isn't complete. ``None`` if the line is no id."""

    @property
    def last(self) -> str:
        """The last id, or ``""``."""
        return self._last.decode(errors="replace")

    def note(self, message: bytes) -> None:
        """Note the next bytes of the stream."""
        begun = self._begun
        text = begun + message if begun else message
        if _CR in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        last = _last_id(text, at_line_start=begun is not None)
        if last is not None:
            self._last = last
        self._begun = b"" if text.endswith(b"\n") else _begun_line(text, begun)


def _last_id(text: bytes, *, at_line_start: bool) -> bytes | None:
    """Return the id of the last line that has one, ``None`` if there is no such line."""
    end = len(text)
    while at := text.rfind(b"\nid", 0, end) + 1:
        last = _id_at(text, at)
        if last is not None:
            return last
        end = at - 1
    return _id_at(text, 0) if at_line_start and text.startswith(b"id") else None


def _id_at(text: bytes, at: int) -> bytes | None:
    """Return the id in the line that begins there, ``None`` if it has none or isn't complete."""
    end = text.find(b"\n", at)
    name, _, value = text[at:end].partition(b":")
    if end < 0 or name != b"id" or _NUL in value:
        return None
    return value.removeprefix(b" ")


def _begun_line(text: bytes, begun: bytes | None) -> bytes | None:
    """Return the last line of a text, which isn't complete, if it may become an id.

    Args:
        text: the text.
        begun: ``None`` if the text begins in a line that is no id.
    """
    at = text.rfind(b"\n") + 1
    line = text[at : at + LONGEST + 1]
    may_be_id = b"id:".startswith(line[:3]) and len(line) <= LONGEST
    return line if may_be_id and (at or begun is not None) else None
