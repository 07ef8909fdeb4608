"""The forms in which an event is printed: for people, and as JSON. `CopiedBytes` prints as it is.

Rules of this file:
- An event for people takes one line, and each further line of its data is indented. So nothing that
  a server sends looks like the next event.
- A JSON object has data that is a JSON object or array as it is, with the digits of its numbers.
  Any other data is a string: a stream of words keeps its ``true`` and its ``5``.
- Text from the server is made harmless, except in bytes that don't go to a terminal.
"""

import json
from codecs import getincrementaldecoder
from collections.abc import Iterator
from datetime import datetime
from typing import NoReturn, Protocol
from zlib import crc32

from sse_middleware.cli.tail.harmless import harmless, harmless_json
from sse_middleware.wire.decoding import MessageEvent

_DIM, _BOLD, _RED, _PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[31m", "\x1b[0m"

_COLOURS = ("\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[35m", "\x1b[36m")
"""Of the names of events: not red, which is for errors."""

_ALARMING = ("error", "gap")
"""Names of events that tell of a loss."""

_WHITE_SPACE = " \t\r\n"  # of JSON


class EventFormat(Protocol):
    """Turns an event into a text."""

    def __call__(self, event: MessageEvent, at: datetime) -> str:
        """Return the lines of an event, each with its line end. `at` is when it came."""
        ...


class EventText:
    """``12:03:41.204 price #17 {"symbol": "ACME"}``: the time, the name, the id and the data.

    An event without a name has none here, and an event without an id has no ``#``.
    """

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured

    def __call__(self, event: MessageEvent, at: datetime) -> str:
        """Return the lines of an event."""
        parts = [self._in(_DIM, at.strftime("%H:%M:%S.%f")[:-3])]
        if event.type != "message":
            parts.append(self._in(_BOLD + self._colour_of(event.type), harmless(event.type)))
        if event.last_event_id:
            parts.append(self._in(_DIM, harmless(f"#{event.last_event_id}")))
        data = harmless(event.data).replace("\n", "\n    ")
        return " ".join([*parts, data]) + "\n"

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._coloured else text

    def _colour_of(self, name: str) -> str:
        if name in _ALARMING:
            return _RED
        return _COLOURS[crc32(name.encode()) % len(_COLOURS)]


class EventJson:
    """``{"time": "...", "event": "price", "id": "17", "data": {"symbol": "ACME"}}``, one line."""

    def __call__(self, event: MessageEvent, at: datetime) -> str:
        """Return the line of an event."""
        data = event.data if _is_container(event.data) else _dumped(event.data)
        text = (
            f'{{"time": {_dumped(at.isoformat(timespec="milliseconds"))}, '
            f'"event": {_dumped(event.type)}, "id": {_dumped(event.last_event_id)}, '
            f'"data": {data.strip(_WHITE_SPACE)}}}'
        )
        return harmless_json(text) + "\n"


def _dumped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _is_container(data: str) -> bool:
    """Return whether data is a JSON object or array."""
    if not data.lstrip(_WHITE_SPACE).startswith(("{", "[")):
        return False
    try:
        # Numbers stay texts: no number is too long for that.
        json.loads(data, parse_int=str, parse_float=str, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(_constant: str) -> NoReturn:
    raise ValueError("no constant of JSON")  # NaN and Infinity


class CopiedBytes:
    """The bytes of a stream as they come. On a terminal they are made harmless."""

    def __init__(self, *, on_terminal: bool) -> None:
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._on_terminal = on_terminal

    def __call__(self, chunk: bytes) -> bytes:
        """Return what to print of some bytes."""
        if not self._on_terminal:
            return chunk
        return harmless(self._decode(chunk)).encode()


def lines_of(chunk: bytes) -> Iterator[bytes]:
    """Yield the pieces of a chunk, each up to a line end, so that one can stop at an event."""
    yield from chunk.splitlines(keepends=True)
