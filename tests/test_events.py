"""`ServerSentEvent` refuses invalid fields, and has FastAPI's names."""

import copy
import pickle
import re
from inspect import Parameter, signature
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticSerializationError, from_json, to_json
from starlette.testclient import TestClient

import sse_middleware
from sse_middleware import EncodingError, EventSourceResponse, events
from sse_middleware.events import ServerSentEvent, format_sse_event
from tests.wire.refused import REFUSED_FIELDS

REFUSED: list[tuple[str, Any]] = [
    *REFUSED_FIELDS,
    *[("raw_data", value) for value in (5, b"x", True, {"a": 1})],
    ("data_str", "x"),
    ("name", "x"),
]


def names(error: ValidationError, field: str, value: object) -> bool:
    [detail] = error.errors()
    if detail["type"] == "value_error":  # the message is ours
        assert f"{field} must be" in detail["msg"]
    return detail["loc"] == (field,) and detail["input"] == value and repr(value) in str(error)


@pytest.mark.parametrize(("field", "value"), REFUSED)
def test_a_bad_field_is_refused_by_name_and_value(field: str, value: Any) -> None:
    fields = {field: value}
    with pytest.raises(ValidationError) as caught:
        ServerSentEvent(**fields)
    assert names(caught.value, field, value)


@pytest.mark.parametrize("data", [1, 0, "", False, [], {"a": 1}])
@pytest.mark.parametrize("raw_data", ["x", ""])
def test_data_and_raw_data_exclude_each_other(data: Any, raw_data: str) -> None:
    message = f"data={re.escape(repr(data))} and raw_data={raw_data!r}"
    with pytest.raises(ValidationError, match=message):
        ServerSentEvent(data=data, raw_data=raw_data)


@pytest.mark.parametrize("field", ["data", "raw_data", "event", "id", "retry", "comment", "name"])
@pytest.mark.parametrize("value", [None, "x", "a\nb", -1])
def test_an_event_is_frozen(field: str, value: Any) -> None:
    event = ServerSentEvent(data=1, event="m", id="1", retry=1, comment="c")
    before = event.model_copy()
    with pytest.raises(ValidationError, match="frozen") as caught:
        setattr(event, field, value)
    assert names(caught.value, field, value)
    assert event == before
    assert event.model_fields_set == before.model_fields_set


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"data": None, "raw_data": "x"},
        {"data": 1, "raw_data": None},
        {"event": "", "id": "", "retry": 0, "comment": ""},
        {"event": " m:\v\f\x85\u2028", "id": " 1:\v\f\x85\u2028"},
        {"raw_data": "a\r\nb\0", "comment": "a\r\nb\0"},
        {"retry": 10**30},
    ],
)
def test_everything_else_is_kept_as_it_is(fields: dict[str, Any]) -> None:
    event = ServerSentEvent(**fields)
    assert event.model_dump(exclude_unset=True) == fields


class Name(str):
    """A text that is not exactly a str."""

    __slots__ = ()


@pytest.mark.parametrize("payload", [{}, {"data": None}, {"data": {"a": 1}}, {"raw_data": "a\nb"}])
@pytest.mark.parametrize("event", [{}, {"event": None}, {"event": "m"}, {"event": Name("m")}])
@pytest.mark.parametrize("id", [{}, {"id": ""}, {"id": " 1:\x85"}])
@pytest.mark.parametrize("others", [{}, {"retry": 1, "comment": "c"}])
def test_an_event_is_the_same_if_pydantic_validates_it(
    payload: Any, event: Any, id: Any, others: Any
) -> None:
    fields = {**event, **payload, **id, **others}
    made, validated = ServerSentEvent(**fields), ServerSentEvent.model_validate(fields)
    assert made == validated
    assert list(made.__dict__.items()) == list(validated.__dict__.items())
    assert made.__getstate__() == validated.__getstate__()
    assert type(made.model_fields_set) is set
    assert pickle.loads(pickle.dumps(made)) == made.model_copy() == validated


def test_an_event_shares_nothing_with_another() -> None:
    one, another = ServerSentEvent(data=1, event="m"), ServerSentEvent(data=1, event="m")
    one.__dict__["id"] = "7"
    one.model_fields_set.add("id")
    assert another.id is None is ServerSentEvent().id
    assert another.model_fields_set == {"data", "event"}


