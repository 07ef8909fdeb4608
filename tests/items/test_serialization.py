"""The bytes of each kind of item: JSON, events, keep-alives, and what can't be sent."""

import copy
import json
import math
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_serializer
from pydantic_core import to_json

from sse_middleware import EventSourceResponse
from sse_middleware.errors import EncodingError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.item_encoding import LOOKED_AT
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.items.encoding import (
    ENDPOINT,
    FILTERED,
    SECRETIVE,
    Item,
    Measured,
    Named,
    Point,
    Record,
    Secretive,
    Unknown,
    data,
    encode,
    encoder_of,
)
from tests.served import body_of


class Broken(BaseModel):
    name: str

    @field_serializer("name")
    def _fail(self, _: str) -> str:
        raise LookupError("no such name")


class Row(NamedTuple):
    x: float


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Kind(StrEnum):
    NEW = "new"


# Data is always JSON


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"a": 1, "b": [True, None]}, b'{"a":1,"b":[true,null]}'),
        ({}, b"{}"),
        (Item(name="n"), b'{"theName":"n"}'),
        ([{"a": Item(name="n")}], b'[{"a":{"theName":"n"}}]'),
        (Point(1.5), b'{"x":1.5,"y":0}'),
        (Row(1.5), b"[1.5]"),
        (datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC), b'"2025-01-02T03:04:05Z"'),
        (date(2025, 1, 2), b'"2025-01-02"'),
        (time(3, 4, 5), b'"03:04:05"'),
        (timedelta(seconds=1), b'"PT1S"'),
        (UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
        (Colour.RED, b'"red"'),
        (Size.SMALL, b"1"),
        (Kind.NEW, b'"new"'),
        (Decimal("1.10"), b'"1.10"'),
        ({1}, b"[1]"),
        (frozenset({1}), b"[1]"),
        ((1, 2), b"[1,2]"),
        (Path("a"), b'"a"'),
        (b"caf\xc3\xa9", '"café"'.encode()),
        (bytearray(b"b"), b'"b"'),
        ("hello", b'"hello"'),
        ("", b'""'),
        ("[DONE]", b'"[DONE]"'),
        ('a\r\nb\rc\n"\0', rb'"a\r\nb\rc\n\"\u0000"'),
        ("\u00e9\u2027\U0001f600", '"\u00e9\u2027\U0001f600"'.encode()),
        (0, b"0"),
        (False, b"false"),
        (10**30, b"1" + b"0" * 30),
        (1.5, b"1.5"),
    ],
)
def test_data_is_compact_json_as_pydantic_core_writes_it(item: Any, text: bytes) -> None:
    assert to_json(item, inf_nan_mode="null") == text
    assert encode(item) == data(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("wrap", "item_type", "text"),
    [
        (lambda number: number, float, b"null"),
        (lambda number: [1, number], list[float], b"[1,null]"),
        (lambda number: (1, number), tuple[int, float], b"[1,null]"),
        (lambda number: {number}, set[float], b"[null]"),
        (lambda number: {"x": number}, dict[str, float], b'{"x":null}'),
        (lambda number: {"x": [{"y": number}]}, dict[str, Any], b'{"x":[{"y":null}]}'),
        (lambda number: Measured(value=number), Measured, b'{"value":null}'),
        (lambda number: [Measured(value=number)], list[Measured], b'[{"value":null}]'),
        (Point, Point, b'{"x":null,"y":0}'),
        (Row, Row, b"[null]"),
        (lambda number: Record(x=number), Record, b'{"x":null}'),
        (lambda number: number, float | str, b"null"),
        (lambda number: number, object, b"null"),
    ],
)
def test_nan_and_infinities_become_null(
    wrap: Callable[[float], Any], item_type: Any, text: bytes, number: float
) -> None:
    item = wrap(number)
    assert to_json(item, inf_nan_mode="null") == text
    assert encode(item) == data(text)
    assert encode(ServerSentEvent(data=item)) == data(text)
    assert json.loads(encode(item, item_type).removeprefix(b"data: ")) == json.loads(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8") | st.sampled_from("\r\n\0\x85\u2028")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
).filter(lambda item: item is not None)


