"""Legacy bodies: how the bytes of another format are cut into the data of events, without I/O.

Rules of this file:
- An adapter is fed chunks, in any cut, and gives back what they complete. It holds no more than a
  piece that has not ended, up to a bound.
- Text ends up as UTF-8. Bytes that are none in the body's charset are replaced, which is reported,
  or fail the stream.
- A piece that ends with the body instead of its own end counts. Only in an event stream it doesn't,
  as the standard says (WHATWG HTML, 9.2.6).
- Lines end at CRLF, CR or LF, but a line of JSON only at LF.
"""

import json
import logging
import re
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from pydantic_core import from_json

from sse_middleware.errors import BodyError
from sse_middleware.wire import split_lines

logger = logging.getLogger(__name__)

MAX_PIECE = 1024 * 1024
"""Bytes of a line, a record or a whole document: room for any sane one, an end to one that never
ends."""


class BodyAdapter(Protocol):
    """Cuts one body into the data of events. Made fresh for each response."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes; return the pieces that they complete, as UTF-8.

        Raises:
            BodyError: this is no such body, or a piece is too long.
        """

    def end(self) -> list[bytes]:
        """Return what the end of the body completes. Raises as `feed`."""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """What an adapter needs to know of its body.

    Attributes:
        charset: of the text, as its ``Content-Type`` says.
        invalid_text: whether bytes that are no text are replaced by U+FFFD or fail the stream.
        max_piece: bytes that a piece may take.
    """

    charset: str = "utf-8"
    invalid_text: Literal["replace", "fail"] = "replace"
    max_piece: int = MAX_PIECE


AdapterFactory = Callable[[BodyFormat], BodyAdapter]
"""Makes the adapter of one body."""


class Lines:
    """``text/plain``, ``text/csv``: each line is a piece, empty ones included."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body.max_piece)
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that have ended."""
        return self._cut(self._text.decode(chunk))

    def end(self) -> list[bytes]:
        """Return the last line, if it has not ended."""
        return self._cut(self._text.end()) + self._rest.end()

    def _cut(self, text: bytes) -> list[bytes]:
        if self._after_cr and text[:1] == b"\n":
            text = text[1:]
            self._after_cr = False
        if not text:
            return []
        self._after_cr = text[-1:] == b"\r"
        return self._rest.cut(split_lines(text))


class JSONLines:
    """``application/x-ndjson`` and its like: each line that is not blank is a piece."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body.max_piece)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that have ended."""
        return _stripped(self._rest.cut(self._text.decode(chunk).split(b"\n")))

    def end(self) -> list[bytes]:
        """Return the last line, if it has not ended."""
        last = self._rest.cut(self._text.end().split(b"\n"))
        return _stripped(last + self._rest.end())


class JSONSequence:
    """``application/json-seq``: texts that begin with a record separator (RFC 7464)."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body.max_piece)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the texts that have ended: at the newline, or where the next one begins."""
        ended = self._rest.cut(self._text.decode(chunk).split(b"\x1e"))
        # A newline ends a text too, if it is a whole one: it need not wait for its successor.
        waiting = self._rest.peek()
        if waiting.endswith(b"\n") and is_json(waiting):
            ended.append(self._rest.take())
        return _stripped(ended)

    def end(self) -> list[bytes]:
        """Return the last text."""
        last = self._rest.cut(self._text.end().split(b"\x1e"))
        return _stripped(last + self._rest.end())


class Chunks:
    """Each chunk that the application sends is a piece. Characters are kept whole."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the chunk."""
        return [text] if (text := self._text.decode(chunk)) else []

    def end(self) -> list[bytes]:
        """Return what was left of a character."""
        return [text] if (text := self._text.end()) else []


class JSONDocument:
    """``application/json`` answered whole: each element of an array is a piece, or the document."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body.max_piece)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Keep the chunk."""
        return self._rest.cut([self._text.decode(chunk)])

    def end(self) -> list[bytes]:
        """Return the elements, each as it was written.

        Raises:
            BodyError: this is no JSON.
        """
        document = (self._rest.take() + self._text.end()).decode()
        try:
            return [piece.encode() for piece in _elements(document)]
        except ValueError as error:
            raise BodyError(f"the body is no JSON: {error}") from error


