"""The declared type of a stream's items, read from the endpoint's return annotation.

Rules of this file:
- A return annotation counts if it names a stream: ``AsyncIterator[Item]``, ``Iterable[Item]`` and
  similar types, also inside ``Annotated`` and unions. ``None`` and `ServerSentEvent` are not items.
  ``ServerSentEvent[Item]`` declares the type of the ``data``.
- Strings are evaluated in the module of the endpoint.
- An annotation that can't be evaluated is an error. Without its type, the stream would send fields
  that the type filters out.
"""

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Collection,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from copy import copy
from functools import partial
from types import NoneType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin
from weakref import WeakKeyDictionary

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from typing_extensions import is_typeddict  # knows those of both modules

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.annotations import UNIONS, evaluated, without_alias
from sse_middleware.items.typed_events import EventNames, SSEModel, members_of

_STREAMS = (AsyncIterable, AsyncIterator, AsyncGenerator, Iterable, Iterator, Generator)

_COLLECTIONS = (list, set, frozenset, Collection, Sequence)  # returned, not yielded

_AWAITABLES = (Awaitable, Coroutine)

_REMEDY = "Import its names at runtime, or pass item_type=... (Any for no validation)"


class ItemType:
    """The declared type of a stream's items, compiled once.

    Args:
        annotation: any type that Pydantic knows.
        of_events: whether it is also the type of the ``data`` of each `ServerSentEvent`.

    Raises:
        ConfigurationError: Pydantic doesn't know the type, or two models name the same event.
    """

    def __init__(self, annotation: Any, *, of_events: bool = False) -> None:
        self.annotation = annotation
        """The type of the data, as it was declared."""
        self.of_events = of_events
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(annotation)
            self._validate = adapter.validator.validate_python  # an undefined name fails here
            self._dump_json = adapter.serializer.to_json
            self._dump = adapter.serializer.to_python
        except (PydanticUserError, PydanticUndefinedAnnotation) as error:
            raise ConfigurationError(
                f"items can't be validated as {annotation!r}: {error.message}. {_REMEDY}"
            ) from error
        self.names = EventNames(annotation)
        """The names of the events that the type declares; false if it declares none."""
        self.may_have_odd_keys = schema_may_have_odd_keys(adapter.core_schema)
        """Whether its data may have a dict whose keys are not strings."""
        self._classes = tuple(_class_of(one.model) for one in members_of(annotation))

    @classmethod
    def declared(cls, annotation: Any) -> "ItemType | None":
        """Make the item type of an annotation, or ``None`` if it allows everything.

        ``None`` and `ServerSentEvent` are not items and are left out of a union.
        ``ServerSentEvent[Item]`` counts as ``Item``.
        """
        data = data_part(annotation)
        if data is None or data is Any:
            return None
        data_of_events = [_data_of(event) for event in _events_in(annotation)]
        return cls(data, of_events=bool(data_of_events) and None not in data_of_events)

    @classmethod
    def of_endpoint(cls, endpoint: Any) -> "ItemType | None":
        """Make the item type that an endpoint's return annotation names (``AsyncIterator[Item]``).

        Raises:
            ConfigurationError: the annotation can't be evaluated, or Pydantic doesn't know it.
        """
        function = underlying(endpoint)
        annotation = _return_annotation(function)
        try:
            return cls.of_stream(annotation)
        except ConfigurationError as error:
            raise ConfigurationError(f"{_qualified(function)}: {error}") from error

    @classmethod
    def of_stream(cls, annotation: Any) -> "ItemType | None":
        """Make the item type that the type of a stream or of a collection names."""
        items = _items_of(annotation)
        return cls.declared(Union[tuple(items)]) if items else None  # noqa: UP007 - of a list

    def describes(self, data: Any) -> bool:
        """Whether data that was not validated is of the declared type, as far as its class says."""
        return isinstance(data, self._classes)

    def takes_unchanged(self, data: Any) -> bool:
        """Whether data that is not a model is valid as it is.

        Pydantic needs the type of a dataclass or a TypedDict to leave fields out of it.
        """
        if hasattr(data, "__pydantic_serializer__") or not self.describes(data):
            return False
        try:
            validated = self._validate(data)
        except ValidationError:
            return False
        return validated is data or bool(validated == data)

    def validated(self, item: Any) -> Any:
        """Validate an item as the declared type. Raises Pydantic's errors.

        A model that names its event never passes as another model with the same fields.
        """
        return self._validate(item, from_attributes=not isinstance(item, SSEModel))

    def filtered_json(self, validated: Any) -> bytes:
        """Filter and encode an item that `validated` returned."""
        return self._dump_json(validated, by_alias=True)

    def filtered(self, validated: Any) -> Any:
        """Filter an item that `validated` returned, for the user's serializer."""
        return self._dump(validated, by_alias=True)

    def dumped_with(self, options: Mapping[str, Any]) -> "ItemType":
        """Return a copy that also applies Pydantic's options for dumping (``exclude``)."""
        other = copy(self)
        vars(other).update(
            _dump_json=_with_options(self._dump_json, options),
            _dump=_with_options(self._dump, options),
        )
        return other

    def to_json(self, item: Any, *, by_alias: bool) -> bytes:
        """Validate, filter and encode an item. Raises Pydantic's errors."""
        return self._dump_json(self._validate(item, from_attributes=True), by_alias=by_alias)

    def plain(self, item: Any) -> Any:
        """Validate and filter an item, for the user's serializer. Raises Pydantic's errors."""
        return self._dump(self._validate(item, from_attributes=True), by_alias=True)


