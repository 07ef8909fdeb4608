"""`ServerSentEvent` and the constants of a stream, under FastAPI's names.

Rules of this file:
- Pydantic checks the fields, and says what is wrong with them. No other code refuses a field.
- Most events have data, and perhaps a name and an id that are printable. Pydantic would take these
  fields as they are, so they are set without it. That takes two thirds of the instructions.
- A subclass may have validators, and ``ServerSentEvent[Item]`` checks its data. So Pydantic
  validates these in any case.
"""

import sys
from inspect import signature
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Generic

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StrictInt,
    StrictStr,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticSerializationError, SchemaValidator, from_json
from pydantic_core.core_schema import any_schema, model_schema
from typing_extensions import TypeVar  # with a default, as typing's from Python 3.13 on

from sse_middleware.wire.encoding import check_single_line, format_sse_event
from sse_middleware.wire.json_text import to_json

__all__ = ["KEEPALIVE_COMMENT", "ServerSentEvent", "format_sse_event"]

KEEPALIVE_COMMENT = b": ping\n\n"
"""Keeps an idle connection open: a comment, which clients ignore (WHATWG HTML, 9.2.7)."""

_PING_INTERVAL: float = 15.0
"""Seconds of silence before a keep-alive, unless a setting overrides them. A stream reads this when
it starts, so a test can monkeypatch it. The standard advises "every 15 seconds or so" (9.2.7)."""

_SSE_EVENT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}
"""An event as OpenAPI 3.2 describes it (section 4.14.4)."""


def _single_line(field: str) -> AfterValidator:
    def check(value: str | None) -> str | None:
        if value is None or value.isprintable():  # the usual case, without another call
            return value
        return check_single_line(field, value)

    return AfterValidator(check)


_NO_FIELDS = MappingProxyType(
    {"data": None, "raw_data": None, "event": None, "id": None, "retry": None, "comment": None}
)
"""The fields of an event to which none was given."""

_SINGLE_LINES = ("event", "id")

_set_state = SchemaValidator(model_schema(BaseModel, any_schema())).validate_python
"""Sets what Pydantic sets in a model that it has validated: its fields, its extra fields, and the
names of the fields that were given."""


def _are_usual(fields: dict[str, Any]) -> bool:
    """Whether Pydantic would take the fields as they are."""
    for name, value in fields.items():
        if name != "data" and not (
            name in _SINGLE_LINES and type(value) is str and value.isprintable()
        ):
            return False
    return True


DataT_co = TypeVar("DataT_co", covariant=True, default=Any)
"""The type of an event's data."""


