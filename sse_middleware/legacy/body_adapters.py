"""Legacy bodies: how the bytes of another format are cut into the data of events, without I/O.

Rules of this file:
- An adapter is fed chunks, in any cut, and gives back what they complete. It holds no more than a
  piece that has not ended, up to a bound.
- Text ends up as UTF-8. Bytes that are none in the body's charset are replaced, which is reported,
  or fail the stream.
- A piece that ends with the body instead of its own end counts, unless it shall be dropped. In an
  event stream it doesn't, as the standard says (WHATWG HTML, 9.2.6), unless it shall be delivered.
- What comes before an error is given back before it, wherever the chunks were cut.
- Lines end at CRLF, CR or LF, but a line of JSON only at LF.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from pydantic_core import from_json

from sse_middleware.errors import BodyError
from sse_middleware.legacy.body_text import BodyFormat, BodyText, Rest, as_pieces
from sse_middleware.wire.encoding import split_lines

logger = logging.getLogger(__name__)


class BodyAdapter(Protocol):
    """Cuts one body into the data of events. Made fresh for each response."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Take the next bytes; return the pieces that they complete, as UTF-8.

        It may be a generator: what that yields before an error is delivered.

        Raises:
            BodyError: this is no such body, or a piece is too long.
        """

    def end(self) -> Iterable[bytes]:
        """Return what the end of the body completes. As `feed`."""


AdapterFactory = Callable[[BodyFormat], BodyAdapter]
"""Makes the adapter of one body."""


class Lines:
    """``text/plain``, ``text/csv``: each line is a piece, empty ones included."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = BodyText(body)
        self._rest = Rest(body)
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that have ended."""
        return self._text.cut(chunk, self._cut)

    def end(self) -> Iterator[bytes]:
        """Yield the last line, if it has not ended."""
        yield from self._text.cut(b"", self._cut, final=True)
        yield from self._rest.end()

    def _cut(self, text: bytes) -> Iterator[bytes]:
        if self._after_cr and text[:1] == b"\n":
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text[-1:] == b"\r"
            yield from self._rest.cut(split_lines(text))


class JSONLines:
    """``application/x-ndjson`` and its like: each line that is not blank is a piece."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = BodyText(body)
        self._rest = Rest(body, strip=True)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the lines that have ended."""
        return self._text.cut(chunk, self._cut)

    def end(self) -> Iterator[bytes]:
        """Yield the last line, if it has not ended."""
        yield from self._text.cut(b"", self._cut, final=True)
        yield from self._rest.end()

    def _cut(self, text: bytes) -> Iterator[bytes]:
        return self._rest.cut(text.split(b"\n"))


class JSONSequence:
    """``application/json-seq``: texts that begin with a record separator (RFC 7464)."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = BodyText(body)
        self._rest = Rest(body, strip=True)
        self._opening = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the texts that have ended: at the newline, or where the next one begins."""
        return self._text.cut(chunk, self._cut)

    def end(self) -> Iterator[bytes]:
        """Yield the last text. One that stops at a newline was not cut off."""
        yield from self._text.cut(b"", self._cut, final=True)
        yield from self._rest.take() if self._rest.ends_with(b"\n") else self._rest.end()

    def _cut(self, text: bytes) -> Iterator[bytes]:
        first, *others = text.split(b"\x1e")
        yield from self._lines(first)
        for other in others:
            yield from self._taken()
            yield from self._lines(other)

    def _lines(self, text: bytes) -> Iterator[bytes]:
        *ended, last = text.split(b"\n")
        for line in ended:
            self._add(line + b"\n")
            # A newline ends a text too, if it is a whole one: it need not wait for its successor.
            if self._may_end(line) and is_json(self._rest.peek()):
                yield from self._taken()
        self._add(last)

    def _add(self, text: bytes) -> None:
        self._opening = self._opening or text.strip()[:1]
        self._rest.add(text)

    def _taken(self) -> list[bytes]:
        self._opening = b""
        return self._rest.take()

    def _may_end(self, line: bytes) -> bool:
        """Spare the parser most lines of a text that has many."""
        closing = {b"{": b"}", b"[": b"]"}.get(self._opening)
        return closing is None or self._rest.ends_with(closing + line[len(line.rstrip()) :] + b"\n")


class Chunks:
    """Each chunk that the application sends is a piece. Characters are kept whole."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = BodyText(body)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk."""
        return self._text.cut(chunk, as_pieces)

    def end(self) -> Iterator[bytes]:
        """Yield what was left of a character."""
        return self._text.cut(b"", as_pieces, final=True)


