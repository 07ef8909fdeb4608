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
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

from pydantic_core import from_json

from sse_middleware.errors import BodyError, ConfigurationError
from sse_middleware.wire import split_lines

logger = logging.getLogger(__name__)

MAX_PIECE = 1024 * 1024
"""Bytes of a line, a record or a whole document: room for any sane one, an end to one that never
ends."""


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


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """What an adapter needs to know of its body.

    Attributes:
        charset: of the text, as its ``Content-Type`` says.
        invalid_text: whether bytes that are no text are replaced by U+FFFD or fail the stream.
        unfinished: whether a piece that ends with the body instead of its own end is delivered, or
            dropped and reported; ``None`` for what is usual in such a body.
        max_piece: bytes that a piece may take.

    Raises:
        ConfigurationError: a value that is none of these.
    """

    charset: str = "utf-8"
    invalid_text: Literal["replace", "fail"] = "replace"
    unfinished: Literal["deliver", "drop"] | None = None
    max_piece: int = MAX_PIECE

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        if self.invalid_text not in ("replace", "fail"):
            allowed = "'replace' or 'fail'"
            raise ConfigurationError(f"invalid_text must be {allowed}, got {self.invalid_text!r}")
        if self.unfinished not in ("deliver", "drop", None):
            allowed = "'deliver', 'drop' or None"
            raise ConfigurationError(f"unfinished must be {allowed}, got {self.unfinished!r}")
        if type(self.max_piece) is not int or self.max_piece <= 0:
            allowed = "a number of bytes over 0"
            raise ConfigurationError(f"max_piece must be {allowed}, got {self.max_piece!r}")


AdapterFactory = Callable[[BodyFormat], BodyAdapter]
"""Makes the adapter of one body."""


class Lines:
    """``text/plain``, ``text/csv``: each line is a piece, empty ones included."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body)
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
        self._text = _Text(body)
        self._rest = _Rest(body, strip=True)

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
        self._text = _Text(body)
        self._rest = _Rest(body, strip=True)
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
        self._text = _Text(body)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield the chunk."""
        return self._text.cut(chunk, _whole)

    def end(self) -> Iterator[bytes]:
        """Yield what was left of a character."""
        return self._text.cut(b"", _whole, final=True)


class JSONDocument:
    """``application/json`` answered whole: each element of an array is a piece, or the document."""

    def __init__(self, body: BodyFormat) -> None:
        self._text = _Text(body)
        self._rest = _Rest(body)

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
            yield ended
        if len(self._rest) > self._max_piece:
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


def content_type(value: bytes | None) -> tuple[str, str]:
    """Return the media type of a ``Content-Type``, in lower case, and the charset of its text."""
    media_type, *parameters = (value or b"").decode("latin-1").split(";")
    charset = ""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = charset or text.strip().strip('"')
    return media_type.strip().lower(), charset or "utf-8"


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


def _whole(text: bytes) -> list[bytes]:
    return [text] if text else []


class _Rest:
    """The beginning of a piece that has not ended."""

    def __init__(self, body: BodyFormat, *, strip: bool = False) -> None:
        self._bound = body.max_piece
        self._drops = body.unfinished == "drop"
        self._strip = strip
        self._begun = bytearray()

    def cut(self, pieces: list[bytes]) -> Iterator[bytes]:
        """Yield the pieces that have ended; the last one has not, the first one goes on."""
        *ended, last = pieces
        for piece in ended:
            if self._begun or len(piece) > self._bound:
                self.add(piece)
                whole = bytes(self._begun)
                self._begun.clear()
            else:
                whole = piece
            if self._strip:
                whole = whole.strip()
            if whole or not self._strip:
                yield whole
        self.add(last)

    def add(self, text: bytes) -> None:
        """Go on. Raises `BodyError` over the bound."""
        self._begun += text
        if len(self._begun) > self._bound:
            raise BodyError(f"a line or record takes more than {self._bound} bytes")

    def ends_with(self, text: bytes) -> bool:
        """Whether this is how it goes on last."""
        return self._begun.endswith(text)

    def peek(self) -> bytes:
        """Return what there is."""
        return bytes(self._begun)

    def take(self) -> list[bytes]:
        """Return what there is as a piece, if there is any, and forget it."""
        piece = bytes(self._begun)
        self._begun.clear()
        return _whole(piece.strip() if self._strip else piece)

    def end(self) -> list[bytes]:
        """Return what there is as the last piece, if there is any and it is to be delivered."""
        last = self.take()
        if not (last and self._drops):
            return last
        logger.warning(
            "the body ended within a line or record, which is dropped: %r", last[0][:200]
        )
        return []


class _Text:
    """Turns a body's bytes into UTF-8, whatever its charset and wherever it is cut."""

    def __init__(self, body: BodyFormat) -> None:
        self._charset = body.charset
        self._replaces = body.invalid_text == "replace"
        self._is_utf8 = self._charset.lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii")
        try:
            "?".encode(self._charset)  # refuses codecs that are no charsets
            self._decoder = getincrementaldecoder(self._charset)("strict")
        except (LookupError, ValueError):
            raise BodyError(f"the body's charset {self._charset!r} is unknown") from None

    def cut(
        self, chunk: bytes, cut: Callable[[bytes], Iterable[bytes]], *, final: bool = False
    ) -> Iterator[bytes]:
        """Yield the pieces of the characters that the chunk completes. Raises `BodyError`."""
        state = self._decoder.getstate()
        if self._is_utf8 and not state[0] and chunk.isascii():
            yield from cut(chunk)
            return
        try:
            text, failure = self._decoder.decode(chunk, final), None
        except UnicodeError as error:
            text, failure = self._repaired(error, chunk, state, final=final)
        yield from cut(text.encode())
        if failure is not None:
            raise failure

    def _repaired(
        self, error: UnicodeError, chunk: bytes, state: tuple[bytes, int], *, final: bool
    ) -> tuple[str, BodyError | None]:
        """Replace what is no text from now on, or return what comes before it and the failure."""
        failure = BodyError(f"the body is no text in {self._charset}: {error}")
        try:
            if not self._replaces:
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                self._decoder.setstate(state)
                return self._decoder.decode(chunk[: max(start - len(state[0]), 0)]), failure
            logger.warning("%s, so it is sent with U+FFFD", failure)
            self._decoder = getincrementaldecoder(self._charset)("replace")
            self._decoder.setstate(state)
            return self._decoder.decode(chunk, final), None
        except UnicodeError:  # UTF-16 without a byte order mark
            return "", failure


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