@given(JSON)
def test_a_client_reads_what_was_yielded(item: Any) -> None:
    [event] = EventStreamDecoder().feed(encode(item))
    assert isinstance(event, MessageEvent)
    assert json.loads(event.data) == item


def test_each_item_is_encoded_by_its_own_type() -> None:
    encoder = encoder_of()
    frames = [
        (1, b"data: 1\n\n"),
        (None, KEEPALIVE_COMMENT),
        (ServerSentEvent(raw_data="r"), b"data: r\n\n"),
        (Named(raw_data="s"), b"data: s\n\n"),
        (1, b"data: 1\n\n"),
        (None, KEEPALIVE_COMMENT),
        ({"raw_data": 1}, b'data: {"raw_data":1}\n\n'),
    ]
    for item, frame in frames * 2:  # the second time, all of the types are known
        assert encoder.encode(item) == frame


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (
            ServerSentEvent(event="m", data={"v": 2}, id="17", retry=3000, comment="hi"),
            b': hi\nevent: m\ndata: {"v":2}\nid: 17\nretry: 3000\n\n',
        ),
        (ServerSentEvent(data="hello"), b'data: "hello"\n\n'),
        (ServerSentEvent(data="a\nb"), b'data: "a\\nb"\n\n'),
        (ServerSentEvent(data=Item(name="n")), FILTERED),
        (ServerSentEvent(data=0), b"data: 0\n\n"),
        (ServerSentEvent(raw_data="[DONE]"), b"data: [DONE]\n\n"),
        (ServerSentEvent(raw_data="<p>\r\n</p>\n"), b"data: <p>\ndata: </p>\ndata: \n\n"),
        (ServerSentEvent(raw_data=""), b"data: \n\n"),
        (ServerSentEvent(raw_data="caf\u00e9"), "data: café\n\n".encode()),
        (ServerSentEvent(id=""), b"id: \n\n"),
        (ServerSentEvent(comment="a\nb"), b": a\n: b\n\n"),
        (ServerSentEvent(), b"\n\n"),
    ],
)
def test_a_server_sent_event_sends_all_its_fields(event: ServerSentEvent, frame: bytes) -> None:
    assert encode(event) == frame


@pytest.mark.parametrize(
    ("item", "item_type"),
    [
        ({"a": [1, {"b": {2}}]}, Any),
        ({"name": "n", "more": [1]}, Record | dict[str, Any]),
        (ServerSentEvent(data={"a": [math.nan]}, event="m"), Any),
        (Secretive(name="n"), Item),
    ],
)
def test_what_is_yielded_is_not_changed(item: Any, item_type: Any) -> None:
    before = copy.deepcopy(item)
    encode(item, item_type)
    assert repr(item) == repr(before)


# What can't be sent

circular: list[Any] = []
circular.append(circular)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("a\ud800", "str"),
        (["\udfff"], "list"),
        ({"\ud800": 1}, "dict"),
        (b"\xff", "bytes"),
        ({b"\xff": 1}, "dict"),
        (object(), "object"),
        ([Unknown()], "list"),
        (Unknown(), "tests.items.encoding.Unknown"),
        (circular, "list"),
        (lambda: 1, "function"),
        (Broken(name="n"), f"{__name__}.Broken"),
        (ServerSentEvent(data=object()), "sse_middleware.events.ServerSentEvent"),
        (ServerSentEvent(data="\ud800"), "sse_middleware.events.ServerSentEvent"),
    ],
)
def test_an_item_that_can_not_be_sent_is_named_with_its_endpoint(item: Any, name: str) -> None:
    encoder = encoder_of()
    with pytest.raises(EncodingError) as caught:
        encoder.encode(item)
    message = str(caught.value)
    assert message.startswith(f"{ENDPOINT} gave an item of type {name} that can't be sent: ")
    assert str(caught.value.__cause__) in message
    assert encoder.encode(1) == b"data: 1\n\n"  # the generator may go on