def test_data_is_not_copied() -> None:
    data = {"a": [1]}
    assert ServerSentEvent(data=data).data is data


def test_a_subclass_may_have_defaults() -> None:
    class Done(ServerSentEvent):
        event: str | None = "done"

    assert Done(data=1).event == "done"


class Note(ServerSentEvent):
    """An event with a default."""

    event: str | None = "note"


@pytest.mark.parametrize("kind", [ServerSentEvent, ServerSentEvent[str], Note])
@pytest.mark.parametrize("positional", [("hi",), (None,), ({"a": 1}, "note")])
@pytest.mark.parametrize("fields", [{}, {"id": "1"}])
def test_fields_are_given_by_name(kind: Any, positional: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="by name") as caught:
        kind(*positional, **fields)
    assert f"write ServerSentEvent(data={positional[0]!r})" in str(caught.value)


def test_a_subclass_with_a_validator_that_returns_another_event_is_warned_of() -> None:
    class Copied(ServerSentEvent):
        @model_validator(mode="after")
        def _copied(self) -> "Copied":
            return self.model_copy()

    with pytest.warns(UserWarning, match="other than `self`"):
        Copied(data=1)


def test_the_signature_is_that_of_a_model() -> None:
    parameters = signature(ServerSentEvent).parameters.values()
    assert {one.kind for one in parameters} == {Parameter.KEYWORD_ONLY}
    assert [one.name for one in parameters] == list(ServerSentEvent.model_fields)


class Kept(BaseModel):
    """What a user may store."""

    events: list[ServerSentEvent]


class TestAsOrdinaryData:
    """A framework must not put an event into the JSON of an ordinary response."""

    EVENT = ServerSentEvent(data={"a": 1}, event="note", id="7")

    def test_its_user_may_dump_it(self) -> None:
        fields = {"data": {"a": 1}, "event": "note", "id": "7"}
        assert self.EVENT.model_dump(exclude_none=True) == fields
        assert self.EVENT.model_dump(mode="json", exclude_none=True, by_alias=True) == fields
        assert from_json(self.EVENT.model_dump_json(exclude_none=True)) == fields
        assert TypeAdapter(ServerSentEvent).dump_python(self.EVENT, exclude_none=True) == fields
        assert from_json(to_json([self.EVENT], exclude_none=True)) == [fields]

    def test_its_user_may_keep_it_in_a_model(self) -> None:
        kept = Kept(events=[self.EVENT])
        assert Kept.model_validate_json(kept.model_dump_json()) == kept
        assert Kept(**kept.model_dump()) == kept

    def test_it_can_be_copied_compared_and_shown(self) -> None:
        assert copy.deepcopy(self.EVENT) == self.EVENT == pickle.loads(pickle.dumps(self.EVENT))
        assert self.EVENT.model_copy(update={"id": "8"}).id == "8"
        assert "event='note'" in repr(self.EVENT)

    def test_its_schema_has_its_fields(self) -> None:
        schema = ServerSentEvent.model_json_schema(mode="serialization")
        assert list(schema["properties"]) == list(ServerSentEvent.model_fields)

    @pytest.mark.parametrize(
        "wrapped",
        [
            lambda event: event,
            lambda event: [event],
            lambda event: {"event": event},
            lambda event: Kept(events=[event]),
            lambda event: Note(data=event.data),
            lambda event: ServerSentEvent(data=event),
            lambda event: ServerSentEvent[dict[str, int]](data=event.data),
        ],
    )
    def test_fastapi_may_not_encode_it(self, wrapped: Any) -> None:
        with pytest.raises(PydanticSerializationError, match=r"@event_stream.*model_dump"):
            jsonable_encoder(wrapped(self.EVENT))

    @pytest.mark.parametrize("declared", [None, ServerSentEvent, list[ServerSentEvent], Kept])
    def test_fastapi_may_not_answer_with_it(self, declared: Any) -> None:
        content: Any = {list[ServerSentEvent]: [self.EVENT], Kept: Kept(events=[self.EVENT])}
        app = FastAPI()

        @app.get("/", response_model=declared)
        def endpoint() -> Any:
            return content.get(declared, self.EVENT)

        with pytest.raises(PydanticSerializationError, match=r"@event_stream.*model_dump"):
            TestClient(app).get("/")

    @pytest.mark.parametrize(
        "item", [[EVENT], {"x": EVENT}, ServerSentEvent(data=EVENT), Kept(events=[EVENT])]
    )
    @pytest.mark.parametrize("item_type", [None, Any])
    def test_a_stream_may_not_put_it_into_the_data_of_another(
        self, item: Any, item_type: Any
    ) -> None:
        response = EventSourceResponse([item], item_type=item_type)
        with pytest.raises(EncodingError, match=r"a ServerSentEvent is not data.*by itself"):
            TestClient(response).get("/")

    def test_its_fields_may_be_data(self) -> None:
        response = EventSourceResponse([self.EVENT.model_dump(exclude_none=True)])
        text = 'data: {"data":{"a":1},"event":"note","id":"7"}\n\n'
        assert TestClient(response).get("/").text == text


