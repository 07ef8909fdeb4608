"""What the body adapters share: `BodyFormat`, text in UTF-8, and the incomplete piece.

The rules of `body_adapters` hold here too.
"""

import logging
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sse_middleware.errors import BodyError, ConfigurationError

logger = logging.getLogger(__name__)

MAX_PIECE = 1024 * 1024
"""Bytes that a line, a record or a whole document may take: enough for any sane one, and an end to
one that never ends."""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """What an adapter needs to know about its body.

    Attributes:
        charset: of the text, from the ``Content-Type``.
        invalid_text: whether bytes that are invalid in the charset become U+FFFD (``"replace"``) or
            fail the stream (``"fail"``).
        unfinished: whether a piece that the end of the body cuts off is sent (``"deliver"``), or
            left out and reported (``"drop"``). ``None`` does what is usual for such a body.
        max_piece: bytes that one piece may take.

    Raises:
        ConfigurationError: a value is not allowed.
    """

    charset: str = "utf-8"
    invalid_text: Literal["replace", "fail"] = "replace"
    unfinished: Literal["deliver", "drop"] | None = None
    max_piece: int = MAX_PIECE

    def __post_init__(self) -> None:
        """Refuse values that can't work."""
        if self.invalid_text not in ("replace", "fail"):
            allowed = "'replace' or 'fail'"
            raise ConfigurationError(f"invalid_text must be {allowed}, got {self.invalid_text!r}")
        if self.unfinished not in ("deliver", "drop", None):
            allowed = "'deliver', 'drop' or None"
            raise ConfigurationError(f"unfinished must be {allowed}, got {self.unfinished!r}")
        if type(self.max_piece) is not int or self.max_piece <= 0:
            allowed = "a number of bytes over 0"
            raise ConfigurationError(f"max_piece must be {allowed}, got {self.max_piece!r}")


def as_pieces(text: bytes) -> list[bytes]:
    """Return the text as one piece, or no piece if it is empty."""
    return [text] if text else []


class PieceBuffer:
    """Holds the beginning of a piece that is not complete."""

    def __init__(self, body: BodyFormat, *, strip: bool = False) -> None:
        self._bound = body.max_piece
        self._drops = body.unfinished == "drop"
        self._strip = strip
        self._buffer = bytearray()

    def complete(self, parts: list[bytes]) -> Iterator[bytes]:
        """Yield the complete pieces. The first part continues the buffer, the last stays in it."""
        *ended, last = parts
        for piece in ended:
            if self._buffer or len(piece) > self._bound:
                self.add(piece)
                whole = bytes(self._buffer)
                self._buffer.clear()
            else:
                whole = piece
            if self._strip:
                whole = whole.strip()
            if whole or not self._strip:
                yield whole
        self.add(last)

    def add(self, text: bytes) -> None:
        """Add to the piece. Raises `BodyError` if it grows over the bound."""
        self._buffer += text
        if len(self._buffer) > self._bound:
            raise BodyError(f"a line or record takes more than {self._bound} bytes")

    def ends_with(self, text: bytes) -> bool:
        """Whether the piece ends with this text so far."""
        return self._buffer.endswith(text)

    def peek(self) -> bytes:
        """Return the piece so far."""
        return bytes(self._buffer)

    def take(self) -> list[bytes]:
        """Empty the buffer, and return what was in it as a piece, if there was any."""
        piece = bytes(self._buffer)
        self._buffer.clear()
        return as_pieces(piece.strip() if self._strip else piece)

    def end(self) -> list[bytes]:
        """Return what is left as the last piece, unless incomplete pieces are dropped."""
        last = self.take()
        if not (last and self._drops):
            return last
        logger.warning(
            "the body ended within a line or record, which is dropped: %r", last[0][:200]
        )
        return []


class Transcoder:
    """Turns a body's bytes into UTF-8, whatever its charset is and wherever its chunks are cut."""

    def __init__(self, body: BodyFormat) -> None:
        self._charset = body.charset
        self._replaces = body.invalid_text == "replace"
        self._is_utf8 = self._charset.lower().replace("_", "-") in ("utf-8", "utf8", "us-ascii")
        try:
            "?".encode(self._charset)  # refuses codecs that are not charsets
            self._decoder = getincrementaldecoder(self._charset)("strict")
        except (LookupError, ValueError):
            raise BodyError(f"the body's charset {self._charset!r} is unknown") from None

    def split(
        self, chunk: bytes, split: Callable[[bytes], Iterable[bytes]], *, final: bool = False
    ) -> Iterator[bytes]:
        """Yield the pieces into which `split` divides the text that the chunk completes.

        Raises:
            BodyError: a byte is invalid in the charset, and this fails the stream.
        """
        state = self._decoder.getstate()
        if self._is_utf8 and not state[0] and chunk.isascii():
            yield from split(chunk)
            return
        try:
            text, failure = self._decoder.decode(chunk, final), None
        except UnicodeError as error:
            text, failure = self._decode_invalid(error, chunk, state, final=final)
        yield from split(text.encode())
        if failure is not None:
            raise failure

    def _decode_invalid(
        self, error: UnicodeError, chunk: bytes, state: tuple[bytes, int], *, final: bool
    ) -> tuple[str, BodyError | None]:
        """Replace invalid bytes from now on, or return the text before them and the failure."""
        failure = BodyError(f"the body is not text in {self._charset}: {error}")
        try:
            if not self._replaces:
                start = error.start if isinstance(error, UnicodeDecodeError) else 0
                self._decoder.setstate(state)
                return self._decoder.decode(chunk[: max(start - len(state[0]), 0)]), failure
            logger.warning("%s; invalid bytes are sent as U+FFFD", failure)
            self._decoder = getincrementaldecoder(self._charset)("replace")
            self._decoder.setstate(state)
            return self._decoder.decode(chunk, final), None
        except UnicodeError:  # UTF-16 without a byte order mark
            return "", failure