@pytest.mark.parametrize("field", ["raw_data", "event", "id", "comment"])
def test_a_lone_surrogate_in_a_text_field_is_named(field: str) -> None:
    fields: dict[str, Any] = {field: "a\ud800"}
    with pytest.raises(
        EncodingError, match=rf"{ENDPOINT} .*ServerSentEvent .*\b{field}\b.*\\ud800"
    ):
        encode(ServerSentEvent(**fields))


# The user's serializer


async def bursts(items: list[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


def test_a_serializer_may_return_bytes_or_text() -> None:
    assert encode({"a": 1}, serializer=lambda item: repr(item).encode()) == data(b"{'a': 1}")
    assert encode("\u00e9", serializer=str) == data(b"\xc3\xa9")


def test_a_serializer_may_return_several_lines() -> None:
    frame = b"data: a\ndata: b\ndata: \ndata: c\ndata: \n\n"
    assert encode("a\r\nb\r\rc\n", serializer=str) == frame
    assert encode(b"a\r\nb\r\rc\n", serializer=bytes) == frame
    assert encode(ServerSentEvent(data="a\nb\n\nc\n"), serializer=str) == frame
    assert encode(ServerSentEvent(data="a\nb\n\nc\n"), serializer=str.encode) == frame


@pytest.mark.anyio
@pytest.mark.parametrize("line", ["a\nb", "a\rb", "a\r\nb"])
@pytest.mark.parametrize("wrap", [bursts, iter], ids=["task", "thread"])
async def test_one_text_of_a_burst_may_have_several_lines(wrap: Any, line: str) -> None:
    body = await body_of(EventSourceResponse(wrap(["x", line, "y"]), serializer=str))
    assert body == data(b"x") + b"data: a\ndata: b\n\n" + data(b"y")


def test_a_serializer_gets_the_item_itself() -> None:
    received: list[Any] = []

    def serialize(item: Any) -> str:
        received.append(item)
        return ""

    item, inner = object(), object()
    encoder = encoder_of(serializer=serialize)
    for yielded in (item, ServerSentEvent(data=inner), ServerSentEvent(raw_data="r"), None):
        encoder.encode(yielded)
    assert received == [item, inner]


@pytest.mark.parametrize("item", [SECRETIVE, {"name": "n", "secret": "s"}])
def test_with_an_item_type_a_serializer_gets_the_filtered_item(item: Any) -> None:
    assert encode(item, Item, serializer=repr) == data(b"{'theName': 'n'}")
    with pytest.raises(EncodingError, match=f"{ENDPOINT} gave an item of type int "):
        encode(5, Item, serializer=repr)


@pytest.mark.parametrize("nonsense", [None, 5, bytearray(b"{}"), {}])
@pytest.mark.parametrize("item", [{"a": 1}, ServerSentEvent(data=1)])
def test_anything_else_that_a_serializer_returns_is_refused(item: Any, nonsense: Any) -> None:
    with pytest.raises(EncodingError, match="serializer must return bytes or str, got ") as caught:
        encode(item, serializer=lambda _: nonsense)
    assert str(caught.value).startswith(f"{ENDPOINT} gave an item of type ")
    assert str(caught.value).endswith(f" got {nonsense!r}")


def test_what_a_serializer_raises_is_the_cause() -> None:
    with pytest.raises(
        EncodingError, match=f"{ENDPOINT} gave an item of type int .*division"
    ) as caught:
        encode(0, serializer=lambda item: str(1 / item))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_lone_surrogate_from_a_serializer_is_refused() -> None:
    with pytest.raises(EncodingError, match=rf"{ENDPOINT} gave an item of type int .*\\ud800"):
        encode(1, serializer=lambda _: "\ud800")


# The keys of objects, and characters that end lines for some clients

ODD = {None: 1, math.inf: 2}
NAMED = b'{"null":1,"Infinity":2}'


@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: ServerSentEvent(data=value),
        lambda value: ServerSentEvent(data=value, event="e", id="1"),
    ],
)
@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ODD, NAMED),
        ([ODD], b"[" + NAMED + b"]"),
        (({"a": ODD},), b'[{"a":' + NAMED + b"}]"),
        ({"a\u2028": "\x85\u2029"}, rb'{"a\u2028":"\u0085\u2029"}'),
        ({None: "\u2028"}, rb'{"null":"\u2028"}'),
    ],
)
@pytest.mark.parametrize("item_type", [Any, dict[str, int] | ServerSentEvent, Item])
def test_names_and_escapes(value: Any, text: bytes, item_type: Any, wrap: Any) -> None:
    item = wrap(value)
    if item is value:
        item_type = Any
    encoder = encoder_of(item_type)
    for _ in range(2):
        encoder.encode(wrap({"a": 1}) if item is not value else {"a": 1})
        assert b"data: " + text + b"\n" in encoder.encode(item)


