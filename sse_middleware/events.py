"""`ServerSentEvent` and the constants of the stream, under the names that FastAPI gave them."""

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
"""What keeps an idle connection open: a comment, which clients ignore (WHATWG HTML, 9.2.7)."""

_PING_INTERVAL: float = 15.0
"""Seconds of silence before a keep-alive, where no setting says otherwise. Read when a stream
starts, so a test can monkeypatch it. The standard advises "every 15 seconds or so" (9.2.7)."""

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
    """One event, with every field that the standard knows (WHATWG HTML, 9.2.5).

    Yield it where the data alone doesn't say enough. Anything else that is yielded is the ``data``
    of an event without other fields. An event can't be changed once it is made.

    Attributes:
        data: the payload, always sent as JSON: ``"hello"`` becomes ``data: "hello"``, with its
            quotes. ``None`` leaves the field out (``raw_data="null"`` sends a null).
        raw_data: text that is sent as it is: HTML, CSV, ``[DONE]``. Excludes ``data``.
        event: the event's type, for ``addEventListener``; without it browsers see a ``message``.
        id: what the browser sends as ``Last-Event-ID`` when it reconnects. ``""`` resets it.
        retry: the client's reconnection time, in milliseconds.
        comment: text that clients ignore, before the other fields.

    Raises:
        pydantic.ValidationError: when it is made: a newline or NUL in ``event`` or ``id``, a
            ``retry`` that is no non-negative integer, both ``data`` and ``raw_data``, an unknown
            field or a wrong type. Names the field and the value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataT_co = None  # type: ignore[assignment] # left out, which is no data of any type
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
                f"raw_data={self.raw_data!r}: data is sent as JSON, raw_data as it is"
            )
        return self

    def json(self) -> Any:  # type: ignore[override] # Pydantic's own, which is deprecated
        """Return what the data says to a client that reads it as JSON.

        Raises:
            ValueError: there is no data, or it is no JSON. Shows it.
        """
        text = self.raw_data if self.data is None else to_json(self.data, inf_nan_mode="null")
        if text is None:
            raise ValueError(f"there is no data in {self!r}")
        try:
            return from_json(text)
        except ValueError as error:
            raise ValueError(f"the data is no JSON: {text!r}: {error}") from error
