"""`Conversion`: turns a body into the frames of events, slice by slice.

Rules of this file:
- A piece becomes the data of one event unchanged: JSON stays the text that it was, but for the
  characters that `escaped_json` escapes, because some clients split lines there.
- A piece is malformed if it is not JSON where its body is JSON, or if it has no id where a template
  names one. It is reported, and `EventFields.malformed` says whether it is sent as it is, is left
  out, or fails the stream.
- A slice has whole events, and costs a few milliseconds at most: it has few pieces and few bytes.
  A large piece is checked and framed in steps, and sent in a slice of its own. So the caller can
  let others run between two slices.
- An event stream passes unchanged (`foreign_stream`).
- ``max_event_size`` bounds the frame of each event, whatever adapter has made the piece.
"""

import logging
import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import Formatter
from types import GeneratorType, MappingProxyType
from typing import Any, Literal

from pydantic_core import from_json

from sse_middleware.errors import LONGEST_SHOWN, BodyError, ConfigurationError, printable
from sse_middleware.legacy.bodies.adapters import (
    AdapterFactory,
    JSONDocument,
    JSONLines,
    JSONSequence,
)
from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.legacy.bodies.foreign_stream import ForeignEventStream
from sse_middleware.legacy.json.lookup import lookup
from sse_middleware.legacy.json.scanner import checked
from sse_middleware.wire.encoding import (
    FRAMING,
    as_data,
    check_single_line,
    encode_data,
    encode_event,
    single_line,
    to_utf8,
)

logger = logging.getLogger(__name__)

Malformed = Literal["raw", "skip", "fail"]
"""What happens to a malformed piece: it is sent as it is, is left out, or fails the stream."""

Slice = tuple[bytes, int]
"""Frames, and the number of their events. ``(b"", 0)`` if work was done that completed nothing."""

SLICE_PIECES = 256
"""Pieces of one slice."""

SLICE_SIZE = 32 * 1024
"""Bytes of the pieces of one slice, before the last one."""

