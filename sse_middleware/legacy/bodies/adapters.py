"""The body adapters: each splits bodies of one format into the data of events, without I/O.

Rules of this file:
- An adapter takes chunks, cut anywhere, and returns the pieces that they complete. It holds only
  the piece that is not complete, up to a bound.
- Text becomes UTF-8. Bytes that are invalid in the body's charset are replaced and reported, or
  they fail the stream.
- A piece that the end of the body cuts off is delivered, unless the route drops it.
- Every piece before an error is returned before the error, wherever the chunks were cut. A JSON
  document is checked as a whole before its first element is returned.
- Lines end at CRLF, CR or LF. A line of JSON ends only at LF.
- The work is linear in the length of the body, however it is cut. After each few thousand bytes an
  adapter yields a piece or ``None``, so that others can run.

Event streams aren't split at all: see `foreign_stream`.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Protocol

from sse_middleware.errors import BodyError
from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.legacy.bodies.piece_buffer import PieceBuffer
from sse_middleware.legacy.bodies.transcoder import TRANSCODE_STEP, Transcoder
from sse_middleware.legacy.json.scanner import JSONScanner, checked, elements, is_json
from sse_middleware.wire.encoding import split_lines


class BodyAdapter(Protocol):
    """Splits one body into the data of events. Each response gets a new adapter."""

    def feed(self, chunk: bytes) -> Iterable[bytes | None]:
        """Take the next bytes. Return the pieces that they complete, in UTF-8.

        This may be a generator. What it yields before an error is delivered. Wherever it yields
        ``None``, the event loop may do something else.

        Raises:
            BodyError: the body has another format, or a piece is too long.
        """

    def end(self) -> Iterable[bytes | None]:
        """Return the pieces that the end of the body completes. Raises as `feed`."""


AdapterFactory = Callable[[BodyFormat], BodyAdapter]
"""Makes the adapter of one body."""


class _SplitBody:
    """Splits the text of a body as it comes."""

    _buffer: PieceBuffer

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield the complete lines."""
        return self._transcoder.split(chunk, self._split)

    def end(self) -> Iterator[bytes | None]:
        """Yield the last line, if it is not complete."""
        yield from self._transcoder.split(b"", self._split, final=True)
        yield from self._buffer.end()

    @abstractmethod
    def _split(self, text: bytes) -> Iterator[bytes]:
        """Yield the complete lines."""


class Lines(_SplitBody):
    """``text/plain``, ``text/csv``: each line is a piece, even an empty one."""

    def __init__(self, body: BodyFormat) -> None:
        super().__init__(body)
        self._buffer = PieceBuffer(body, "line")
        self._after_cr = False

    def _split(self, text: bytes) -> Iterator[bytes]:
        if self._after_cr and text[:1] == b"\n":
            text = text[1:]
            self._after_cr = False
        if text:
            self._after_cr = text[-1:] == b"\r"
            yield from self._buffer.complete(split_lines(text))


class JSONLines(_SplitBody):
    """``application/x-ndjson`` and the like: each line that is not blank is a piece."""

    def __init__(self, body: BodyFormat) -> None:
        super().__init__(body)
        self._buffer = PieceBuffer(body, "line", strip=True)

    def _split(self, text: bytes) -> Iterator[bytes]:
        return self._buffer.complete(text.split(b"\n"))


class JSONSequence:
    """``application/json-seq``: texts that begin with a record separator (RFC 7464).

    A text ends where the next one begins, or at a newline if it is complete JSON there.
    """

    _STEP = TRANSCODE_STEP // 2  # a short line of a long text costs more than any other line

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body, self._STEP)
        self._buffer = PieceBuffer(body, "record", strip=True)
        self._max_piece = body.max_piece
        self._scanner = JSONScanner()

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield the complete texts."""
        return self._transcoder.split(chunk, self._split)

    def end(self) -> Iterator[bytes | None]:
        """Yield the last text. If it ends with a newline, it was not cut off."""
        yield from self._transcoder.split(b"", self._split, final=True)
        ended = self._buffer.text.endswith(b"\n")
        yield from self._buffer.take() if ended else self._buffer.end()

    def _split(self, text: bytes) -> Iterator[bytes]:
        first, *others = text.split(b"\x1e")
        yield from self._split_lines(first)
        for other in others:
            yield from self._take()
            if other:
                yield from self._split_lines(other)

    def _split_lines(self, text: bytes) -> Iterator[bytes]:
        *ended, last = text.split(b"\n")
        for line in ended:
            if self._is_record(line):
                yield line.strip()
            else:
                self._add(line)
                yield from self._end_line()
        self._add(last)

    def _is_record(self, line: bytes) -> bool:
        """Whether a line is a whole text. Of a longer text only the first line is tried."""
        return not self._buffer.text and len(line) <= self._max_piece and is_json(line)

    def _add(self, text: bytes) -> None:
        buffer = self._buffer
        buffer.add(text if buffer.text else text.lstrip())
        self._scanner.scan(buffer.text, len(buffer.text))

    def _end_line(self) -> list[bytes]:
        self._scanner.finish(self._buffer.text)
        if self._scanner.complete:
            return self._take()
        self._add(b"\n")
        return []

    def _take(self) -> list[bytes]:
        self._scanner = JSONScanner()
        return self._buffer.take()


class Chunks:
    """Each chunk that the application sends is a piece. A character is never split."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body, "chunk")

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Yield the chunk, or the text before its first invalid byte."""
        return self._whole(self._transcoder.split(chunk, self._add))

    def end(self) -> Iterator[bytes | None]:
        """Yield what is left of an incomplete character."""
        return self._whole(self._transcoder.split(b"", self._add, final=True))

    def _whole(self, pauses: Iterator[bytes | None]) -> Iterator[bytes | None]:
        try:
            yield from pauses
        except BodyError:
            yield from self._buffer.take()
            raise
        yield from self._buffer.take()

    def _add(self, text: bytes) -> tuple[bytes, ...]:
        self._buffer.add(text)
        return ()


class JSONDocument:
    """``application/json``: each element of an array is a piece. Other documents are one piece."""

    def __init__(self, body: BodyFormat) -> None:
        self._transcoder = Transcoder(body)
        self._buffer = PieceBuffer(body, "document")

    def feed(self, chunk: bytes) -> Iterator[bytes | None]:
        """Keep the chunk."""
        return self._transcoder.split(chunk, self._add)

    def end(self) -> Iterator[bytes | None]:
        """Yield the elements, each as it was written.

        Raises:
            BodyError: the body is not JSON. No element was yielded.
        """
        yield from self._transcoder.split(b"", self._add, final=True)
        document = self._buffer.text
        try:
            yield from checked(document)
        except ValueError as error:
            raise BodyError(f"the body is not JSON: {error}") from error
        yield from elements(document)

    def _add(self, text: bytes) -> tuple[bytes, ...]:
        self._buffer.add(text)
        return ()


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