class EventStream:
    """``text/event-stream``: each piece is one or more whole events, byte for byte."""

    # One end of a line is never taken for two: a CRLF is one.
    _BOUNDARY = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")

    def __init__(self, body: BodyFormat) -> None:
        self._max_piece = body.max_piece
        self._rest = bytearray()

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the events that have ended."""
        if chunk.endswith((b"\n\n", b"\r\n\r\n", b"\r\r")):
            return [self._with_rest(chunk)]
        searched = max(len(self._rest) - 3, 0)
        self._rest += chunk
        end = max(
            (found.end() for found in self._BOUNDARY.finditer(self._rest, searched)), default=0
        )
        ended = bytes(self._rest[:end])
        del self._rest[:end]
        if len(self._rest) > self._max_piece:
            raise BodyError(f"an event takes more than {self._max_piece} bytes")
        return [ended] if ended else []

    def end(self) -> list[bytes]:
        """Drop an event that has not ended, as the standard says, and report it."""
        if self._rest.strip():
            logger.warning("the event stream ended within an event, which is dropped")
        return []

    def _with_rest(self, chunk: bytes) -> bytes:
        if not self._rest:
            return chunk
        whole = bytes(self._rest) + chunk
        self._rest.clear()
        return whole


def is_json(text: bytes) -> bool:
    """Whether this is one JSON value and nothing else."""
    try:
        from_json(text, allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _elements(document: str) -> list[str]:
    """Return the elements of an array as they are written, or the whole document."""
    json.loads(document)
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


def _stripped(pieces: list[bytes]) -> list[bytes]:
    return [stripped for piece in pieces if (stripped := piece.strip())]


class _Rest:
    """The beginning of a piece that has not ended."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._parts: list[bytes] = []
        self._size = 0

    def cut(self, pieces: list[bytes]) -> list[bytes]:
        """Return the pieces that have ended; the last one has not, the first one goes on."""
        *ended, last = pieces
        if ended:
            ended[0] = self._ended(ended[0])
        if last:
            self._size += len(last)
            self._parts.append(last)
        longest = max(map(len, ended), default=0)
        if max(longest, self._size) > self._bound:
            raise BodyError(f"a line or record takes more than {self._bound} bytes")
        return ended

    def peek(self) -> bytes:
        """Return what there is."""
        self._parts = [b"".join(self._parts)]
        return self._parts[0]

    def take(self) -> bytes:
        """Return what there is, and forget it."""
        return self._ended(b"")

    def end(self) -> list[bytes]:
        """Return what there is as the last piece, if there is any."""
        return [self.take()] if self._size else []

    def _ended(self, piece: bytes) -> bytes:
        if not self._size:
            return piece
        whole = b"".join([*self._parts, piece])
        self._parts.clear()
        self._size = 0
        return whole


class _Text:
    """Turns a body's bytes into UTF-8, whatever its charset and wherever it is cut."""

    def __init__(self, body: BodyFormat) -> None:
        self._charset = body.charset
        self._replaces = body.invalid_text == "replace"
        self._is_utf8 = self._charset.lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii")
        try:
            self._decoder = getincrementaldecoder(self._charset)("strict")
        except LookupError:
            raise BodyError(f"the body's charset {self._charset!r} is unknown") from None

    def decode(self, chunk: bytes, *, final: bool = False) -> bytes:
        """Return the characters that the chunk completes."""
        state = self._decoder.getstate()
        if self._is_utf8 and not state[0] and chunk.isascii():
            return bytes(chunk)
        try:
            return self._decoder.decode(chunk, final).encode()
        except UnicodeDecodeError as error:
            return self._decoder_after(error, state).decode(chunk, final).encode()

    def end(self) -> bytes:
        """Return what is left."""
        return self.decode(b"", final=True)

    def _decoder_after(
        self, error: UnicodeDecodeError, state: tuple[bytes, int]
    ) -> IncrementalDecoder:
        """Replace what is no text from now on, or fail."""
        if not self._replaces:
            raise BodyError(f"the body is no text in {self._charset}: {error}") from error
        logger.warning(
            "the body is no text in %s, and is sent with U+FFFD: %s", self._charset, error
        )
        self._decoder = getincrementaldecoder(self._charset)("replace")
        self._decoder.setstate(state)
        return self._decoder


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
