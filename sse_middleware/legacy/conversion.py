"""`Conversion`: turns the pieces of a legacy body into events with a type and an id.

Rules of this file:
- A piece becomes the data of one event unchanged: JSON stays the text that it was.
- A piece is malformed if it is not JSON where its body is JSON, or if it has no id where a template
  names one. It is reported, and `EventFields.malformed` says whether it is sent as it is, is left
  out, or fails the stream.
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
"""What happens to a malformed piece: it is sent as it is, is left out, or fails the stream."""

_EVENT = re.compile(rb"(?:\A|\n\n|\r\n\r\n|\r\r)(?![:\r\n]|\Z)")
"""Where an event begins in complete blocks. A block that begins with a comment is a keep-alive."""

_ID_FIELD = re.compile(r"line|json(\[[^\[\]]+\])*")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFields:
    """What the events of a legacy body have in addition to their data.

    Attributes:
        event: the type of each event.
        id: a template for the id of each event. ``"{line}"`` is the number of the piece, counted
            from 1, and ``"{json[id]}"`` a field of its JSON.
        malformed: what happens to a malformed piece. It is sent as it is (``"raw"``), is left out
            (``"skip"``), or fails the stream (``"fail"``).
        last: the bytes of an event that is sent when the body has ended. ``b""`` sends none.

    Raises:
        FieldError: `event` or `id` is not a single line.
        ConfigurationError: `id` is not such a template, or `malformed` is none of the three.
    """

    event: str | None = None
    id: str | None = None
    malformed: Malformed = "raw"
    last: bytes = b""

    def __post_init__(self) -> None:
        """Refuse values that can't work."""
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
        factory: makes the adapter that splits the body.
        body: what the adapter needs to know about the body.
        fields: what the events have in addition to their data.
        origin: the name of the endpoint in log and error messages.
    """

    def __init__(
        self, factory: AdapterFactory, body: BodyFormat, fields: EventFields, origin: str
    ) -> None:
        self.error: BodyError | None = None
        """Why nothing more is converted, if something failed."""
        self.events = 0
        """How many events the last call returned."""
        self._adapter = factory(body)
        self._fields = fields
        self._origin = origin
        self._line = 0
        template = fields.id or ""
        self._is_event_stream = factory is EventStream
        self._is_json = factory in (JSONLines, JSONSequence) or "{json" in template
        self._only_data = not (self._is_event_stream or self._is_json or fields.event or template)

    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes of the body. Return the events that they complete.

        If the body can't be split, or if a malformed piece fails the stream, this returns the
        events before the failure and sets `error`.
        """
        return self._frames(lambda: self._adapter.feed(chunk))

    def end(self) -> bytes:
        """Return the events that the end of the body completes. Fails as `feed`."""
        frames = self._frames(self._adapter.end)
        if self.error is not None or not self._fields.last:
            return frames
        self.events += 1
        return frames + self._fields.last

    def _frames(self, split: Callable[[], Iterable[bytes]]) -> bytes:
        found: list[bytes] = []
        if self.error is None:
            try:
                found.extend(map(self._convert, split()))  # keeps the pieces before an error
            except BodyError as error:
                self.error = error
        if self._only_data and found:
            self.events = len(found)
            return encode_data(found)
        frames = b"".join(found)
        if self._is_event_stream:
            self.events = len(_EVENT.findall(frames))
        else:
            self.events = len(found) - found.count(b"")
        return frames

    def _convert(self, piece: bytes) -> bytes:
        if self._is_event_stream:
            return piece
        return _as_data(piece) if self._only_data else self._event(piece)

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
    """Fills the template of an id. Only text and numbers can be part of an id."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError(f"an id must be text or a number, got {value!r}")
        return format(value, format_spec)


def _check_template(template: str) -> None:
    try:
        fields = [field for field in Formatter().parse(template) if field[1] is not None]
        for _, name, spec, _ in fields:
            format(1, spec if name == "line" and spec else "")
    except ValueError as error:
        raise ConfigurationError(f"id is not a template ({error}), got {template!r}") from error
    for _, name, _, _ in fields:
        if not _ID_FIELD.fullmatch(name or ""):
            allowed = "'{line}' and '{json[name]}'"
            raise ConfigurationError(f"id may name {allowed}, got {template!r}")


def _as_data(piece: bytes) -> bytes:
    """Return a piece in the form that `encode_data` takes."""
    if b"\n" in piece or b"\r" in piece:
        return b"\ndata: ".join(split_lines(piece))
    return piece
