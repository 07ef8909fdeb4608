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

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from sse_middleware.errors import EncodingError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.data_encoders import BY_ALIAS, check_size, dumped
from sse_middleware.items.hints import TAKEN_NAMES, ItemHints
from sse_middleware.items.item_encoding import ItemEncoding, json_line
from sse_middleware.items.key_look import KeyLook
from sse_middleware.items.typed_events import event_name
from sse_middleware.wire.encoding import (
    as_data,
    encode_event,
    encode_named_event,
    event_line,
    single_line,
    to_utf8,
)
from sse_middleware.wire.json_text import refuse_same_names, with_names, write_json

FIELD_OPTIONS = ("include", "exclude")
"""The options for dumping that name fields."""


class OwnFrames(Protocol):
    """What a stream sends besides its items, as far as an encoder needs it."""

    def ping(self) -> bytes:
        """Return a keep-alive."""

    def id_sent(self) -> object:
        """Know that the next frame has an id."""


class ItemEncoder:
    """Encodes the items of one stream.

    Args:
        encoding: what it shares with the endpoint's other streams.
        control: makes the keep-alive that ``None`` becomes, and is told once when the first event
            with an id is encoded. Without it ``None`` becomes nothing.
        hints: reports what looks like a mistake.
    """

    __slots__ = (
        "_control",
        "_encoding",
        "_event",
        "_event_line",
        "_has_ids",
        "_hints",
        "_keys",
        "plain",
    )

    def __init__(
        self,
        encoding: ItemEncoding,
        control: OwnFrames | None = None,
        hints: ItemHints | None = None,
    ) -> None:
        self._encoding = encoding
        self._control = control
        self._hints = hints
        self._has_ids = False
        self._keys = KeyLook(encoding)
        self._event: str | None = None  # the latest event's name, and its line
        self._event_line = b""
        looks = hints is not None and hints.dicts > 0
        self.plain: frozenset[type] = encoding.plain_but_dict if looks else encoding.plain
        """The types that are known to be only data. `to_text` alone encodes their items."""

    @property
    def frame_texts(self) -> Callable[[Sequence[bytes]], bytes]:
        """Writes the events of such texts, and joins them."""
        return self._encoding.frame_texts

    @property
    def to_text(self) -> Callable[..., bytes]:
        """Turns an item and ``by_alias=True`` into a text for `frame_texts`. It may change."""
        encoding, keys = self._encoding, self._keys
        return keys.text if encoding.may_be_odd and keys.looks > 0 else encoding.text

    def encode(self, item: Any) -> bytes:
        """Return the bytes of one event. Raises `EncodingError`, or the ping factory's errors."""
        if item is None:
            return b"" if self._control is None else self._control.ping()
        try:
            if type(item) in self.plain:
                frame = None
            elif isinstance(item, ServerSentEvent):
                return self.encode_event(item)
            else:
                frame = self._named_frame(item)
            if frame is None:  # it is only data
                return self.frame_texts((self.to_text(item, by_alias=True),))
            max_size = self._encoding.max_size
            if max_size is not None:
                check_size(len(frame), max_size)
            return frame
        except Exception as error:
            raise self.refusal(item, error) from error

    def _named_frame(self, item: Any) -> bytes | None:
        """Return the event of data that names its event, or ``None`` if it is only data."""
        encoding = self._encoding
        if encoding.to_event is not None:
            event = self._preset_event(item, encoding.to_event)
            return event_frame(event, self._dumped_json, encoding.name_of)
        if isinstance(item, encoding.naming_type):
            return self._typed_event_frame(item)
        self._learn(item)
        return None

    def _learn(self, item: Any) -> None:
        """Remember that items of this type are only data. Of dicts the first few are looked at."""
        if self._hints is None or not self._hints.look_at(item, self._encoding.item_type):
            self.plain = self.plain | {type(item)}
            self._keys.learn(item)

    def encode_event(self, item: ServerSentEvent) -> bytes:
        """Return the bytes of a `ServerSentEvent`. Raises why it can't be sent."""
        encoding, data, event_id = self._encoding, item.data, item.id
        if event_id and not self._has_ids:
            self._note_id()
        if data is None or encoding.of_events or item.retry is not None or item.comment is not None:
            frame = self._rare_frame(item)
        else:
            event = encoding.name_of(data) if item.event is None else item.event
            if event is not self._event:  # most events of a stream have the same name
                self._note_name(event)
            if encoding.trusted_fields is not None and self._keys.trusts(data):
                text = encoding.trusted_fields(data)
            else:
                text = as_data(self._field_json(data))
            frame = encode_named_event(self._event_line, text, event_id)
        if encoding.max_size is not None:
            check_size(len(frame), encoding.max_size)
        return frame

    def _note_name(self, event: str | None) -> None:
        self._event_line, self._event = event_line(event), event
        if event in TAKEN_NAMES:
            self._report_name(event)

    def _rare_frame(self, item: ServerSentEvent) -> bytes:
        """Encode an event with any fields, whose data may be of the declared type."""
        declared, field_json = self._encoding.item_type, self._field_json
        if item.event in TAKEN_NAMES:
            self._report_name(item.event)
        if declared is not None and declared.of_events:
            field_json = self._filtered_json
            if item.data is not None:
                item = item.model_copy(update={"data": declared.validated(item.data)})
        return event_frame(item, field_json, self._seen_name_of)

    def _seen_name_of(self, data: Any) -> str | None:
        name = self._encoding.name_of(data)
        if name in TAKEN_NAMES:
            self._report_name(name)
        return name

    def _note_id(self) -> None:
        self._has_ids = True
        if self._control is not None:
            self._control.id_sent()

    def _report_name(self, name: str | None) -> None:
        if self._hints is not None:
            self._hints.look_at_name(name)

    def _typed_event_frame(self, item: Any) -> bytes:
        declared = self._encoding.item_type
        value = item if declared is None else declared.validated(item)
        name = self._encoding.name_of(value)
        if name in TAKEN_NAMES:
            self._report_name(name)
        return encode_event(self._filtered_json(value), event=name)

    def _filtered_json(self, value: Any) -> bytes:
        """Encode data that the item type has validated."""
        declared, serialize = self._encoding.item_type, self._encoding.serialize
        if declared is None:
            return self._field_json(value)
        if serialize is not None:
            return serialize(declared.filtered(value))
        if self._encoding.may_be_odd and self._keys.is_odd(value):
            refuse_same_names(value)
        return single_line(declared.filtered_json(value))

    def _field_json(self, value: Any) -> bytes:
        """Encode the data of a `ServerSentEvent`, which no type validates."""
        options, declared = self._options_for(value), self._encoding.item_type
        if options is not BY_ALIAS and declared is not None and declared.takes_unchanged(value):
            return self._filtered_json(value)
        serialize = self._encoding.serialize
        if serialize is not None:
            return serialize(dumped(value, options))
        odd = self._keys.is_odd(value)
        return single_line(with_names(value, options) if odd else write_json(value, **options))

    def _dumped_json(self, value: Any) -> bytes:
        """Encode data to which no options apply, or which already had them applied."""
        serialize = self._encoding.serialize
        if serialize is not None:
            return serialize(value)
        odd = self._keys.is_odd(value)
        return single_line(with_names(value, BY_ALIAS)) if odd else json_line(value)

    def _options_for(self, value: Any) -> Mapping[str, Any]:
        """Return the options for dumping that apply to data which no type validates."""
        options, declared = self._encoding.options, self._encoding.item_type
        if options is BY_ALIAS or declared is None or declared.describes(value):
            return options
        return {name: options[name] for name in options if name not in FIELD_OPTIONS}

    def _preset_event(
        self, item: Any, to_event: Callable[[Any], ServerSentEvent]
    ) -> ServerSentEvent:
        declared, options = self._encoding.item_type, self._encoding.options
        item = dumped(item, options) if declared is None else declared.plain(item)
        event: Any = to_event(item)
        if not isinstance(event, ServerSentEvent):
            raise TypeError(f"the preset's to_event must return a ServerSentEvent, got {event!r}")
        if event.id and not self._has_ids:
            self._note_id()
        return event

    def refusal(self, item: Any, error: Exception) -> Exception:
        """Return an `EncodingError` for an item, or `error` itself if it needs no wrapping."""
        if item is None or isinstance(error, EncodingError):
            return error
        name = _name(type(item))
        refusal = EncodingError(
            f"{self._encoding.endpoint} gave an item of type {name} that can't be sent: {error}"
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
    return encode_event(data, event=event, id=item.id, retry=item.retry, comment=item.comment)


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("builtins.")