@pytest.mark.parametrize("item_type", [dict[Any, int], dict[str, Any]])
def test_keys_of_a_declared_type_are_pydantics_or_refused(item_type: Any) -> None:
    assert encode({"a": 1}, item_type) == data(b'{"a":1}')
    if item_type == dict[Any, int]:
        assert encode({1.5: 1, "a": 2}, item_type) == data(b'{"1.5":1,"a":2}')
    item: Any = {"x": {1: 1, "1": 2}} if item_type == dict[str, Any] else ODD
    with pytest.raises(EncodingError, match=r"both sent as '(None|1)'"):
        encode(item, item_type)


def test_plain_items_are_trusted_after_a_thousand() -> None:
    encoder, odd = encoder_of(), encoder_of()
    for _ in range(LOOKED_AT):
        assert encoder.encode({"a": 1}) == odd.encode({"a": 1}) == data(b'{"a":1}')
        assert odd.encode(ODD) == data(NAMED)
    assert encoder.encode(ODD) != data(NAMED)
    assert odd.encode(ODD) == data(NAMED)


def test_types_without_such_keys_are_trusted_at_once() -> None:
    for item_type, item in ((Item, SECRETIVE), (dict[str, int], {"a": 1}), (Any, SECRETIVE)):
        encoder = encoder_of(item_type)
        encoder.encode(item)
        assert type(item) in encoder.plain


def test_the_bound_of_an_event_counts_what_is_sent() -> None:
    for item in ("\u2028" * 5, {None: 1, "a": "\u2028" * 5}, ServerSentEvent(data="\u2028" * 5)):
        size = len(encode(item))
        assert encode(item, max_event_size=size)
        with pytest.raises(EncodingError, match=f"it takes {size} bytes"):
            encode(item, max_event_size=size - 1)


def test_what_a_serializer_and_raw_data_say_is_sent_as_it_is() -> None:
    text = "a\x85b\u2028c"
    assert encode(text, serializer=str) == data(text.encode())
    assert encode(ServerSentEvent(data=text), serializer=str) == data(text.encode())
    assert encode(ServerSentEvent(raw_data=text)) == data(text.encode())


@pytest.mark.anyio
@pytest.mark.parametrize("wrap", [bursts, iter], ids=["task", "thread"])
async def test_a_burst_is_escaped_too(wrap: Any) -> None:
    items = [{"a": "x"}] * (LOOKED_AT + 5) + [{"a": "\u2028"}, ["\x85"]] * 3
    body = await body_of(EventSourceResponse(wrap(items), item_type=Any))
    assert body.count(rb'{"a":"\u2028"}') == 3
    assert len(body.decode().splitlines()) == 2 * len(items)


def test_the_bound_of_an_event_holds_for_a_serializer() -> None:
    assert encode("\u2028", serializer=str, max_event_size=11) == data("\u2028".encode())
    with pytest.raises(EncodingError, match="it takes 11 bytes"):
        encode("\u2028", serializer=str, max_event_size=10)


def test_the_bound_of_an_event_counts_each_line_of_a_serializers_text() -> None:
    frame = b"data: a\ndata: b\n\n"
    assert encode("a\r\nb", serializer=str, max_event_size=len(frame)) == frame
    with pytest.raises(EncodingError, match=f"it takes {len(frame)} bytes"):
        encode("a\r\nb", serializer=str, max_event_size=len(frame) - 1)
