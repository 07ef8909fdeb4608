"""`ItemEncoding`: how the items of an endpoint become bytes. All of its streams share it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sse_middleware.items.data_encoders import (
    BY_ALIAS,
    NO_OPTIONS,
    SCALARS,
    checked_serializer,
    line_serializer,
    text_encoder,
)
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.typed_events import SSEModel, event_name
from sse_middleware.settings import StreamSettings
from sse_middleware.wire.encoding import encode_json, encode_texts, escaped_json
from sse_middleware.wire.json_text import write_json

_PLAIN_BUT_DICT = frozenset((*SCALARS, list, tuple))

LOOKED_AT = 1000
"""How many items of a stream have their keys looked at: some milliseconds of work."""


class ItemEncoding:
    """Never changes once it is made.

    Args:
        settings: the streams' settings: ``serializer``, ``preset`` and ``max_event_size``.
        item_type: the type that validates and filters data.
        endpoint: the name of the endpoint in error messages.
        options: Pydantic's options for dumping, which the route has set.
        looks: how many items of each stream have their keys looked at.
    """

    __slots__ = (
        "endpoint",
        "frame_texts",
        "item_type",
        "looks",
        "max_size",
        "may_be_odd",
        "name_of",
        "naming_type",
        "of_events",
        "options",
        "plain",
        "plain_but_dict",
        "serialize",
        "text",
        "to_event",
        "trusted_fields",
    )

    def __init__(
        self,
        settings: StreamSettings,
        item_type: ItemType | None,
        endpoint: str,
        options: Mapping[str, Any] = NO_OPTIONS,
        *,
        looks: float = LOOKED_AT,
    ) -> None:
        if item_type is not None and options:
            item_type = item_type.dumped_with(options)
        serializer, preset = settings.serializer, settings.preset
        self.endpoint = endpoint
        self.item_type = item_type
        self.options: Mapping[str, Any] = {**BY_ALIAS, **options} if options else BY_ALIAS
        self.max_size = settings.max_event_size
        self.to_event = None if preset is None else preset.to_event
        self.name_of = event_name if item_type is None else item_type.names.of
        self.naming_type: Any = SSEModel if item_type is None or not item_type.names else object
        """An item that is an instance of this may name its event."""
        told_by_type = self.to_event is None and (item_type is None or not item_type.names)
        self.plain_but_dict: frozenset[type] = _PLAIN_BUT_DICT if told_by_type else frozenset()
        """As `plain`, where dicts are looked at first."""
        self.plain: frozenset[type] = _PLAIN_BUT_DICT | {dict} if told_by_type else frozenset()
        """The types that are known to be only data before the first item."""
        self.serialize = None if serializer is None else checked_serializer(serializer)
        self.of_events = item_type is not None and item_type.of_events
        """Whether the item type is that of the data of a `ServerSentEvent`."""
        field_text = json_line if serializer is None else line_serializer(serializer)
        self.trusted_fields = None if options else field_text
        """Turns the data of a `ServerSentEvent` that needs no options and no look at its keys into
        what `as_data` returns."""
        self.text = text_encoder(serializer, item_type, self.options, self.max_size)
        """Turns data into a text for `frame_texts`, with keys named as Pydantic names them."""
        self.may_be_odd = item_type is None or item_type.may_have_odd_keys
        """Whether data may have a dict whose keys are not strings."""
        self.looks = looks if serializer is None else 0
        self.frame_texts: Callable[[Sequence[bytes]], bytes] = (
            encode_json if serializer is None else encode_texts
        )
        """Writes the events of these texts, and joins them."""


def json_line(value: Any) -> bytes:
    """Return the JSON of data on a single line."""
    # As `single_line`, but one call less for each event.
    text = write_json(value, by_alias=True)
    return text if text.isascii() else escaped_json(text)