class ServerSentEvent(BaseModel, Generic[DataT_co]):
    """One event, with every field of the standard (WHATWG HTML, 9.2.5).

    Yield it to set more than the data. Any other item becomes the ``data`` of an event without
    other fields. An event is immutable.

    Attributes:
        data: the payload, always sent as JSON: ``"hello"`` becomes ``data: "hello"``, with its
            quotes. ``None`` omits the field (``raw_data="null"`` sends a null).
        raw_data: text that is sent unchanged: HTML, CSV, ``[DONE]``. Excludes ``data``.
        event: the event's type, for ``addEventListener``; without it browsers use ``message``.
        id: what the browser sends as ``Last-Event-ID`` when it reconnects. ``""`` resets it.
            `last_event_id` reads it. It comes back unchanged if it takes at most 8 KiB and has no
            spaces at its ends and no control characters.
        retry: the client's reconnection time, in milliseconds.
        comment: text that clients ignore, written before the other fields.

    Raises:
        pydantic.ValidationError: at construction, for a newline or NUL in ``event`` or ``id``, a
            ``retry`` that is not a non-negative integer, both ``data`` and ``raw_data``, an unknown
            field or a wrong type. The message names the field and the value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataT_co = None  # type: ignore[assignment] # None means no data, whatever its type
    raw_data: StrictStr | None = None
    event: Annotated[StrictStr | None, _single_line("event")] = None
    id: Annotated[StrictStr | None, _single_line("id")] = None
    retry: Annotated[StrictInt, Field(ge=0)] | None = None
    comment: StrictStr | None = None

    if not TYPE_CHECKING:  # pragma: no branch - type checkers make the signature of the fields

        def __init__(self, /, *positional: Any, **fields: Any) -> None:
            __tracebackhide__ = True
            if positional:
                raise TypeError(_keywords_only(positional))
            if type(self) is ServerSentEvent and _are_usual(fields):
                _set_state((_NO_FIELDS | fields, None, set(fields)), self_instance=self)
                return
            event = self.__pydantic_validator__.validate_python(fields, self_instance=self)
            if event is not self:  # a subclass has a validator that Pydantic warns of
                super().__init__(**fields)

        __init__.__signature__ = signature(BaseModel.__init__)
        __init__.__pydantic_base_init__ = True  # Pydantic may skip it: it only validates

    # Without a return type, which would replace the fields in the schema.
    @model_serializer(mode="wrap")
    def _not_as_ordinary_data(self, dump: SerializerFunctionWrapHandler):  # type: ignore[no-untyped-def] # noqa: ANN202
        """Refuse to become a part of a JSON body: the client would get its fields and no event.

        The user may dump an event, and keep it. A framework and a stream may not.
        """
        # The frame above this one belongs to the function that calls Pydantic's serializer.
        caller = _outside_pydantic(sys._getframe(1))  # noqa: SLF001 - as logging and warnings do
        if caller.partition(".")[0] in _FRAMEWORKS or caller.startswith(_ENCODING):
            raise PydanticSerializationError(NO_DATA)
        return dump(self)

    @model_validator(mode="after")
    def _one_payload(self) -> "ServerSentEvent[DataT_co]":
        if self.data is not None and self.raw_data is not None:
            raise ValueError(
                f"data and raw_data exclude each other, got data={self.data!r} and "
                f"raw_data={self.raw_data!r}: data is sent as JSON, raw_data unchanged"
            )
        return self

    def json(self) -> Any:  # type: ignore[override] # Pydantic's json() is deprecated
        """Return the data as a client reads it from JSON.

        Raises:
            ValueError: there is no data, or it is not JSON. The message shows it.
        """
        text = self.raw_data if self.data is None else to_json(self.data, by_alias=True)
        if text is None:
            raise ValueError(f"there is no data in {self!r}")
        try:
            return from_json(text)
        except ValueError as error:
            raise ValueError(f"the data is not JSON: {text!r}: {error}") from error


_FRAMEWORKS = ("blacksheep", "fastapi", "litestar", "ninja", "quart_schema", "starlette")
"""Packages that must not serialise an event: their body is not a stream."""

_ENCODING = ("sse_middleware.items", "sse_middleware.stream", "sse_middleware.wire")
"""Packages that write events. If they serialise one, it lies inside another event's data."""

NO_DATA = (
    "a ServerSentEvent is not data: as JSON, the client would get its fields and no event. Yield "
    "it by itself, from an endpoint with @event_stream (below the route's decorator) or with "
    "response_class=EventSourceResponse. To send its fields as data, call its model_dump()"
)
"""What is said where an event is about to become a part of an ordinary response."""


def _outside_pydantic(frame: FrameType | None) -> str:
    """Return the name of the module that has called Pydantic."""
    while frame is not None and _module_of(frame).startswith("pydantic"):
        frame = frame.f_back
    return "" if frame is None else _module_of(frame)


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__") or "")


def _keywords_only(positional: tuple[Any, ...]) -> str:
    return (
        f"ServerSentEvent takes its fields by name, got {', '.join(map(repr, positional))}: write "
        f"ServerSentEvent(data={positional[0]!r}), or raw_data= for text that is sent unchanged"
    )
