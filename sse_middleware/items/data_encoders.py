"""Functions that turn data into text: into JSON, or by a user's serializer."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sse_middleware.items.item_type import ItemType, schema_may_have_odd_keys
from sse_middleware.settings import Serializer
from sse_middleware.wire.encoding import CR, FRAMING, LF, as_data, escaped_json
from sse_middleware.wire.json_text import to_json, to_python, write_json

SCALARS = (str, int, float, bool)
"""Types of data without keys."""

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})
BY_ALIAS: Mapping[str, Any] = MappingProxyType({"by_alias": True})
"""The options for dumping of a route that sets none."""


def check_size(size: int, max_size: int) -> None:
    """Refuse an event of too many bytes."""
    if size > max_size:
        raise ValueError(f"it takes {size} bytes, and max_event_size is {max_size}")


def item_may_have_odd_keys(item: Any) -> bool:
    """Whether an item of this type may have a dict whose keys are not strings."""
    schema = getattr(type(item), "__pydantic_core_schema__", None)
    return not isinstance(item, SCALARS) if schema is None else schema_may_have_odd_keys(schema)


def text_encoder(
    serializer: Serializer | None,
    item_type: ItemType | None,
    options: Mapping[str, Any],
    max_size: int | None,
) -> Callable[..., bytes]:
    """Return a function from data to a text for `ItemEncoding.frame_texts`.

    Args:
        serializer: the user's serializer, ``None`` for JSON.
        item_type: validates and filters the data.
        options: Pydantic's options for dumping.
        max_size: how many bytes an event may have.
    """
    to_text = _unlimited_encoder(serializer, item_type, options)
    if max_size is None:
        return to_text
    return _limited(to_text, max_size, escaped_json if serializer is None else as_data)


def _unlimited_encoder(
    serializer: Serializer | None,
    item_type: ItemType | None,
    options: Mapping[str, Any],
) -> Callable[..., bytes]:
    if serializer is None:  # compact JSON is a single line
        if item_type is not None:
            return item_type.to_json
        return write_json if options is BY_ALIAS else lambda item, **_: write_json(item, **options)
    to_text = checked_serializer(serializer)
    if item_type is None and options is BY_ALIAS:
        return to_text
    plain = item_type.plain if item_type is not None else lambda item: dumped(item, options)
    return lambda item, **_: to_text(plain(item))


def _limited(
    to_text: Callable[..., bytes], max_size: int, written: Callable[[bytes], bytes]
) -> Callable[..., bytes]:
    """Let a text encoder refuse what makes an event larger than `max_size`.

    Args:
        to_text: the encoder.
        max_size: how many bytes an event may have.
        written: returns a text as it is in the event.
    """

    def to_limited_text(item: Any, **options: Any) -> bytes:
        text = to_text(item, **options)
        check_size(len(written(text)) + FRAMING, max_size)
        return text

    return to_limited_text


def dumped(value: Any, options: Mapping[str, Any]) -> Any:
    """Apply the options of a route to data. Without options the data is returned unchanged."""
    return value if options is BY_ALIAS else to_python(value, **options)


def field_serializer(serializer: Serializer | None) -> Callable[[Any], bytes]:
    """Return a function that turns the data of a control frame's event into text."""
    if serializer is None:
        return lambda value: to_json(value, by_alias=True)
    return checked_serializer(serializer)


def checked_serializer(serializer: Serializer) -> Callable[..., bytes]:
    """Return a user's serializer as a function that returns bytes, or raises TypeError."""

    def to_text(value: Any, *, by_alias: bool = True) -> bytes:  # noqa: ARG001 - `text_encoder`'s
        text = serializer(value)
        # A copy: orjson's text begins as a kilobyte of malloc's, which hundreds of texts that wait
        # would make slower eight times.
        return b"%b" % text if type(text) is bytes else _as_bytes(text)

    return to_text


def line_serializer(serializer: Serializer) -> Callable[[Any], bytes]:
    """Return a user's serializer as a function that returns what `as_data` does."""

    def to_data(value: Any) -> bytes:
        text = serializer(value)
        if type(text) is bytes and LF not in text and CR not in text:  # usual: no call is needed
            return text
        return as_data(_as_bytes(text))

    return to_data


def _as_bytes(text: Any) -> bytes:
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode()
    raise TypeError(f"serializer must return bytes or str, got {text!r}")