LARGE = 16 * 1024
"""Bytes above which a piece is converted in steps."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_ID_KEY = re.compile(r"\[([^\[\]]+)\]")
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
        ConfigurationError: `id` is not such a template, or `malformed` is not one of the three.
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
    """Turns the chunks of one body into the frames of events.

    Args:
        factory: makes the adapter that splits the body.
        body: what the adapter needs to know about the body.
        fields: what the events have in addition to their data.
        origin: the name of the endpoint in log and error messages.
        large: bytes above which a piece is converted in steps.
    """

    def __init__(
        self,
        factory: AdapterFactory,
        body: BodyFormat,
        fields: EventFields,
        origin: str,
        large: int = LARGE,
    ) -> None:
        self.error: BodyError | None = None
        """Why nothing more is converted, if something failed."""
        self._adapter = factory(body)
        self._passed = self._adapter if isinstance(self._adapter, ForeignEventStream) else None
        self._fields = fields
        self._origin = origin
        self._large_size = large
        self._line = 0
        self._bound = body.max_event_size
        template = fields.id or ""
        self._is_json = factory in (JSONLines, JSONSequence) or "{json" in template
        self._only_data = not (self._is_json or fields.event or template)
        self._framing = FRAMING if self._only_data else 0
        self._escapes = self._is_json or factory is JSONDocument

    @property
    def between_events(self) -> bool:
        """Whether a frame of the stream itself may follow the last slice."""
        return self._passed is None or self._passed.between_events

    def is_one_event(self, chunk: bytes) -> bool:
        """Whether a chunk is one event that passes as it is. Most chunks of event streams are."""
        return self._passed is not None and self._passed.is_one_event(chunk)

    def cut_at_end_of_event(self, chunk: bytes) -> tuple[bytes, ...]:
        """Return the parts of a chunk up to the end of the open event, and after it."""
        return (chunk,) if self._passed is None else self._passed.cut_at_end_of_event(chunk)

    def feed(self, chunk: bytes) -> Iterator[Slice]:
        """Take the next bytes of the body. Yield the events that they complete, slice by slice.

        If the body can't be split, or if a malformed piece fails the stream, this yields the events
        before the failure and sets `error`.
        """
        if self.error is None:
            yield from self._sliced(self._adapter.feed(chunk))

    def end(self) -> Iterator[Slice]:
        """Yield the events that the end of the body completes. Fails as `feed`."""
        if self.error is None:
            yield from self._sliced(self._adapter.end())
        if self.error is None and self._fields.last:
            yield self._fields.last, 1

    def _sliced(self, pieces: Iterable[bytes | None]) -> Iterator[Slice]:
        try:
            if self._passed is None:
                yield from self._converted(pieces)
            else:
                for part in pieces:
                    yield part or b"", self._passed.events
        except BodyError as error:
            self.error = error
        finally:
            if isinstance(pieces, GeneratorType):
                pieces.close()  # the traceback of an error would keep it

    def _converted(self, pieces: Iterable[bytes | None]) -> Iterator[Slice]:
        found: list[bytes] = []
        size = 0
        try:
            for piece in pieces:
                if piece is not None and len(piece) <= self._large_size:
                    text = self._data(piece) if self._only_data else self._event(piece)
                    if self._bound is not None:
                        self._check_size(len(text) + self._framing)
                    found.append(text)
                    size += len(piece)
                    if size < SLICE_SIZE and len(found) < SLICE_PIECES:
                        continue
                yield self._joined(found)
                found, size = [], 0
                if piece is not None and len(piece) > self._large_size:
                    for frame in self._large(piece):
                        yield (frame, 1) if frame else (b"", 0)
        except Exception:
            if found:
                yield self._joined(found)  # everything before an error is sent
            raise
        if found:
            yield self._joined(found)

    def _joined(self, found: list[bytes]) -> Slice:
        if self._only_data and found:
            return encode_data(found), len(found)
        return b"".join(found), len(found) - found.count(b"")

    def _check_size(self, size: int) -> None:
        """Refuse a large event. Its fields, and ``data:`` in each line, count too."""
        if self._bound is not None and size > self._bound:
            raise BodyError(
                f"{self._origin}: an event takes {size} bytes, and max_event_size is {self._bound}"
            )

    def _escaped(self, piece: bytes) -> bytes:
        """Return a piece that is known to be JSON, if its body is, for clients that split it."""
        return single_line(piece) if self._escapes else piece

    def _data(self, piece: bytes) -> bytes:
        return as_data(self._escaped(piece))

    def _event(self, piece: bytes) -> bytes:
        self._line += 1
        try:
            value = from_json(piece, allow_inf_nan=False) if self._is_json else None
            piece = self._escaped(piece)
            template = self._fields.id
            id_ = (
                None
                if template is None
                else _IDFormatter().format(template, line=self._line, json=value)
            )
            return encode_event(piece, event=self._fields.event, id=id_)
        except (ValueError, LookupError, TypeError) as error:
            sent = self._malformed(piece, error)
            return encode_event(piece, event=self._fields.event) if sent else b""

    def _large(self, piece: bytes) -> Iterator[bytes | None]:
        """Yield the frame of a large piece, and ``None`` after each step before it."""
        self._line += 1
        id_line = b""
        try:
            if self._is_json:
                yield from checked(piece)
            piece = self._escaped(piece)
            if self._fields.id is not None:
                id_ = yield from self._large_id(piece, self._fields.id)
                id_line = encode_event(None, id=id_)[:-1]
        except (ValueError, LookupError, TypeError) as error:
            if not self._malformed(piece, error):
                return
        event = self._fields.event
        event_line = b"" if event is None else encode_event(None, event=event)[:-1]
        lines = yield from _large_data(piece)
        frame = b"".join((event_line, b"data: ", *lines, b"\n", id_line, b"\n"))
        self._check_size(len(frame))
        yield frame

    def _large_id(self, piece: bytes, template: str) -> Generator[None, None, str]:
        values = {}
        for _, name, _, _ in Formatter().parse(template):
            if name and name != "line":
                keys = _ID_KEY.findall(name)
                path = [int(key) if key.isdecimal() else key for key in keys]
                values[name] = yield from lookup(piece, path)
        return _IDFormatter(values).format(template, line=self._line)

    def _malformed(self, piece: bytes, error: Exception) -> bool:
        """Report a malformed piece. Return whether it is sent."""
        reason, shown = printable(error), printable(piece[:LONGEST_SHOWN])
        what = f"{self._origin}: piece {self._line} is malformed ({reason}): {shown}"
        if self._fields.malformed == "fail":
            raise BodyError(what) from error
        skipped = self._fields.malformed == "skip"
        logger.warning("%s; it is %s", what, "left out" if skipped else "sent as it is")
        return not skipped


class _IDFormatter(Formatter):
    """Fills the template of an id. Only text and numbers can be part of an id.

    Args:
        values: the values of fields that were looked up before.
    """

    def __init__(self, values: Mapping[str, Any] = _NOTHING) -> None:
        self._values = values

    def get_field(self, field_name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if field_name in self._values:
            return self._values[field_name], field_name
        return super().get_field(field_name, args, kwargs)

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


def _large_data(piece: bytes) -> Generator[None, None, list[bytes]]:
    """Return a large piece in the form that `encode_data` takes, in parts. Pause after each."""
    parts: list[bytes] = []
    begin = 0
    while begin < len(piece):
        end = begin + SLICE_SIZE
        end += piece[end - 1 : end + 1] == b"\r\n"
        parts.append(as_data(piece[begin:end]))
        begin = end
        yield
    return parts
