"""From an item to the bytes of one event.

Rules of this file:
- ``None`` is a keep-alive, a `ServerSentEvent` says all its fields, anything else is data.
- Data is always JSON, strings included. NaN and infinities become null, since JSON has none.
- A declared item type validates and filters: what it doesn't name is not sent. It does not apply
  to `ServerSentEvent`, whose ``data`` is the endpoint's own choice.
- What can't be encoded is refused with the name of its type and of the endpoint.
"""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import SchemaSerializer
from pydantic_core.core_schema import CoreConfig, any_schema

from sse_middleware.errors import ConfigurationError, EncodingError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.settings import Ping, Serializer, StreamSettings
from sse_middleware.wire import encode_event, split_lines, to_utf8

Encode = Callable[[Any], bytes]
"""From an item to the bytes of one event. Raises `EncodingError`."""

_UNIONS = (Union, UnionType)

_NO_DATA = (NoneType, ServerSentEvent)

_WAY_OUT = "Import its names at runtime, or give item_type=... (Any for no validation)"

_STREAMS = {AsyncIterable, AsyncIterator, AsyncGenerator, Iterable, Iterator, Generator}

# As pydantic_core.to_json, with its options compiled: that takes half the time.
_to_json = SchemaSerializer(any_schema(), CoreConfig(ser_json_inf_nan="null")).to_json


def _json(value: Any) -> bytes:
    return _to_json(value, by_alias=True)


class ItemType:
    """The declared type of a stream's items, compiled once.

    Args:
        annotation: any type that Pydantic knows.
    """

    def __init__(self, annotation: Any) -> None:
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            self._validate = adapter.validator.validate_python  # an undefined name shows here
            self._dump_json = adapter.serializer.to_json
            self._dump = adapter.serializer.to_python
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise ConfigurationError(
                f"items can't be validated as {annotation!r}: {error.message}. {_WAY_OUT}"
            ) from error

    @classmethod
    def declared(cls, annotation: Any) -> "ItemType | None":
        """Make the item type of an annotation, or ``None`` where it allows everything.

        ``None`` and `ServerSentEvent` are not items: in a union they are left out.
        """
        data = _data_part(annotation)
        return None if data is None or data is Any else cls(data)

    @classmethod
    def of_endpoint(cls, endpoint: Any) -> "ItemType | None":
        """Make the item type that an endpoint's return annotation names (``AsyncIterator[Item]``).

        Raises:
            ConfigurationError: the annotation can't be evaluated. Going on without it would send
                fields that it was to filter out.
        """
        function = underlying(endpoint)
        items = _items_of(_return_annotation(function))
        try:
            return cls.declared(Union[tuple(items)]) if items else None  # noqa: UP007 - of a list
        except ConfigurationError as error:
            raise ConfigurationError(f"{_name(function)}: {error}") from error

    def to_json(self, item: Any, *, by_alias: bool) -> bytes:
        """Validate, filter and encode."""
        return self._dump_json(self._validate(item, from_attributes=True), by_alias=by_alias)

    def plain(self, item: Any) -> Any:
        """Validate and filter, for a serializer of the user's."""
        return self._dump(self._validate(item, from_attributes=True), by_alias=True)


def encoder(
    settings: StreamSettings,
    ping: Callable[[], bytes],
    item_type: ItemType | None,
    endpoint: str,
) -> Encode:
    """Return the function that encodes the items of one stream.

    Args:
        settings: whose ``serializer`` is used.
        ping: what ``None`` becomes.
        item_type: what plain items are validated against.
        endpoint: what errors call the origin of the items.
    """
    to_text = _text_encoder(settings.serializer, item_type)
    to_frame = partial(_fields_frame, field_json=_field_json(settings.serializer))
    plain: set[type] = set()  # the types met so far that are neither None's nor an event's

    def encode(item: Any) -> bytes:
        if item is None:
            return ping()
        try:
            if type(item) not in plain:
                if isinstance(item, ServerSentEvent):
                    return to_frame(item)
                plain.add(type(item))
            return b"data: %b\n\n" % to_text(item, by_alias=True)
        except Exception as error:
            name = _name(type(item))
            raise EncodingError(
                f"{endpoint} yielded a {name} that can't be sent: {error}"
            ) from error

    return encode


