"""From an item to the bytes of one event.

Rules of this file:
- ``None`` is a keep-alive, a `ServerSentEvent` sets all its fields, anything else is data.
- Data is always JSON, strings included. NaN and infinities become null, because JSON has no such
  numbers. A preset may turn data into another event.
- A declared item type validates and filters data. The ``data`` of a `ServerSentEvent` is the
  endpoint's own choice, unless the type is declared as ``ServerSentEvent[Item]``.
- Data that names its event is sent as that event. A `ServerSentEvent` with an ``event`` keeps it.
- An item that can't be encoded is refused. The error names the item's type and the endpoint.
"""

from collections.abc import Callable, Collection
from typing import Any

from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import CoreConfig, any_schema

from sse_middleware.errors import EncodingError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.typed_events import SSEModel, event_name
from sse_middleware.settings import Serializer, StreamSettings
from sse_middleware.wire.encoding import (
    FRAMING,
    encode_data,
    encode_event,
    encode_validated_event,
    split_lines,
    to_utf8,
)

# Like pydantic_core.to_json, but with compiled options, which takes half the time.
_to_json = SchemaSerializer(any_schema(), CoreConfig(ser_json_inf_nan="null")).to_json


def _default_json(value: Any) -> bytes:
    return _to_json(value, by_alias=True)


_PLAIN = (dict, str, list, int, float, bool, tuple)


class ItemEncoder:
    """Encodes the items of one stream.

    Args:
        settings: the stream's settings: ``serializer``, ``preset`` and ``max_event_size``.
        ping: makes the keep-alive that ``None`` becomes.
        item_type: the type that validates and filters data.
        endpoint: the name of the items' origin in error messages.
    """

    __slots__ = (
        "_endpoint",
        "_field_json",
        "_item_type",
        "_max_size",
        "_name_of",
        "_naming_type",
        "_ping",
        "_serializer",
        "_to_event",
        "plain",
        "to_text",
    )

    def __init__(
        self,
        settings: StreamSettings,
        ping: Callable[[], bytes],
        item_type: ItemType | None,
        endpoint: str,
    ) -> None:
        self._max_size = settings.max_event_size
        self._serializer = settings.serializer
        has_to_event = settings.preset is not None and settings.preset.to_event is not None
        names_events = item_type is not None and item_type.names
        self.plain: Collection[type] = () if has_to_event or names_events else _PLAIN
        """The types that are known to be only data. `to_text` is enough for their items."""
        self.to_text = _text_encoder(settings.serializer, item_type)
        if self._max_size is not None:
            self.to_text = _limited(self.to_text, self._max_size)
        """Turns an item and ``by_alias=True`` into a text for `wire.encoding.encode_data`."""
        self._field_json = field_serializer(settings.serializer)
        self._item_type = item_type
        self._naming_type: Any = SSEModel if item_type is None or not item_type.names else object
        """An item that is an instance of this may name its event."""
        self._name_of = event_name if item_type is None else item_type.names.of
        self._to_event = None if settings.preset is None else settings.preset.to_event
        self._ping = ping
        self._endpoint = endpoint

    def encode(self, item: Any) -> bytes:
        """Return the bytes of one event. Raises `EncodingError`, or the ping factory's errors."""
        if item is None:
            return self._ping()
        try:
            if type(item) not in self.plain:
                if isinstance(item, ServerSentEvent):
                    return self._checked_size(self._event_frame(item))
                if self._to_event is not None:
                    event = self._preset_event(item, self._to_event)
                    return self._checked_size(event_frame(event, self._field_json, self._name_of))
                if isinstance(item, self._naming_type):
                    return self._checked_size(self._named_frame(item))
                self.plain = {*self.plain, type(item)}
            return encode_data((self.to_text(item, by_alias=True),))
        except Exception as error:
            raise self.refusal(item, error) from error

    def _event_frame(self, item: ServerSentEvent) -> bytes:
        declared = self._item_type
        if declared is None or not declared.of_events or item.data is None:
            return event_frame(item, self._field_json, self._name_of)
        item = item.model_copy(update={"data": declared.validated(item.data)})
        return event_frame(item, self._filtered_json, self._name_of)

    def _named_frame(self, item: Any) -> bytes:
        value = item if self._item_type is None else self._item_type.validated(item)
        return encode_event(self._filtered_json(value), event=self._name_of(value))

    def _filtered_json(self, value: Any) -> bytes:
        """Encode data that the item type has validated."""
        if self._item_type is None:
            return self._field_json(value)
        if self._serializer is None:
            return self._item_type.filtered_json(value)
        return self._field_json(self._item_type.filtered(value))

    def _preset_event(
        self, item: Any, to_event: Callable[[Any], ServerSentEvent]
    ) -> ServerSentEvent:
        event: Any = to_event(item if self._item_type is None else self._item_type.plain(item))
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"the preset's to_event must return a ServerSentEvent, got {event!r}")
        return event

    def _checked_size(self, frame: bytes) -> bytes:
        if self._max_size is not None:
            _check_size(len(frame), self._max_size)
        return frame

    def refusal(self, item: Any, error: Exception) -> Exception:
        """Return an `EncodingError` for an item, or `error` itself if it needs no wrapping."""
        if item is None or isinstance(error, EncodingError):
            return error
        name = _name(type(item))
        refusal = EncodingError(
            f"{self._endpoint} gave an item of type {name} that can't be sent: {error}"
        )
        refusal.__cause__ = error
        return refusal


def event_frame(
    item: ServerSentEvent,
    field_json: Callable[[Any], bytes],
    name_of: Callable[[Any], str | None] = event_name,
) -> bytes:
    """Return the bytes of a `ServerSentEvent`."""
    if item.raw_data is not None:
        data: bytes | None = to_utf8("raw_data", item.raw_data)
    else:
        data = None if item.data is None else field_json(item.data)
    event = name_of(item.data) if item.event is None else item.event
    return encode_validated_event(data, event, item.id, item.retry, item.comment)


def _check_size(size: int, max_size: int) -> None:
    """Refuse an event of too many bytes."""
    if size > max_size:
        raise ValueError(f"it takes {size} bytes, and max_event_size is {max_size}")


def _limited(to_text: Callable[..., bytes], max_size: int) -> Callable[..., bytes]:
    def to_limited_text(item: Any, **options: Any) -> bytes:
        text = to_text(item, **options)
        _check_size(len(text) + FRAMING, max_size)
        return text

    return to_limited_text


def _text_encoder(
    serializer: Serializer | None, item_type: ItemType | None
) -> Callable[..., bytes]:
    """Return what turns data into the text of ``data``, with a prefix on each later line."""
    if serializer is None:  # compact JSON is a single line
        return _to_json if item_type is None else item_type.to_json
    serialize = _checked_serializer(serializer)
    plain = item_type.plain if item_type is not None else lambda item: item
    return lambda item, **_: b"\ndata: ".join(split_lines(serialize(plain(item))))


def field_serializer(serializer: Serializer | None) -> Callable[[Any], bytes]:
    """Return what turns the data of a `ServerSentEvent` into text."""
    return _default_json if serializer is None else _checked_serializer(serializer)


def _checked_serializer(serializer: Serializer) -> Callable[[Any], bytes]:
    def serialize(value: Any) -> bytes:
        text = serializer(value)
        if isinstance(text, str):
            return text.encode()
        if isinstance(text, bytes):
            return text
        raise TypeError(f"serializer must return bytes or str, got {text!r}")

    return serialize


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("builtins.")
