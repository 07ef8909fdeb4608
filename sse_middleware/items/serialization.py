"""From an item to the bytes of one event.

Rules of this file:
- ``None`` is a keep-alive, a `ServerSentEvent` says all its fields, anything else is data.
- Data is always JSON, strings included. NaN and infinities become null, since JSON has none. A
  preset may make another event of it.
- A declared item type validates data and filters it. It does not apply to `ServerSentEvent`, whose
  ``data`` is the endpoint's own choice, unless the type is that of ``ServerSentEvent[Item]``.
- Data that names its event is sent as that event. A `ServerSentEvent` with an ``event`` keeps it.
- What can't be encoded is refused with the name of its type and of the endpoint.
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
    encode_made_event,
    split_lines,
    to_utf8,
)

# As pydantic_core.to_json, with its options compiled: that takes half the time.
_to_json = SchemaSerializer(any_schema(), CoreConfig(ser_json_inf_nan="null")).to_json


def _json(value: Any) -> bytes:
    return _to_json(value, by_alias=True)


_PLAIN = (dict, str, list, int, float, bool, tuple)


class ItemEncoder:
    """Encodes the items of one stream.

    Args:
        settings: whose ``serializer`` is used.
        ping: what ``None`` becomes.
        item_type: what plain items are validated against.
        endpoint: what errors call the origin of the items.
    """

    __slots__ = (
        "_endpoint",
        "_field_json",
        "_item_type",
        "_most",
        "_name_of",
        "_named",
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
        self._most = settings.max_event_size
        self._serializer = settings.serializer
        made = settings.preset is not None and settings.preset.to_event is not None
        named = item_type is not None and item_type.names
        self.plain: Collection[type] = () if made or named else _PLAIN
        """Types that are data and nothing else, those met so far: `to_text` is enough for them."""
        self.to_text = _text_encoder(settings.serializer, item_type)
        if self._most is not None:
            self.to_text = _bounded(self.to_text, self._most)
        """From an item and ``by_alias=True`` to what `wire.encode_data` takes."""
        self._field_json = field_serializer(settings.serializer)
        self._item_type = item_type
        self._named: Any = SSEModel if item_type is None or not item_type.names else object
        """What plain items that may name their event are instances of."""
        self._name_of = event_name if item_type is None else item_type.names.of
        self._to_event = None if settings.preset is None else settings.preset.to_event
        self._ping = ping
        self._endpoint = endpoint

    def encode(self, item: Any) -> bytes:
        """Return the bytes of one event. Raises `EncodingError`, or what the ping factory does."""
        if item is None:
            return self._ping()
        try:
            if type(item) not in self.plain:
                if isinstance(item, ServerSentEvent):
                    return self._in_bounds(self._fields(item))
                if self._to_event is not None:
                    event = self._made_event(item, self._to_event)
                    return self._in_bounds(event_frame(event, self._field_json, self._name_of))
                if isinstance(item, self._named):
                    return self._in_bounds(self._named_frame(item))
                self.plain = {*self.plain, type(item)}
            return encode_data((self.to_text(item, by_alias=True),))
        except Exception as error:
            raise self.refusal(item, error) from error

    def _fields(self, item: ServerSentEvent) -> bytes:
        declared = self._item_type
        if declared is None or not declared.of_events or item.data is None:
            return event_frame(item, self._field_json, self._name_of)
        item = item.model_copy(update={"data": declared.validated(item.data)})
        return event_frame(item, self._filtered_json, self._name_of)

    def _named_frame(self, item: Any) -> bytes:
        value = item if self._item_type is None else self._item_type.validated(item)
        return encode_event(self._filtered_json(value), event=self._name_of(value))

    def _filtered_json(self, value: Any) -> bytes:
        """Encode what the item type has let through."""
        if self._item_type is None:
            return self._field_json(value)
        if self._serializer is None:
            return self._item_type.filtered_json(value)
        return self._field_json(self._item_type.filtered(value))

    def _made_event(self, item: Any, to_event: Callable[[Any], ServerSentEvent]) -> ServerSentEvent:
        event: Any = to_event(item if self._item_type is None else self._item_type.plain(item))
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"the preset's to_event must return a ServerSentEvent, got {event!r}")
        return event

    def _in_bounds(self, frame: bytes) -> bytes:
        if self._most is not None:
            check_size(len(frame), self._most)
        return frame

    def refusal(self, item: Any, error: Exception) -> Exception:
        """Return the error that says why `item` can't be sent: `error`, if it does so already."""
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
    return encode_made_event(data, event, item.id, item.retry, item.comment)


def check_size(size: int, most: int) -> None:
    """Refuse an event of too many bytes."""
    if size > most:
        raise ValueError(f"it takes {size} bytes, and max_event_size is {most}")


def _bounded(to_text: Callable[..., bytes], most: int) -> Callable[..., bytes]:
    def to_bounded_text(item: Any, **options: Any) -> bytes:
        text = to_text(item, **options)
        check_size(len(text) + FRAMING, most)
        return text

    return to_bounded_text


def _text_encoder(
    serializer: Serializer | None, item_type: ItemType | None
) -> Callable[..., bytes]:
    """Return how plain data becomes the text of a ``data`` field, later lines with their prefix."""
    if serializer is None:  # compact JSON is a single line
        return _to_json if item_type is None else item_type.to_json
    serialize = _serialized(serializer)
    plain = item_type.plain if item_type is not None else lambda item: item
    return lambda item, **_: b"\ndata: ".join(split_lines(serialize(plain(item))))


def field_serializer(serializer: Serializer | None) -> Callable[[Any], bytes]:
    """Return what makes the text of a `ServerSentEvent`'s data."""
    return _json if serializer is None else _serialized(serializer)


def _serialized(serializer: Serializer) -> Callable[[Any], bytes]:
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