class JSONDocument:
    """``application/json`` answered whole: each element of an array is a piece, or the document."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = BodyText(body)
        self._rest = Rest(body)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Keep the chunk."""
        return self._text.cut(chunk, self._keep)

    def end(self) -> Iterator[bytes]:
        """Yield the elements, each as it was written.

        Raises:
            BodyError: this is no JSON.
        """
        yield from self._text.cut(b"", self._keep, final=True)
        document = self._rest.peek().decode()
        try:
            elements = _elements(document)
        except ValueError as error:
            raise BodyError(f"the body is no JSON: {error}") from error
        yield from map(str.encode, elements)

    def _keep(self, text: bytes) -> list[bytes]:
        self._rest.add(text)
        return []


class EventStream:
    """``text/event-stream``: each piece is one or more whole events, byte for byte."""

    # One end of a line is never taken for two: a CRLF is one.
    _BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")

    def __init__(self, body: BodyFormat) -> None:
        self._max_piece = body.max_piece
        self._delivers = body.unfinished == "deliver"
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the events that have ended."""
        searched = max(len(self._rest) - 3, 0)
        self._rest += chunk
        if chunk.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
            end = len(self._rest)
        else:
            found = self._BOUNDARY.finditer(self._rest, searched)
            end = max((boundary.end() for boundary in found), default=0)
        if end:
            ended = bytes(self._rest[:end])
            del self._rest[:end]
            yield from [ended] if end <= self._max_piece else self._checked(ended)
        self._check(len(self._rest))

    def _checked(self, ended: bytes) -> Iterator[bytes]:
        """Yield whole events one by one, up to one that is too large."""
        begin = 0
        for boundary in self._BOUNDARY.finditer(ended):
            self._check(boundary.end() - begin)
            yield ended[begin : boundary.end()]
            begin = boundary.end()

    def _check(self, size: int) -> None:
        if size > self._max_piece:
            raise BodyError(f"an event takes more than {self._max_piece} bytes")

    def end(self) -> Iterator[bytes]:
        """Drop an event that has not ended, as the standard says, and report it, or end it."""
        rest = bytes(self._rest)
        if not rest.strip(b"\r\n"):  # the second half of a CRLF
            yield rest
        elif self._delivers:
            yield rest + b"\n\n"
        else:
            logger.warning("the event stream ended within an event, which is dropped")


def is_json(text: bytes) -> bool:
    """Whether this is one JSON value and nothing else."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _elements(document: str) -> list[str]:
    """Return the elements of an array as they are written, or the whole document."""
    from_json(document, allow_inf_nan=False)
    document = document.strip()
    if document[0] != "[":
        return [document]
    found: list[str] = []
    decode, space = json.JSONDecoder().raw_decode, re.compile(r"[\s,]*")
    at = space.match(document, 1).end()  # type: ignore[union-attr] # it matches nothing, too
    while document[at] != "]":
        end = decode(document, at)[1]
        found.append(document[at:end])
        at = space.match(document, end).end()  # type: ignore[union-attr]
    return found


JSON_LINES = "json-lines"


JSON_SEQUENCE = "json-seq"


LINES = "lines"


CHUNKS = "chunks"


JSON_DOCUMENT = "json"


ADAPTERS: Mapping[str, AdapterFactory] = MappingProxyType(
    {
        JSON_LINES: JSONLines,
        JSON_SEQUENCE: JSONSequence,
        LINES: Lines,
        CHUNKS: Chunks,
        JSON_DOCUMENT: JSONDocument,
    }
)
"""The adapters, by the names that a route may give."""


STREAMING_TYPES: Mapping[str, AdapterFactory] = MappingProxyType(
    {
        "application/x-ndjson": JSONLines,
        "application/jsonl": JSONLines,
        "application/json-lines": JSONLines,
        "application/json-seq": JSONSequence,
        "text/plain": Lines,
        "text/csv": Lines,
    }
)
"""The media types whose bodies are streams, and so become event streams where one is wanted."""
