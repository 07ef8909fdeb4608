"""From the pieces of a legacy body to events: their type, their id, and what becomes of bad ones.

Rules of this file:
- A piece is the data of one event, as it is: JSON stays the text that it was.
- A malformed piece is one that is no JSON where its body is JSON, or has no id where a template
  names one. It is sent as it is, left out, or fails the stream, as configured, and is reported.
"""

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from string import Formatter
from typing import Any, Literal

from pydantic_core import from_json

from sse_middleware.errors import BodyError, ConfigurationError
from sse_middleware.legacy.body_adapters import AdapterFactory, EventStream, JSONLines, JSONSequence
from sse_middleware.legacy.body_text import BodyFormat
from sse_middleware.wire.encoding import (
    check_single_line,
    encode_data,
    encode_event,
    split_lines,
    to_utf8,
)

logger = logging.getLogger(__name__)


Malformed = Literal["raw", "skip", "fail"]
"""What becomes of a malformed piece."""


_EVENT = re.compile(rb"(?:\A|\n\n|\r\n\r\n|\r\r)(?![:\r\n]|\Z)")
"""Where an event begins in whole blocks, those that begin with a comment being keep-alives."""


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
            to_utf8("event", check_single_line("event", self.event))
        if self.id is not None:
            to_utf8("id", check_single_line("id", self.id))
            _check_template(self.id)
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
        self.error: BodyError | None = None
        """Why nothing more is converted."""
        self.events = 0
        """How many events the last call returned."""
        self._adapter = factory(body)
        self._fields = fields
        self._origin = origin
        self._line = 0
        template = fields.id or ""
        self._framed = factory is EventStream
        self._is_json = factory in (JSONLines, JSONSequence) or "{json" in template
        self._only_data = not (self._framed or self._is_json or fields.event or template)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the body; return the events that they complete.

        Where the body can't be cut, or a malformed piece shall fail the stream, these are the
        events before it, and `error` is set.
        """
        return self._frames(lambda: self._adapter.feed(chunk))

    def end(self) -> bytes:
        """Return the events that the end of the body completes. As `feed`."""
        frames = self._frames(self._adapter.end)
        if self.error is not None or not self._fields.last:
            return frames
        self.events += 1
        return frames + self._fields.last

    def _frames(self, cut: Callable[[], Iterable[bytes]]) -> bytes:
        found: list[bytes] = []
        if self.error is None:
            try:
                found.extend(map(self._converted, cut()))  # keeps what comes before an error
            except BodyError as error:
                self.error = error
        if self._only_data and found:
            self.events = len(found)
            return encode_data(found)
        frames = b"".join(found)
        self.events = len(_EVENT.findall(frames)) if self._framed else len(found) - found.count(b"")
        return frames

    def _converted(self, piece: bytes) -> bytes:
        if self._framed:
            return piece
        return _lines(piece) if self._only_data else self._event(piece)

    def _event(self, piece: bytes) -> bytes:
        self._line += 1
        try:
            value = from_json(piece, allow_inf_nan=False) if self._is_json else None
            template = self._fields.id
            id_ = (
                None
                if template is None
                else _IDFormatter().format(template, line=self._line, json=value)
            )
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


class _IDFormatter(Formatter):
    """Fills a template with what can be an id: text or a number."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError(f"an id is text or a number, not {value!r}")
        return format(value, format_spec)


def _check_template(template: str) -> None:
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
        for _, name, spec, _ in fields:
            format(1, spec if name == "line" and spec else "")
    except ValueError as error:
        raise ConfigurationError(f"id is no template ({error}), got {template!r}") from error
    for _, name, _, _ in fields:
        if not _ID_FIELD.fullmatch(name or ""):
            allowed = "'{line}' and '{json[name]}'"
            raise ConfigurationError(f"id may name {allowed}, got {template!r}")


def _lines(piece: bytes) -> bytes:
    """Return a piece as `encode_data` takes it."""
    if b"\n" in piece or b"\r" in piece:
        return b"\ndata: ".join(split_lines(piece))
    return piece
