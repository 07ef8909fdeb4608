"""Models that say what their event is called, and what a union of them says.

Rules of this file:
- A name is stated, never guessed: by the class (``event="sold"``), or by the union, which names the
  field that tells its models apart (`EventDiscriminator`).
- The declared type decides: an instance of a subclass is sent as the member that it is declared as.
- One name, one type of data. A type of items that says otherwise is refused when it is made.
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

    Yielded, it is the data of an event of that name; so is one that is the ``data`` of a
    `ServerSentEvent` without an ``event``. A subclass has the name of its base, or gives its own. A
    base without a name is not sent itself.

    Raises:
        ConfigurationError: when the class is made: ``event`` is empty, or more than a line.
    """

    __sse_event__: ClassVar[str | None] = None

    def __init_subclass__(cls, *, event: str | None = None, **config: Unpack[ConfigDict]) -> None:
        """Take the class keyword; the others are Pydantic's."""
        super().__init_subclass__(**config)
        if event is not None:
            cls.__sse_event__ = _checked(event, cls)


@dataclass(frozen=True, slots=True)
class EventDiscriminator:
    """Says that a field tells the models of a union apart, and that its value names the event.

    ``Annotated[Started | Ended, EventDiscriminator("type")]`` validates as with Pydantic's
    ``Field(discriminator="type")``. The field is a ``Literal`` of strings in each of the models,
    and stays in the data.

    Args:
        field: its name in the models.
    """

    field: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Be a discriminator to Pydantic, which wants two models at least."""
        if get_origin(without_alias(source)) not in UNIONS:
            return handler(source)
        return handler(Annotated[source, Field(discriminator=self.field)])


@dataclass(frozen=True, slots=True)
class Member:
    """A part of a declared union.

    Attributes:
        annotation: its type, with what ``Annotated`` adds to it.
        model: its type without that.
        names: of its events; none where its data is sent without a name.
        field: the field of its data that names the event, where it does.
    """

    annotation: Any
    model: Any
    names: tuple[str, ...] = ()
    field: str | None = None

    def name_of(self, data: Any) -> str:
        """Return the name of the event of such data."""
        return self.names[0] if self.field is None else _text(getattr(data, self.field))


def members_of(annotation: Any) -> list[Member]:
    """Return the parts of a declared type, in their order.

    Raises:
        ConfigurationError: two have the same name, or one of them should have a name and has none.
    """
    members = list(_members(annotation, None))
    owners: dict[str, Member] = {}
    for member in members:
        for name in member.names:
            if name in owners:
                raise ConfigurationError(
                    f"{_called(owners[name].model)} and {_called(member.model)} are both sent as "
                    f"the event {name!r}: give each a name of its own"
                )
            owners[name] = member
    return members


class EventNames:
    """Which event is sent for which data.

    Args:
        annotation: the declared type of the data. What it doesn't name is named by its class.
    """

    def __init__(self, annotation: Any) -> None:
        self._members = {one.model: one for one in members_of(annotation) if one.names}

    def __bool__(self) -> bool:
        return bool(self._members)

    def of(self, data: Any) -> str | None:
        """Return the event's name, ``None`` where it has none. Raises as `event_name`."""
        for kind in type(data).__mro__:
            member = self._members.get(kind)
            if member is not None:
                return member.name_of(data)
        return event_name(data)


def event_name(data: Any) -> str | None:
    """Return the name that the class of `data` says, ``None`` if it is no `SSEModel`.

    Raises:
        ConfigurationError: it is one, and has no name.
    """
    return _named(type(data)) if isinstance(data, SSEModel) else None


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
        yield Member(annotation, model, (_named(model),))
    else:
        yield Member(annotation, model)


def _named(model: type[SSEModel]) -> str:
    if model.__sse_event__ is None:
        raise ConfigurationError(
            f"{_called(model)} has no name for its event: say `class {model.__name__}(SSEModel, "
            'event="...")`, or yield subclasses that do and declare their union'
        )
    return model.__sse_event__


def _values(model: Any, field: str) -> tuple[str, ...]:
    """Return what a discriminator may say in a model."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        raise ConfigurationError(f"EventDiscriminator takes models, got {_called(model)}")
    if issubclass(model, SSEModel) and model.__sse_event__ is not None:
        raise ConfigurationError(
            f"{_called(model)} names its event by its class and by EventDiscriminator({field!r}): "
            "leave one of them out"
        )
    info = model.model_fields.get(field)
    literal = None if info is None else without_alias(info.annotation)
    if get_origin(literal) is not Literal:
        raise ConfigurationError(
            f"EventDiscriminator({field!r}) needs a field {field!r} in {_called(model)} that is a "
            f"Literal, got {literal!r}"
        )
    return tuple(_checked(_text(value), model) for value in get_args(literal))


def _text(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _checked(name: Any, model: type) -> str:
    try:
        check_single_line("event", name)
        to_utf8("event", name)
    except FieldError as error:
        raise ConfigurationError(f"{_called(model)}: {error}") from error
    if not name:
        raise ConfigurationError(
            f'{_called(model)}: event must not be empty; "message" is what browsers call an '
            "event without a name"
        )
    return str(name)


def _called(model: Any) -> str:
    return model.__qualname__ if isinstance(model, type) else repr(model)
