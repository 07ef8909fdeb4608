"""From the pieces of a legacy body to events: their type, their id, and what becomes of bad ones.

Rules of this file:
- A piece is the data of one event, as it is: JSON stays the text that it was.
- A malformed piece is one that is no JSON where its body is JSON, or has no id where a template
  names one. It is sent as it is, left out, or fails the stream, as configured, and is reported.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter
from typing import Literal

from pydantic_core import from_json

from sse_middleware.bodies import (
    AdapterFactory,
    BodyFormat,
    EventStream,
    JSONLines,
    JSONSequence,
)
from sse_middleware.errors import BodyError, ConfigurationError
from sse_middleware.wire import check_single_line, encode_data, encode_event, split_lines

logger = logging.getLogger(__name__)

Malformed = Literal["raw", "skip", "fail"]
"""What becomes of a malformed piece."""

_ID_FIELD = re.compile(r"line|json(\[[^\[\]]+\])*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFields:
    """What the events of a legacy body have beside their data.

    Attributes:
        event: the type of each event.
        id: a template of each event's id: ``"{line}"`` is the number of the piece, from 1 on,
            ``"{json[id]}"`` a field of its JSON.
        malformed: what becomes of a piece that is no JSON or has no id: it is sent as it is, left
            out, or fails the stream.
        last: a whole event that says that the body has ended; ``b""`` for none.

    Raises:
        FieldError: `event` or `id` is no single line.
        ConfigurationError: `id` is no such template, or `malformed` none of the three.
    """

    event: str | None = None
    id: str | None = None
    malformed: Malformed = "raw"
    last: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        if self.event is not None:
            check_single_line("event", self.event)
        if self.id is not None:
            _check_template(check_single_line("id", self.id))
        if self.malformed not in ("raw", "skip", "fail"):
            allowed = "'raw', 'skip' or 'fail'"
            raise ConfigurationError(f"malformed must be {allowed}, got {self.malformed!r}")


class Conversion:
    """Turns the chunks of one body into the bytes of events.

    Args:
        factory: makes the adapter that cuts the body.
        body: what the adapter needs to know.
        fields: what the events have beside their data.
        origin: what reports call the endpoint.
    """

    def __init__(
        self, factory: AdapterFactory, body: BodyFormat, fields: EventFields, origin: str
    ) -> None:
        self._adapter = factory(body)
        self._fields = fields
        self._origin = origin
        self._line = 0
        template = fields.id or ""
        self._framed = factory is EventStream
        self._is_json = factory in (JSONLines, JSONSequence) or "{json" in template
        self._only_data = not (self._is_json or fields.event or template)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the body; return the events that they complete.

        Raises:
            BodyError: the body can't be cut, or a malformed piece shall fail the stream.
        """
        return self._frames(self._adapter.feed(chunk))

    def end(self) -> bytes:
        """Return the events that the end of the body completes. Raises as `feed`."""
        return self._frames(self._adapter.end()) + self._fields.last

    def _frames(self, pieces: Iterable[bytes]) -> bytes:
        if self._framed:
            return b"".join(pieces)
        if self._only_data:
            texts = [_lines(piece) for piece in pieces]
            return encode_data(texts) if texts else b""
        return b"".join([self._event(piece) for piece in pieces])

    def _event(self, piece: bytes) -> bytes:
        self._line += 1
        try:
            value = from_json(piece, allow_inf_nan=False) if self._is_json else None
            template = self._fields.id
            id_ = None if template is None else template.format(line=self._line, json=value)
            return encode_event(piece, event=self._fields.event, id=id_)
        except (ValueError, LookupError, TypeError) as error:
            return self._malformed(piece, error)

    def _malformed(self, piece: bytes, error: Exception) -> bytes:
        what = f"{self._origin}: piece {self._line} is malformed ({error!r}): {piece[:200]!r}"
        if self._fields.malformed == "fail":
            raise BodyError(what) from error
        skipped = self._fields.malformed == "skip"
        logger.warning("%s; it is %s", what, "left out" if skipped else "sent as it is")
        return b"" if skipped else encode_event(piece, event=self._fields.event)


def _check_template(template: str) -> None:
    try:
        names = [name for _, name, _, _ in Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ConfigurationError(f"id is no template ({error}), got {template!r}") from error
    for name in names:
        if not _ID_FIELD.fullmatch(name):
            allowed = "'{line}' and '{json[name]}'"
            raise ConfigurationError(f"id may name {allowed}, got {template!r}")


def _lines(piece: bytes) -> bytes:
    """Return a piece as `encode_data` takes it."""
    if b"\n" in piece or b"\r" in piece:
        return b"\ndata: ".join(split_lines(piece))
    return piece