class ItemTypes:
    """The item types of an application's endpoints. Each is compiled for the first stream."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Any, ItemType | None] = WeakKeyDictionary()
        self.reported: set[str] = set()
        """What `ItemHints` has reported about the endpoints."""

    def of(self, endpoint: Any) -> ItemType | None:
        """Return the result of `ItemType.of_endpoint`, and remember it.

        An endpoint counts only if it yields itself. For any other one the result is ``None``.
        """
        try:
            return self._known[endpoint]
        except KeyError:
            item_type = self._known[endpoint] = _item_type_of(endpoint)
            return item_type
        except TypeError:  # the endpoint can't be weakly referenced or hashed
            return _item_type_of(endpoint)


_USUAL_KEYS = ("str", "int", "uuid")

_ANY_DATA = ("any", "is-instance", "function-plain", "function-wrap")


def schema_may_have_odd_keys(schema: Any) -> bool:
    """Whether data of a core schema may have a dict whose keys are not strings."""
    if isinstance(schema, list | tuple):
        return any(map(schema_may_have_odd_keys, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "dict":
        keys = schema.get("keys_schema", {}).get("type")
        values = schema.get("values_schema", {"type": "any"})
        return keys not in _USUAL_KEYS or schema_may_have_odd_keys(values)
    extra = "allow" in (schema.get("extra_behavior"), schema.get("extra_fields_behavior"))
    inner = (value for name, value in schema.items() if name != "metadata")
    return extra or schema.get("type") in _ANY_DATA or any(map(schema_may_have_odd_keys, inner))


def _class_of(model: Any) -> type:
    """Return the class of the values of a type."""
    kind = get_origin(model) or model
    if is_typeddict(kind):
        return dict
    return kind if isinstance(kind, type) and kind is not Any else object


def _with_options(dump: Any, options: Mapping[str, Any]) -> Any:
    return lambda value, **given: dump(value, **{**given, **options})


def _item_type_of(endpoint: Any) -> ItemType | None:
    function = underlying(endpoint)
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return ItemType.of_endpoint(endpoint) if yields else None


def underlying(endpoint: Any) -> Any:
    """Return the function inside decorators, partials and callable objects."""
    function = inspect.unwrap(endpoint)
    while isinstance(function, partial):
        function = inspect.unwrap(function.func)
    if inspect.isroutine(function) or isinstance(function, type):
        return function
    return getattr(type(function), "__call__", function)  # noqa: B004 - the function is wanted


def data_part(annotation: Any) -> Any:
    """Return the part of an annotation that is about data, ``None`` if there is none."""
    annotation = without_alias(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        data = data_part(arguments[0])
        return None if data is None else Annotated[data, *arguments[1:]]
    if origin in UNIONS:
        parts = [part for part in map(data_part, arguments) if part is not None]
        if Any in parts:
            return Any
        return Union[tuple(parts)] if parts else None  # noqa: UP007 - of a list
    if annotation in (None, NoneType):
        return None
    return _data_of(annotation) if _is_event(annotation) else annotation


def _is_event(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, ServerSentEvent)


def _data_of(event: type[ServerSentEvent]) -> Any:
    """Return the type of an event's data, ``None`` if it may be anything."""
    info = event.model_fields["data"]
    if info.annotation is Any or isinstance(info.annotation, TypeVar):
        return None
    notes = list(info.metadata)  # Pydantic splits Annotated
    if info.discriminator is not None:
        notes.append(Field(discriminator=info.discriminator))
    return Annotated[info.annotation, *notes] if notes else info.annotation


def _events_in(annotation: Any) -> Iterator[type[ServerSentEvent]]:
    """Yield the types in an annotation that are `ServerSentEvent`."""
    annotation = without_alias(annotation)
    if get_origin(annotation) is Annotated:
        yield from _events_in(annotation.__origin__)
    elif get_origin(annotation) in UNIONS:
        for part in get_args(annotation):
            yield from _events_in(part)
    elif _is_event(annotation):
        yield annotation


def _items_of(annotation: Any) -> list[Any]:
    """Return the item types of the streams in an annotation (``Iterator[A] | Response``)."""
    annotation = without_alias(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _items_of(arguments[0])
    if origin in _AWAITABLES and arguments:
        return _items_of(arguments[-1])
    if origin in UNIONS:
        return [item for one in arguments for item in _items_of(one)]
    return [arguments[0]] if origin in _STREAMS + _COLLECTIONS and arguments else []


def _return_annotation(function: Any) -> Any:
    try:
        return evaluated(getattr(function, "__annotations__", {}).get("return", Any), function)
    except Exception as error:
        raise ConfigurationError(
            f"the return annotation of {_qualified(function)} can't be evaluated: {error}. "
            f"{_REMEDY}"
        ) from error


def _qualified(function: Any) -> str:
    return f"{function.__module__}.{function.__qualname__}"