def ping_encoder(settings: StreamSettings) -> Callable[[], bytes]:
    """Return the function that makes the stream's keep-alives."""
    ping, field_json = settings.ping, _field_json(settings.serializer)
    if callable(ping):
        return lambda: _encode_ping(ping(), field_json)
    encoded = _encode_ping(ping, field_json)
    return lambda: encoded


def farewell_encoder(settings: StreamSettings, endpoint: str) -> Callable[[Exception], bytes]:
    """Return the function that makes the last frame of a stream that failed.

    What it says is no item of the endpoint's, so it is not validated as one.
    """
    error_event = settings.error_event
    encode = encoder(settings, ping_encoder(settings), None, endpoint)

    def farewell(error: Exception) -> bytes:
        item = error_event(error) if error_event else None
        return b"" if item is None else encode(item)

    return farewell


def _encode_ping(ping: Ping, field_json: Callable[[Any], bytes]) -> bytes:
    if ping == "ping":
        return KEEPALIVE_COMMENT
    if isinstance(ping, str):
        return encode_event(None, comment=ping)
    if isinstance(ping, ServerSentEvent):
        return _fields_frame(ping, field_json)
    raise ConfigurationError(f"ping must return a str or a ServerSentEvent, got {ping!r}")


def _fields_frame(item: ServerSentEvent, field_json: Callable[[Any], bytes]) -> bytes:
    if item.raw_data is not None:
        data: bytes | None = to_utf8("raw_data", item.raw_data)
    else:
        data = None if item.data is None else field_json(item.data)
    return encode_event(data, event=item.event, id=item.id, retry=item.retry, comment=item.comment)


def _text_encoder(
    serializer: Serializer | None, item_type: ItemType | None
) -> Callable[..., bytes]:
    """Return how plain data becomes the text of a ``data`` field, later lines with their prefix."""
    if serializer is None:  # compact JSON is a single line
        return _to_json if item_type is None else item_type.to_json
    serialize = _serialized(serializer)
    plain = item_type.plain if item_type is not None else lambda item: item
    return lambda item, **_: b"\ndata: ".join(split_lines(serialize(plain(item))))


def _field_json(serializer: Serializer | None) -> Callable[[Any], bytes]:
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


def underlying(endpoint: Any) -> Any:
    """Return the function behind decorators, partials and callable objects."""
    function = inspect.unwrap(endpoint)
    while isinstance(function, partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - the function is wanted


def _data_part(annotation: Any) -> Any:
    """Return what an annotation says of data, ``None`` if nothing."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        data = _data_part(arguments[0])
        return None if data is None else Annotated[data, *arguments[1:]]
    if origin in _UNIONS:
        parts = [part for part in map(_data_part, arguments) if part is not None]
        if Any in parts:
            return Any
        return Union[tuple(parts)] if parts else None  # noqa: UP007 - of a list
    if annotation is None or (isinstance(annotation, type) and issubclass(annotation, _NO_DATA)):
        return None
    return annotation


def _items_of(annotation: Any) -> list[Any]:
    """Return the item types of the streams in an annotation (``Iterator[A] | Response``)."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _items_of(arguments[0])
    if origin in _UNIONS:
        return [item for one in arguments for item in _items_of(one)]
    return [arguments[0]] if origin in _STREAMS and arguments else []


def _return_annotation(function: Any) -> Any:
    """Return the annotation with its strings evaluated, where the endpoint was written."""

    def returning() -> None:
        """Carry the one annotation that matters: the others need not be evaluable."""

    try:
        annotations = getattr(function, "__annotations__", {})
        returning.__annotations__ = {"return": annotations.get("return", Any)}
        scope = getattr(function, "__globals__", {})
        return get_type_hints(returning, globalns=scope, include_extras=True)["return"]
    except Exception as error:
        raise ConfigurationError(
            f"the return annotation of {_name(function)} can't be evaluated: {error}. {_WAY_OUT}"
        ) from error


def _name(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}".removeprefix("builtins.")
