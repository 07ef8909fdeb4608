"""The body adapters: each splits bodies of one format into the data of events, without I/O.

Rules of this file:
- An adapter takes chunks, cut anywhere, and returns the pieces that they complete. It holds only
  the piece that is not complete, up to a bound.
- Text becomes UTF-8. Bytes that are invalid in the body's charset are replaced and reported, or
  they fail the stream.
- A piece that the end of the body cuts off is delivered, unless the route drops it. In an event
  stream it is dropped, as the standard says (WHATWG HTML, 9.2.6), unless the route delivers it.
- Every piece before an error is returned before the error, wherever the chunks were cut.
- Lines end at CRLF, CR or LF. A line of JSON ends only at LF.
"""

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from pydantic_core import from_json

from sse_middleware.errors import BodyError
from sse_middleware.legacy.body_text import BodyFormat, PieceBuffer, Transcoder, as_pieces
from sse_middleware.wire.encoding import split_lines

logger = logging.getLogger(__name__)


class BodyAdapter(Protocol):
    """Splits one body into the data of events. Each response gets a new adapter."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Take the next bytes. Return the pieces that they complete, in UTF-8.

        This may be a generator. What it yields before an error is delivered.

        Raises:
            BodyError: the body has another format, or a piece is too long.
        """

    def end(self) -> Iterable[bytes]:
        """Return the pieces that the end of the body completes. Raises as `feed`."""


AdapterFactory = Callable[[BodyFormat], BodyAdapter]
"""Makes the adapter of one body."""


class Lines:
    """``text/plain``, ``text/csv``: each line is a piece, even an empty one."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body)
        self._after_cr = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the complete lines."""
        return self._transcoder.split(chunk, self._split)

    def end(self) -> Iterator[bytes]:
        """Yield the last line, if it is not complete."""
        yield from self._transcoder.split(b"", self._split, final=True)
        yield from self._buffer.end()

    def _split(self, text: bytes) -> Iterator[bytes]:
        if self._after_cr and text[:1] == b"\n":
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text[-1:] == b"\r"
            yield from self._buffer.complete(split_lines(text))


class JSONLines:
    """``application/x-ndjson`` and the like: each line that is not blank is a piece."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body, strip=True)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the complete lines."""
        return self._transcoder.split(chunk, self._split)

    def end(self) -> Iterator[bytes]:
        """Yield the last line, if it is not complete."""
        yield from self._transcoder.split(b"", self._split, final=True)
        yield from self._buffer.end()

    def _split(self, text: bytes) -> Iterator[bytes]:
        return self._buffer.complete(text.split(b"\n"))


class JSONSequence:
    """``application/json-seq``: texts that begin with a record separator (RFC 7464)."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body, strip=True)
        self._opening = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the complete texts. A text ends at its newline or where the next one begins."""
        return self._transcoder.split(chunk, self._split)

    def end(self) -> Iterator[bytes]:
        """Yield the last text. If it ends with a newline, it was not cut off."""
        yield from self._transcoder.split(b"", self._split, final=True)
        yield from self._buffer.take() if self._buffer.ends_with(b"\n") else self._buffer.end()

    def _split(self, text: bytes) -> Iterator[bytes]:
        first, *others = text.split(b"\x1e")
        yield from self._lines(first)
        for other in others:
            yield from self._take()
            yield from self._lines(other)

    def _lines(self, text: bytes) -> Iterator[bytes]:
        *ended, last = text.split(b"\n")
        for line in ended:
            self._add(line + b"\n")
            # A newline ends a text that is complete JSON, so the text need not wait for the next.
            if self._may_end(line) and is_json(self._buffer.peek()):
                yield from self._take()
        self._add(last)

    def _add(self, text: bytes) -> None:
        self._opening = self._opening or text.strip()[:1]
        self._buffer.add(text)

    def _take(self) -> list[bytes]:
        self._opening = b""
        return self._buffer.take()

    def _may_end(self, line: bytes) -> bool:
        """Whether a text may end after this line. Saves parsing after most lines of a long text."""
        closing = {b"{": b"}", b"[": b"]"}.get(self._opening)
        if closing is None:
            return True
        blanks = line[len(line.rstrip()) :]
        return self._buffer.ends_with(closing + blanks + b"\n")


class Chunks:
    """Each chunk that the application sends is a piece. A character is never split."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk."""
        return self._transcoder.split(chunk, as_pieces)

    def end(self) -> Iterator[bytes]:
        """Yield what is left of an incomplete character."""
        return self._transcoder.split(b"", as_pieces, final=True)


class JSONDocument:
    """``application/json``: each element of an array is a piece. Other documents are one piece."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Keep the chunk."""
        return self._transcoder.split(chunk, self._keep)

    def end(self) -> Iterator[bytes]:
        """Yield the elements, each as it was written.

        Raises:
            BodyError: the body is not JSON.
        """
        yield from self._transcoder.split(b"", self._keep, final=True)
        document = self._buffer.peek().decode()
        try:
            elements = _elements(document)
        except ValueError as error:
            raise BodyError(f"the body is not JSON: {error}") from error
        yield from map(str.encode, elements)

    def _keep(self, text: bytes) -> list[bytes]:
        self._buffer.add(text)
        return []


class EventStream:
    """``text/event-stream``: each piece is one or more whole events, byte for byte."""

    # Atomic groups, so that a CRLF never counts as two line ends.
    _BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")

    def __init__(self, body: BodyFormat) -> None:
        self._max_piece = body.max_piece
        self._delivers = body.unfinished == "deliver"
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the complete events."""
        searched = max(len(self._buffer) - 3, 0)
        self._buffer += chunk
        if chunk.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
            end = len(self._buffer)
        else:
            found = self._BOUNDARY.finditer(self._buffer, searched)
            end = max((boundary.end() for boundary in found), default=0)
        if end:
            ended = bytes(self._buffer[:end])
            del self._buffer[:end]
            yield from [ended] if end <= self._max_piece else self._one_by_one(ended)
        self._check_size(len(self._buffer))

    def _one_by_one(self, ended: bytes) -> Iterator[bytes]:
        """Yield the events one by one, and raise at the first that is too large."""
        begin = 0
        for boundary in self._BOUNDARY.finditer(ended):
            self._check_size(boundary.end() - begin)
            yield ended[begin : boundary.end()]
            begin = boundary.end()

    def _check_size(self, size: int) -> None:
        if size > self._max_piece:
            raise BodyError(f"an event takes more than {self._max_piece} bytes")

    def end(self) -> Iterator[bytes]:
        """Drop an incomplete event and report it, or complete it, if the route delivers it."""
        rest = bytes(self._buffer)
        if not rest.strip(b"\r\n"):  # only line ends, such as the second half of a CRLF
            yield rest
        elif self._delivers:
            yield rest + b"\n\n"
        else:
            logger.warning("the event stream ended within an event, which is dropped")


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value and nothing else."""
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
    at = space.match(document, 1).end()  # type: ignore[union-attr] # it always matches
    while document[at] != "]":
        end = decode(document, at)[1]
        found.append(document[at:end])
        at = space.match(document, end).end()  # type: ignore[union-attr]
    return found


ADAPTERS: Mapping[str, AdapterFactory] = MappingProxyType(
    {
        "json-lines": JSONLines,
        "json-seq": JSONSequence,
        "lines": Lines,
        "chunks": Chunks,
        "json": JSONDocument,
    }
)
"""The adapters, by the names that a route may use."""

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
"""The media types whose bodies are streams. They become event streams where a client wants one."""
