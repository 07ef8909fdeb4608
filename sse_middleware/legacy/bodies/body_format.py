"""`BodyFormat`: what an adapter needs to know about its body."""

from dataclasses import dataclass
from typing import Literal

from sse_middleware.errors import ConfigurationError

MAX_PIECE = 1024 * 1024
"""Bytes that a line, a record or a whole document may take: enough for any sane one, and a bound
for one that never ends."""


@dataclass(frozen=True, slots=True)
class BodyFormat:
    """What an adapter needs to know about its body.

    Attributes:
        charset: the text's charset, from the ``Content-Type``.
        invalid_text: whether bytes that are invalid in the charset become U+FFFD (``"replace"``) or
            fail the stream (``"fail"``).
        unfinished: whether a piece that the end of the body cuts off is sent (``"deliver"``), or
            left out and reported (``"drop"``). ``None`` does what is usual for such a body.
        max_piece: bytes that one piece may take. It is not for event streams.
        max_event_size: bytes that one event may take, with its fields. ``None`` sets no bound.

    Raises:
        ConfigurationError: a value is not allowed.
    """

    charset: str = "utf-8"
    invalid_text: Literal["replace", "fail"] = "replace"
    unfinished: Literal["deliver", "drop"] | None = None
    max_piece: int = MAX_PIECE
    max_event_size: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that can't work."""
        if self.invalid_text not in ("replace", "fail"):
            allowed = "'replace' or 'fail'"
            raise ConfigurationError(f"invalid_text must be {allowed}, got {self.invalid_text!r}")
        if self.unfinished not in ("deliver", "drop", None):
            allowed = "'deliver', 'drop' or None"
            raise ConfigurationError(f"unfinished must be {allowed}, got {self.unfinished!r}")
        _check_size("max_piece", self.max_piece)
        if self.max_event_size is not None:
            _check_size("max_event_size", self.max_event_size)


def _check_size(name: str, value: object) -> None:
    if type(value) is not int or value <= 0:
        raise ConfigurationError(f"{name} must be a number of bytes over 0, got {value!r}")
