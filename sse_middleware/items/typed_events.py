"""Models that name their event, and unions of such models.

Rules of this file:
- A name is declared, never guessed: by the class (``event="sold"``), or by the union, through the
  field that distinguishes its models (`EventDiscriminator`).
- The declared type decides: an instance of a subclass is sent as the member of the union.
- Each name has one type of data. An item type that breaks this is refused when it is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal, Unpack, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from sse_middleware.errors import ConfigurationError, FieldError
from sse_middleware.items.annotations import UNIONS, without_alias
from sse_middleware.wire.encoding import check_single_line, to_utf8


class SSEModel(BaseModel):
    """A model that is always sent as the same event: ``class Sold(SSEModel, event="sold")``.

    A yielded model becomes the data of an event with that name. So does a model that is the
    ``data`` of a `ServerSentEvent` without an ``event``. A subclass has the name of its base, or
    declares its own. A base without a name can't be sent.

    Raises:
        ConfigurationError: when the class is made, if ``event`` is empty or more than one line.
    """

    __sse_event__: ClassVar[str | None] = None

    def __init_subclass__(cls, *, event: str | None = None, **config: Unpack[ConfigDict]) -> None:
        """Take the keyword ``event``. The other class keywords are Pydantic's."""
        super().__init_subclass__(**config)
        if event is not None:
            cls.__sse_event__ = _checked_name(event, cls)


@dataclass(frozen=True, slots=True)
class EventDiscriminator:
    """Declares a field that distinguishes the models of a union, and whose value names the event.

    ``Annotated[Started | Ended, EventDiscriminator("type")]`` validates like Pydantic's
    ``Field(discriminator="type")``. In each model the field is a ``Literal`` of strings. It stays
    in the data.

    Args:
        field: the field's name in the models.
    """

    field: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Act as Pydantic's discriminator, which needs at least two models."""
        if get_origin(without_alias(source)) not in UNIONS:
            return handler(source)
        return handler(Annotated[source, Field(discriminator=self.field)])


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a declared union.

    Attributes:
        annotation: the member's type, with the metadata of ``Annotated``.
        model: the member's type without that metadata.
        names: the names of its events; none if its data is sent without a name.
        field: the field of its data that names the event, if a field does.
    """

    annotation: Any
    model: Any
    names: tuple[str, ...] = ()
    field: str | None = None

    def name_of(self, data: Any) -> str:
        """Return the event's name for data of this member."""
        return self.names[0] if self.field is None else _enum_value(getattr(data, self.field))


def members_of(annotation: Any) -> list[Member]:
    """Return the members of a declared type, in their order.

    Raises:
        ConfigurationError: two members have the same name, or one needs a name and has none.
    """
    members = list(_members(annotation, None))
    owners: dict[str, Member] = {}
    for member in members:
        for name in member.names:
            if name in owners:
                raise ConfigurationError(
                    f"{_label(owners[name].model)} and {_label(member.model)} are both sent as "
                    f"the event {name!r}: give each its own name"
                )
            owners[name] = member
    return members


class EventNames:
    """Finds the name of the event for an item's data.

    Args:
        annotation: the declared type of the data. Data of any other type is named by its class.
    """

    def __init__(self, annotation: Any) -> None:
        self._members = {one.model: one for one in members_of(annotation) if one.names}

    def __bool__(self) -> bool:
        return bool(self._members)

    def of(self, data: Any) -> str | None:
        """Return the event's name, ``None`` if it has none. Raises like `event_name`."""
        for kind in type(data).__mro__:
            member = self._members.get(kind)
            if member is not None:
                return member.name_of(data)
        return event_name(data)


def event_name(data: Any) -> str | None:
    """Return the name that the class of `data` declares, ``None`` if it is not an `SSEModel`.

    Raises:
        ConfigurationError: the class is an `SSEModel` without a name.
    """
    return _declared_name(type(data)) if isinstance(data, SSEModel) else None


def _members(annotation: Any, field: str | None) -> Iterator[Member]:
    model = without_alias(annotation)
    while get_origin(model) is Annotated:
        for note in model.__metadata__:
            field = note.field if isinstance(note, EventDiscriminator) else field
        model = without_alias(model.__origin__)
    if get_origin(model) in UNIONS:
        for part in get_args(model):
            yield from _members(part, field)
    elif field is not None:
        yield Member(annotation, model, _values(model, field), field)
    elif isinstance(model, type) and issubclass(model, SSEModel):
        yield Member(annotation, model, (_declared_name(model),))
    else:
        yield Member(annotation, model)


def _declared_name(model: type[SSEModel]) -> str:
    if model.__sse_event__ is None:
        raise ConfigurationError(
            f"{_label(model)} has no name for its event: write `class {model.__name__}(SSEModel, "
            'event="...")`, or yield subclasses with names and declare their union'
        )
    return model.__sse_event__


def _values(model: Any, field: str) -> tuple[str, ...]:
    """Return the values that a discriminator can have in a model."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(f"EventDiscriminator needs models, got {_label(model)}")
    if issubclass(model, SSEModel) and model.__sse_event__ is not None:
        raise ConfigurationError(
            f"{_label(model)} names its event by its class and by EventDiscriminator({field!r}): "
            "remove one of them"
        )
    info = model.model_fields.get(field)
    literal = None if info is None else without_alias(info.annotation)
    if get_origin(literal) is not Literal:
        raise ConfigurationError(
            f"EventDiscriminator({field!r}) needs a field {field!r} in {_label(model)} that is a "
            f"Literal, got {literal!r}"
        )
    return tuple(_checked_name(_enum_value(value), model) for value in get_args(literal))


def _enum_value(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _checked_name(name: Any, model: type) -> str:
    try:
        check_single_line("event", name)
        to_utf8("event", name)
    except FieldError as error:
        raise ConfigurationError(f"{_label(model)}: {error}") from error
    if not name:
        raise ConfigurationError(
            f'{_label(model)}: event must not be empty; "message" is what browsers call an '
            "event without a name"
        )
    return str(name)


def _label(model: Any) -> str:
    return model.__qualname__ if isinstance(model, type) else repr(model)
