"""From an item to the bytes of one event.

Rules of this file:
- ``None`` is a keep-alive, a `ServerSentEvent` sets all its fields, anything else is data.
- Data is always JSON, strings included; `wire.json_text` says which. A preset may turn data into
  another event.
- What a user's serializer returns is sent as it is.
- FastAPI's options for dumping (``response_model_exclude_none``) apply to all data of the route, in
  whatever it is wrapped. ``include`` and ``exclude`` name fields of the declared type, so they
  apply to data of that type.
- `KeyLook` looks at the keys of the first items.
- A declared item type validates and filters data. The ``data`` of a `ServerSentEvent` is the
  endpoint's own choice, unless the type is declared as ``ServerSentEvent[Item]``.
- Data that names its event is sent as that event. A `ServerSentEvent` with an ``event`` keeps it.
- An item that can't be encoded is refused. The error names the item's type and the endpoint.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from sse_middleware.errors import EncodingError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.data_encoders import (
    BY_ALIAS,
    NO_OPTIONS,
    SCALARS,
    check_size,
    checked_serializer,
    dumped,
    text_encoder,
)
from sse_middleware.items.hints import ERROR, ItemHints
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.key_look import LOOKED_AT, KeyLook
from sse_middleware.items.typed_events import SSEModel, event_name
from sse_middleware.settings import StreamSettings
from sse_middleware.wire.encoding import (
    encode_data,
    encode_event,
    encode_json,
    encode_validated_event,
    escaped_json,
    single_line,
    to_utf8,
)
from sse_middleware.wire.json_text import (
    refuse_same_names,
    with_names,
    write_json,
)

_PLAIN_BUT_DICT = (*SCALARS, list, tuple)
_PLAIN = (dict, *_PLAIN_BUT_DICT)

FIELD_OPTIONS = ("include", "exclude")
"""The options for dumping that name fields."""


class ItemEncoder:
    """Encodes the items of one stream.

    Args:
        settings: the stream's settings: ``serializer``, ``preset`` and ``max_event_size``.
        ping: makes the keep-alive that ``None`` becomes.
        item_type: the type that validates and filters data.
        endpoint: the name of the endpoint in error messages.
        hints: reports what looks like a mistake.
        options: Pydantic's options for dumping, which the route has set.
        on_id: called once, when the first event with an id is encoded.
    """

    __slots__ = (
        "_endpoint",
        "_hints",
        "_item_type",
        "_keys",
        "_max_size",
        "_may_be_odd",
        "_name_of",
        "_naming_type",
        "_on_id",
        "_options",
        "_ping",
        "_report",
        "_serialize",
        "_text",
        "_to_event",
        "_trusted_fields",
        "frame_texts",
        "plain",
    )

    def __init__(
        self,
        settings: StreamSettings,
        ping: Callable[[], bytes],
        item_type: ItemType | None,
        endpoint: str,
        hints: ItemHints | None = None,
        *,
        options: Mapping[str, Any] = NO_OPTIONS,
        on_id: Callable[[], object] | None = None,
    ) -> None:
        if item_type is not None and options:
            item_type = item_type.dumped_with(options)
        serializer, preset = settings.serializer, settings.preset
        self._endpoint = endpoint
        self._ping = ping
        self._on_id = on_id
        self._hints = hints
        self._report = str if hints is None else hints.look_at_name
        self._item_type = item_type
        self._options = {**BY_ALIAS, **options} if options else BY_ALIAS
        self._max_size = settings.max_event_size
        self._to_event = None if preset is None else preset.to_event
        self._name_of = event_name if item_type is None else item_type.names.of
        self._naming_type: Any = SSEModel if item_type is None or not item_type.names else object
        """An item that is an instance of this may name its event."""
        self.plain: Collection[type] = _plain_types(settings, item_type, hints)
        """The types that are known to be only data. `to_text` alone encodes their items."""
        self._serialize = None if serializer is None else checked_serializer(serializer)
        self._trusted_fields = None if options else self._serialize or _json_line
        """Encodes the data of a `ServerSentEvent` that needs no options and no look at its keys."""
        self._text = text_encoder(self._serialize, item_type, self._options, self._max_size)
        self._may_be_odd = item_type is None or item_type.may_have_odd_keys
        self._keys = KeyLook(
            self._text,
            LOOKED_AT if serializer is None else 0,
            typed=item_type is not None,
            options=self._options,
            max_size=self._max_size,
        )
        self.frame_texts: Callable[[Iterable[bytes]], bytes] = (
            encode_json if serializer is None else encode_data
        )
        """Writes the events of these texts, and joins them."""

    @property
    def to_text(self) -> Callable[..., bytes]:
        """Turns an item and ``by_alias=True`` into a text for `frame_texts`. It may change."""
        return self._keys.text if self._may_be_odd and self._keys.looks > 0 else self._text

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
                    return self._checked_size(event_frame(event, self._dumped_json, self._name_of))
                if isinstance(item, self._naming_type):
                    return self._checked_size(self._named_frame(item))
                self._learn(item)
            return self.frame_texts((self.to_text(item, by_alias=True),))
        except Exception as error:
            raise self.refusal(item, error) from error

    def _learn(self, item: Any) -> None:
        """Remember that items of this type are only data. Of dicts the first few are looked at."""
        if self._hints is None or not self._hints.look_at(item, self._item_type):
            self.plain = (type(item), *self.plain)
            self._keys.learn(item)

    def _event_frame(self, item: ServerSentEvent) -> bytes:
        if item.event == ERROR:
            self._report(ERROR)
        if self._on_id is not None and item.id:
            self._note_id(self._on_id)
        declared = self._item_type
        if declared is None or not declared.of_events or item.data is None:
            to_json = self._trusted_fields
            if to_json is None or not self._keys.trusts(item.data):
                to_json = self._field_json
            return event_frame(item, to_json, self._name_of)
        item = item.model_copy(update={"data": declared.validated(item.data)})
        return event_frame(item, self._filtered_json, self._name_of)

    def _note_id(self, on_id: Callable[[], object]) -> None:
        self._on_id = None
        on_id()

    def _named_frame(self, item: Any) -> bytes:
        value = item if self._item_type is None else self._item_type.validated(item)
        name = self._name_of(value)
        if name == ERROR:
            self._report(ERROR)
        return encode_event(self._filtered_json(value), event=name)

    def _filtered_json(self, value: Any) -> bytes:
        """Encode data that the item type has validated."""
        if self._item_type is None:
            return self._field_json(value)
        if self._serialize is not None:
            return self._serialize(self._item_type.filtered(value))
        if self._may_be_odd and self._keys.is_odd(value):
            refuse_same_names(value)
        return single_line(self._item_type.filtered_json(value))

    def _field_json(self, value: Any) -> bytes:
        """Encode the data of a `ServerSentEvent`, which no type validates."""
        options, declared = self._options_for(value), self._item_type
        if options is not BY_ALIAS and declared is not None and declared.takes_unchanged(value):
            return self._filtered_json(value)
        if self._serialize is not None:
            return self._serialize(dumped(value, options))
        odd = self._keys.is_odd(value)
        return single_line(with_names(value, options) if odd else write_json(value, **options))

    def _dumped_json(self, value: Any) -> bytes:
        """Encode data to which no options apply, or which already had them applied."""
        if self._serialize is not None:
            return self._serialize(value)
        odd = self._keys.is_odd(value)
        return single_line(with_names(value, BY_ALIAS)) if odd else _json_line(value)

    def _options_for(self, value: Any) -> Mapping[str, Any]:
        """Return the options for dumping that apply to data which no type validates."""
        options, declared = self._options, self._item_type
        if options is BY_ALIAS or declared is None or declared.describes(value):
            return options
        return {name: options[name] for name in options if name not in FIELD_OPTIONS}

    def _preset_event(
        self, item: Any, to_event: Callable[[Any], ServerSentEvent]
    ) -> ServerSentEvent:
        if self._item_type is not None:
            item = self._item_type.plain(item)
        else:
            item = dumped(item, self._options)
        event: Any = to_event(item)
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"the preset's to_event must return a ServerSentEvent, got {event!r}")
        if self._on_id is not None and event.id:
            self._note_id(self._on_id)
        return event

    def _checked_size(self, frame: bytes) -> bytes:
        if self._max_size is not None:
            check_size(len(frame), self._max_size)
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


def _plain_types(
    settings: StreamSettings, item_type: ItemType | None, hints: ItemHints | None
) -> tuple[type, ...]:
    """Return the types that are known to be only data before the first item."""
    has_to_event = settings.preset is not None and settings.preset.to_event is not None
    if has_to_event or (item_type is not None and item_type.names):
        return ()
    return _PLAIN if hints is None else _PLAIN_BUT_DICT


def _json_line(value: Any) -> bytes:
    # As `single_line`, but one call less for each event.
    text = write_json(value, by_alias=True)
    return text if text.isascii() else escaped_json(text)


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


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("builtins.")
