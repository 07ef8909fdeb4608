"""`Transcoder`: turns a body into UTF-8.

The rules of `adapters` hold here too.
"""

import codecs
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

from sse_middleware.errors import BodyError
from sse_middleware.legacy.bodies.body_format import BodyFormat

logger = logging.getLogger(__name__)

TRANSCODE_STEP = 8 * 1024
"""Bytes of a body that an adapter takes between two pauses. The slowest charset takes some
milliseconds for them if all of them are invalid."""


class Transcoder:
    """Turns a body's bytes into UTF-8, whatever its charset is and wherever its chunks are cut.

    Args:
        body: names the charset, and says what happens to invalid text.
        step: bytes between two pauses.

    Raises:
        BodyError: Python doesn't know the charset.
    """

    def __init__(self, body: BodyFormat, step: int = TRANSCODE_STEP) -> None:
        self._step = step
        self._charset = body.charset
        self._replaces = body.invalid_text == "replace"
        self._codec = _known_codec(body.charset)
        self._is_utf8 = self._codec.name in ("utf-8", "ascii")
        self._decoder = self._new_decoder("strict")
        self._reported = False
        self._high_surrogate = ""  # the first half of a pair, which the next text may complete

    def split(
        self, chunk: bytes, split: Callable[[bytes], Iterable[bytes]], *, final: bool = False
    ) -> Iterator[bytes | None]:
        """Yield the pieces into which `split` divides the text that the chunk completes.

        After each part of a large chunk this yields ``None``.

        Raises:
            BodyError: a byte is invalid in the charset, and this fails the stream.
        """
        if len(chunk) <= self._step:
            yield from self._split(chunk, split, final=final)
            return
        for at in range(0, len(chunk), self._step):
            yield from self._split(chunk[at : at + self._step], split)
            yield None

    def _split(
        self, chunk: bytes, split: Callable[[bytes], Iterable[bytes]], *, final: bool = False
    ) -> Iterable[bytes]:
        state = self._decoder.getstate()
        if self._is_utf8 and not state[0] and chunk.isascii():
            return split(chunk)
        return self._split_decoded(chunk, split, state, final=final)

    def _split_decoded(
        self,
        chunk: bytes,
        split: Callable[[bytes], Iterable[bytes]],
        state: tuple[bytes, int],
        *,
        final: bool,
    ) -> Iterator[bytes]:
        failure = None
        try:
            text = self._decoder.decode(chunk, final)
        except UnicodeError as error:
            text, failure = self._decode_invalid(error, chunk, state, final=final)
        encoded, lone = self._encode(text, final=final)
        yield from split(encoded)
        failure = failure or lone
        if failure is not None:
            raise failure

    def _decode_invalid(
        self, error: UnicodeError, chunk: bytes, state: tuple[bytes, int], *, final: bool
    ) -> tuple[str, BodyError | None]:
        """Replace invalid bytes from now on, or return the text before them and the failure."""
        failure = self._failure(str(error))
        try:
            if not self._replaces:
                valid = _valid_before(error, state[0] + chunk)
                self._decoder.setstate(state)
                return self._decoder.decode(chunk[: max(valid - len(state[0]), 0)]), failure
            self._decoder = self._new_decoder("replace")
            self._decoder.setstate(state)
            text = self._decoder.decode(chunk, final)
        except UnicodeError:  # UTF-16 without a byte order mark
            return "", failure
        self._report(failure)
        return text, None

    def _encode(self, text: str, *, final: bool) -> tuple[bytes, BodyError | None]:
        """Return the text in UTF-8, up to a lone surrogate if that is a failure."""
        if not self._high_surrogate:
            with suppress(UnicodeEncodeError):  # UTF-7 may contain any surrogate
                return text.encode(), None
        text, self._high_surrogate = _join_surrogates(self._high_surrogate + text, final=final)
        lone = _SURROGATE.search(text)
        if lone is None:
            return text.encode(), None
        failure = self._failure("a surrogate has no other half")
        if not self._replaces:
            return text[: lone.start()].encode(), failure
        self._report(failure)
        return _SURROGATE.sub("\ufffd", text).encode(), None

    def _new_decoder(self, errors: str) -> codecs.IncrementalDecoder:
        if self._codec.name == "utf-7":
            return _UTF7Decoder(errors)
        return codecs.getincrementaldecoder(self._charset)(errors)

    def _failure(self, reason: str) -> BodyError:
        return BodyError(f"the body is not text in {self._charset}: {reason}")

    def _report(self, failure: BodyError) -> None:
        if not self._reported:
            self._reported = True
            logger.warning("%s; invalid bytes are sent as U+FFFD", failure)


class _UTF7Decoder(codecs.BufferedIncrementalDecoder):
    """Decodes UTF-7. Python's own decoder reads a long run of base64 again with each chunk."""

    _MAX_RUN = 64
    """Bytes of a run that has not ended that are read again."""

    # ruff: noqa: FBT001, FBT002, FBT003 - the signatures of codecs

    def _buffer_decode(self, input: Any, errors: str, final: bool) -> tuple[str, int]:
        return codecs.utf_7_decode(input, errors, final)

    def decode(self, input: Any, final: bool = False) -> str:
        """Decode the bytes, and the beginning of a run, which is as long as it was written."""
        text = super().decode(input, final)
        if len(self.buffer) <= self._MAX_RUN:
            return text
        end = (len(self.buffer) - 2) // 8 * 8 + 1  # eight letters are three whole UTF-16 units
        run, self.buffer = self.buffer[:end] + b"-", b"+" + self.buffer[end:]
        return text + codecs.utf_7_decode(run, self.errors, True)[0]


def _valid_before(error: UnicodeError, decoded: bytes) -> int:
    """Return how many of the bytes are valid text."""
    # Some errors don't tell. The decoder of utf-8-sig counts from behind the byte order mark.
    looked_at: bytes = getattr(error, "object", decoded)
    start: int = getattr(error, "start", 0)
    return start + (len(decoded) - len(looked_at) if decoded.endswith(looked_at) else 0)


_SURROGATE = re.compile("[\ud800-\udfff]")

_NO_CHARSETS = ("idna", "punycode", "raw-unicode-escape", "unicode-escape")
"""Text encodings of Python that are not charsets of documents."""


def _known_codec(charset: str) -> codecs.CodecInfo:
    try:
        "?".encode(charset)  # refuses codecs that don't encode text
        codec = codecs.lookup(charset)
    except (LookupError, ValueError):
        codec = None
    if codec is None or codec.name in _NO_CHARSETS:
        raise BodyError(f"the body's charset {charset!r} is unknown")
    return codec


def _join_surrogates(text: str, *, final: bool) -> tuple[str, str]:
    """Return the text with its pairs joined, and the half of a pair that ends it."""
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    cut = not final and "\ud800" <= text[-1:] <= "\udbff"
    return (text[:-1], text[-1]) if cut else (text, "")