def test_the_keep_alive_is_a_comment_every_15_seconds() -> None:
    assert events.KEEPALIVE_COMMENT == b": ping\n\n" == format_sse_event(comment="ping")
    assert type(events._PING_INTERVAL) is float
    assert events._PING_INTERVAL == 15.0


def test_the_openapi_fragment() -> None:
    assert events._SSE_EVENT_SCHEMA == {
        "type": "object",
        "properties": {
            "data": {"type": "string"},
            "event": {"type": "string"},
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        },
    }


# Compared with FastAPI's own


@pytest.fixture
def fastapi_sse() -> Any:
    return pytest.importorskip("fastapi.sse", reason="this FastAPI has no SSE of its own")


@pytest.mark.parametrize("name", ["KEEPALIVE_COMMENT", "_PING_INTERVAL", "_SSE_EVENT_SCHEMA"])
def test_the_constants_are_those_of_fastapi(fastapi_sse: Any, name: str) -> None:
    assert getattr(events, name) == getattr(fastapi_sse, name)


def test_the_names_are_those_of_fastapi(fastapi_sse: Any) -> None:
    for name in ("EventSourceResponse", "ServerSentEvent", "format_sse_event"):
        assert hasattr(fastapi_sse, name)
        assert hasattr(sse_middleware, name)
    ours, theirs = ServerSentEvent.model_fields, fastapi_sse.ServerSentEvent.model_fields
    assert list(ours) == list(theirs)
    assert all(ours[name].default == theirs[name].default for name in ours)
    parameters = signature(fastapi_sse.format_sse_event).parameters.values()
    assert [(one.name, one.kind, one.default) for one in parameters] == [
        (one.name, one.kind, one.default) for one in signature(format_sse_event).parameters.values()
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"data_str": ""},
        {"data_str": "Hello\n"},
        {"data_str": "a\r\nb\rc\nd\n\re\x85f\u2028g\v\f"},
        {"comment": "a\r\nb\rc\n"},
        {"comment": ""},
        {"event": "", "id": ""},
        {"event": "m\x85\u2028", "id": " 1 "},
        {"retry": 0},
        {"data_str": "{}", "event": "m", "id": "17", "retry": 3000, "comment": "hi"},
        {"data_str": "\0\ufeff\u00e9\u2026\U0001f600"},
    ],
)
def test_the_bytes_are_those_of_fastapi(fastapi_sse: Any, fields: dict[str, Any]) -> None:
    assert format_sse_event(**fields) == fastapi_sse.format_sse_event(**fields)


class TestJson:
    """What a client reads."""

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            (ServerSentEvent(raw_data='{"a":[1]}'), {"a": [1]}),
            (ServerSentEvent(data={"a": (1,)}), {"a": [1]}),
            (ServerSentEvent(data=float("inf")), None),
        ],
    )
    def test_is_what_was_sent(self, event: ServerSentEvent, expected: Any) -> None:
        assert event.json() == expected

    def test_of_no_data_is_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"there is no data in .*comment='hi'"):
            ServerSentEvent(comment="hi").json()

    def test_of_other_text_is_an_error_that_shows_it(self) -> None:
        with pytest.raises(ValueError, match=r"not JSON: '\[DONE\]'"):
            ServerSentEvent(raw_data="[DONE]").json()
