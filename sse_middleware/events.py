"""`ServerSentEvent` and the constants of a stream, under FastAPI's names."""

from typing import Annotated, Any, Generic

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    model_validator,
)
from pydantic_core import from_json, to_json
from typing_extensions import TypeVar  # with a default, as typing's from Python 3.13 on

from sse_middleware.wire.encoding import check_single_line, format_sse_event

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
    return AfterValidator(lambda value: value and check_single_line(field, value))


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
        text = self.raw_data if self.data is None else to_json(self.data, inf_nan_mode="null")
        if text is None:
            raise ValueError(f"there is no data in {self!r}")
        try:
            return from_json(text)
        except ValueError as error:
            raise ValueError(f"the data is not JSON: {text!r}: {error}") from error
