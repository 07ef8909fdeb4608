"""`PieceBuffer`: the beginning of a piece that is not complete, up to a bound."""

import logging
from collections.abc import Iterator

from sse_middleware.errors import LONGEST_SHOWN, BodyError, printable
from sse_middleware.legacy.bodies.body_format import BodyFormat

logger = logging.getLogger(__name__)


class PieceBuffer:
    """Holds the beginning of a piece that is not complete.

    Args:
        body: sets the bound.
        kind: the name of such a piece in messages.
        strip: whether blanks around a piece are left out. Then a piece of blanks doesn't count.
    """

    def __init__(self, body: BodyFormat, kind: str, *, strip: bool = False) -> None:
        self.text = bytearray()
        """The piece so far. Only `add` may make it longer."""
        self._kind = kind
        self._bound = body.max_piece
        self._drops = body.unfinished == "drop"
        self._strip = strip

    def complete(self, parts: list[bytes]) -> Iterator[bytes]:
        """Yield the complete pieces. The first part continues the buffer, the last stays in it."""
        *ended, last = parts
        for piece in ended:
            if self.text or len(piece) > self._bound:
                self.add(piece)
                whole = bytes(self.text)
                self.text.clear()
            else:
                whole = piece
            if self._strip:
                whole = whole.strip()
            if whole or not self._strip:
                yield whole
        self.add(last)

    def add(self, text: bytes) -> None:
        """Add to the piece. If it grows over the bound, forget it and raise `BodyError`."""
        self.text += text
        if len(self.text) > self._bound:
            self.text = bytearray()
            raise BodyError(f"a {self._kind} takes more than {self._bound} bytes")

    def take(self) -> list[bytes]:
        """Empty the buffer, and return what was in it as a piece, if there was any."""
        piece = bytes(self.text)
        self.text.clear()
        if self._strip:
            piece = piece.strip()
        return [piece] if piece else []

    def end(self) -> list[bytes]:
        """Return what is left as the last piece, unless incomplete pieces are dropped."""
        last = self.take()
        if not (last and self._drops):
            return last
        logger.warning(
            "the body ended within a %s, which is dropped: %s",
            self._kind,
            printable(last[0][:LONGEST_SHOWN]),
        )
        return []
