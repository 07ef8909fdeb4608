"""What the adapters of legacy bodies share: the body's text as UTF-8, and a piece that goes on.

The rules of `bodies` hold here too.
"""

import logging
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from sse_middleware.errors import BodyError, ConfigurationError

logger = logging.getLogger(__name__)


MAX_PIECE = 1024 * 1024
"""Bytes of a line, a record or a whole document: room for any sane one, an end to one that never
ends."""


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


def as_pieces(text: bytes) -> list[bytes]:
    """Return a text as the one piece that it is, or none if it is empty."""
    return [text] if text else []


class Rest:
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
        return as_pieces(piece.strip() if self._strip else piece)

    def end(self) -> list[bytes]:
        """Return what there is as the last piece, if there is any and it is to be delivered."""
        last = self.take()
        if not (last and self._drops):
            return last
        logger.warning(
            "the body ended within a line or record, which is dropped: %r", last[0][:200]
        )
        return []


class BodyText:
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
