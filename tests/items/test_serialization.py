"""What each kind of item becomes, and what an endpoint's annotation makes of it."""

import collections.abc
import contextlib
import copy
import functools
import json
import math
import sys
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple, Optional, TypeVar, Union
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError, create_model, field_serializer
from pydantic_core import to_json
from starlette.responses import Response
from typing_extensions import TypeAliasType, TypedDict  # Pydantic takes no other before Python 3.12

from sse_middleware.errors import ConfigurationError, EncodingError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.control_frames import ConfiguredControlFrames
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.settings import StreamSettings
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent

ENDPOINT = "app.endpoint"


def encoder_of(item_type: Any = Any, **options: Any) -> ItemEncoder:
    stream = StreamSettings(**options)
    return ItemEncoder(
        stream, ConfiguredControlFrames(stream).ping, ItemType.declared(item_type), ENDPOINT
    )


def encode(item: Any, item_type: Any = Any, **options: Any) -> bytes:
    return encoder_of(item_type, **options).encode(item)


def data(json_text: bytes) -> bytes:
    return b"data: " + json_text + b"\n\n"


class Item(BaseModel):
    name: str = Field(serialization_alias="theName")


class Secretive(Item):
    secret: str = "s"


class Measured(BaseModel):
    value: float


class Broken(BaseModel):
    name: str

    @field_serializer("name")
    def _fail(self, _: str) -> str:
        raise LookupError("no such name")


@dataclass
class Point:
    x: float
    y: float = 0


class Row(NamedTuple):
    x: float


class Record(TypedDict):
    x: float


class Colour(Enum):
    RED = "red"


class Size(IntEnum):
    SMALL = 1


class Kind(StrEnum):
    NEW = "new"


class Unknown:
    """Nothing that Pydantic knows."""


undefined: dict[str, Any] = {"other": ("Missing", ...)}
Unfinished = create_model("Unfinished", **undefined)


SECRETIVE = Secretive(name="n")
WHOLE = data(b'{"theName":"n","secret":"s"}')
FILTERED = data(b'{"theName":"n"}')

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
        ("\u00e9\u2028\U0001f600", '"\u00e9\u2028\U0001f600"'.encode()),
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


@settings(deadline=None)
@given(JSON)
def test_a_client_reads_what_was_yielded(item: Any) -> None:
    [event] = EventStreamDecoder().feed(encode(item))
    assert isinstance(event, MessageEvent)
    assert json.loads(event.data) == item


def test_every_item_is_judged_by_its_own_type() -> None:
    class Special(ServerSentEvent):
        pass

    one = encoder_of().encode
    items = [
        1,
        None,
        ServerSentEvent(raw_data="r"),
        Special(raw_data="s"),
        1,
        None,
        {"raw_data": 1},
    ]
    for _ in range(2):  # the second time, all of the types are known
        assert [one(item) for item in items] == [
            b"data: 1\n\n",
            KEEPALIVE_COMMENT,
            b"data: r\n\n",
            b"data: s\n\n",
            b"data: 1\n\n",
            KEEPALIVE_COMMENT,
            b'data: {"raw_data":1}\n\n',
        ]


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
def test_a_server_sent_event_says_all_its_fields(event: ServerSentEvent, frame: bytes) -> None:
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
        (Unknown(), f"{__name__}.Unknown"),
        (circular, "list"),
        (lambda: 1, "function"),
        (Broken(name="n"), f"{__name__}.Broken"),
        (ServerSentEvent(data=object()), "sse_middleware.events.ServerSentEvent"),
        (ServerSentEvent(data="\ud800"), "sse_middleware.events.ServerSentEvent"),
    ],
)
def test_an_item_that_can_not_be_sent_is_named_with_its_endpoint(item: Any, name: str) -> None:
    one = encoder_of().encode
    with pytest.raises(EncodingError) as caught:
        one(item)
    message = str(caught.value)
    assert message.startswith(f"{ENDPOINT} gave an item of type {name} that can't be sent: ")
    assert str(caught.value.__cause__) in message
    assert one(1) == b"data: 1\n\n"  # the generator may go on


@pytest.mark.parametrize("field", ["raw_data", "event", "id", "comment"])
def test_a_lone_surrogate_in_a_text_field_is_named(field: str) -> None:
    fields: dict[str, Any] = {field: "a\ud800"}
    with pytest.raises(
        EncodingError, match=rf"{ENDPOINT} .*ServerSentEvent .*\b{field}\b.*\\ud800"
    ):
        encode(ServerSentEvent(**fields))


# The declared type of the items


@pytest.mark.parametrize(
    ("item", "item_type", "text"),
    [
        (SECRETIVE, Item, b'{"theName":"n"}'),
        ({"name": "n", "secret": "s"}, Item, b'{"theName":"n"}'),
        (SimpleNamespace(name="n", secret="s"), Item, b'{"theName":"n"}'),
        ([SECRETIVE], list[Item], b'[{"theName":"n"}]'),
        ({"a": SECRETIVE}, dict[str, Item], b'{"a":{"theName":"n"}}'),
        (SECRETIVE, Item | Measured, b'{"theName":"n"}'),
        (Measured(value=1), Item | Measured, b'{"value":1.0}'),
        (Measured(value=1), Item | Measured | None, b'{"value":1.0}'),
        (Measured(value=1), Item | ServerSentEvent | Measured, b'{"value":1.0}'),
        (SECRETIVE, Annotated[Item, "a note"], b'{"theName":"n"}'),
        (SECRETIVE, Annotated[Item | None, "a note"], b'{"theName":"n"}'),
        ({"x": 1, "secret": "s"}, Record, b'{"x":1.0}'),
        ({"x": 1, "y": 2}, Point, b'{"x":1.0,"y":2.0}'),
        ("1", int, b"1"),
        (5, Annotated[int, Field(gt=3)], b"5"),
    ],
)
def test_an_item_is_validated_and_filtered(item: Any, item_type: Any, text: bytes) -> None:
    assert encode(item, item_type) == data(text)


@pytest.mark.parametrize(
    ("item", "item_type", "name", "what"),
    [
        ({"nome": "n"}, Item, "dict", "name\n  Field required"),
        (5, Item, "int", "valid dictionary or object"),
        (Measured(value=1), Item, f"{__name__}.Measured", "name\n  Field required"),
        ("n", int, "str", "valid integer"),
        # An event is an event and nothing that data could look like.
        ({"event": "m"}, Item | ServerSentEvent, "dict", "name\n  Field required"),
        ({"event": "m"}, Union[Item, ServerSentEvent], "dict", "name\n  Field required"),  # noqa: UP007 - another object than the line above
        (2, Annotated[int, Field(gt=3)], "int", "greater than 3"),
        (2, Annotated[int | None, Field(gt=3)], "int", "greater than 3"),
        (2, Annotated[int, Field(gt=3)] | None, "int", "greater than 3"),
    ],
)
def test_an_item_of_another_type_is_refused(
    item: Any, item_type: Any, name: str, what: str
) -> None:
    with pytest.raises(EncodingError) as caught:
        encode(item, item_type)
    assert str(caught.value).startswith(
        f"{ENDPOINT} gave an item of type {name} that can't be sent: "
    )
    assert what in str(caught.value)
    assert isinstance(caught.value.__cause__, ValidationError)


@pytest.mark.parametrize("item_type", [Item, int, Item | None, Item | ServerSentEvent])
def test_the_type_does_not_apply_to_events_and_keep_alives(item_type: Any) -> None:
    assert encode(ServerSentEvent(data=SECRETIVE), item_type) == WHOLE
    assert encode(ServerSentEvent(raw_data="[DONE]"), item_type) == b"data: [DONE]\n\n"
    assert encode(None, item_type) == KEEPALIVE_COMMENT


class Named(ServerSentEvent):
    pass


def _generics(module: Any) -> list[Any]:
    """The six types of streams, as `collections.abc` and `typing` spell them."""
    names = ("AsyncIterable", "AsyncIterator", "Iterable", "Iterator")
    return [
        *(getattr(module, name)[Item] for name in names),
        module.AsyncGenerator[Item, None],
        module.Generator[Item, None, None],
    ]


FILTERING = [
    *_generics(collections.abc),
    *_generics(typing),
    AsyncIterator[Item | None],
    AsyncIterator[Optional[Item]],  # noqa: UP045 - another object than the line above
    AsyncIterator[Union[Item, ServerSentEvent, None]],  # noqa: UP007 - as above
    AsyncIterator[Item | ServerSentEvent],
    AsyncIterator[Named | Item],
    AsyncIterator[Annotated[ServerSentEvent, "a note"] | Item],
    AsyncIterator[Annotated[Item, "a note"]],
    AsyncIterator[Annotated[Item, "a note"] | ServerSentEvent],
    AsyncIterator[Item | Measured],
    "AsyncIterator[Item]",
    "collections.abc.Generator[Item | None, None, None]",
    "typing.AsyncIterable[Item]",
    # Quotes around the item alone
    AsyncIterator["Item"],
    typing.AsyncIterator["Item"],  # typing makes a ForwardRef of it
    AsyncIterator["Item | None"],
    'AsyncIterator["Item"]',
    # A stream that is not the whole annotation
    Annotated[AsyncIterator[Item], "a note"],
    AsyncIterator[Item] | Response,
    AsyncIterator[Item] | None,
    AsyncIterator[Item] | Iterator[Item],
    Annotated[AsyncIterator[Item], "a note"] | Response,
    Annotated[AsyncIterator[Item] | Response, "a note"],
]

OPEN = [
    None,
    Any,
    Response,
    AsyncIterator,
    typing.AsyncIterator,
    AsyncIterator[Any],
    AsyncIterator[Any | None],
    AsyncIterator[None],
    AsyncIterator[ServerSentEvent],
    AsyncIterator[ServerSentEvent | None],
    AsyncIterator[Named],
    AsyncIterator[Annotated[ServerSentEvent, "a note"]],
    AsyncIterator[Item | Any],
    "AsyncIterator[Any]",
    "None",
]

UNRESOLVABLE = [
    "AsyncIterator[Missing]",
    "missing.AsyncIterator[Item]",
    "AsyncIterator[",
    AsyncIterator["Missing"],  # type: ignore[name-defined]  # noqa: F821 - what is tested
    AsyncIterator[list["Missing"]],  # type: ignore[name-defined]  # noqa: F821 - as above
    AsyncIterator[Unknown],
]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is of Python 3.12")
@pytest.mark.parametrize(
    "source",
    [
        "type Items = AsyncIterator[Item]",
        "type Items = AsyncIterator[Item] | None",
        "type One = Item\ntype Items = AsyncIterator[One]",
        "type Of[T] = AsyncIterator[T]\nItems = Of[Item]",
    ],
)
def test_a_type_alias_stands_for_what_it_names(source: str) -> None:
    namespace = {"AsyncIterator": AsyncIterator, "Item": Item}
    exec(source, namespace)
    assert sent_by(endpoint_returning(namespace["Items"]), SECRETIVE) == FILTERED


AnItem = TypeVar("AnItem")
Items = TypeAliasType("Items", AsyncIterator[Item])
ItemsOf = TypeAliasType("ItemsOf", AsyncIterator[AnItem], type_params=(AnItem,))


@pytest.mark.parametrize("annotation", [Items, ItemsOf[Item]], ids=["plain", "generic"])
def test_so_does_one_made_by_hand(annotation: Any) -> None:
    assert sent_by(endpoint_returning(annotation), SECRETIVE) == FILTERED


@pytest.mark.parametrize(
    "annotation",
    [
        list[Item],
        set[Item],
        Sequence[Item],
        Awaitable[AsyncIterator[Item]],
        Coroutine[Any, Any, Iterator[Item]],
    ],
    ids=str,
)
def test_what_is_returned_and_not_yielded_names_the_item_type_too(annotation: Any) -> None:
    assert sent_by(endpoint_returning(annotation), SECRETIVE) == FILTERED


def endpoint_returning(annotation: Any) -> Callable[..., Any]:
    def endpoint() -> Any: ...

    endpoint.__annotations__["return"] = annotation
    return endpoint


def sent_by(endpoint: Any, item: Any) -> bytes:
    stream = StreamSettings()
    item_type = ItemType.of_endpoint(endpoint)
    return ItemEncoder(stream, ConfiguredControlFrames(stream).ping, item_type, ENDPOINT).encode(
        item
    )


@pytest.mark.parametrize("annotation", FILTERING, ids=str)
def test_a_return_annotation_names_the_item_type(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert sent_by(endpoint, SECRETIVE) == FILTERED
    assert sent_by(endpoint, None) == KEEPALIVE_COMMENT
    assert sent_by(endpoint, ServerSentEvent(data=SECRETIVE)) == WHOLE


def test_several_streams_make_a_union() -> None:
    endpoint = endpoint_returning(AsyncIterator[Item] | Iterator[Measured] | Response)
    assert sent_by(endpoint, SECRETIVE) == FILTERED
    assert sent_by(endpoint, Measured(value=1)) == data(b'{"value":1.0}')


@pytest.mark.parametrize(
    "annotation",
    [AsyncIterator[Annotated[int, Field(gt=3)]], "AsyncIterator[Annotated[int, Field(gt=3)]]"],
    ids=str,
)
def test_what_annotated_adds_to_the_item_type_holds(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert sent_by(endpoint, 4) == data(b"4")
    with pytest.raises(EncodingError, match="greater than 3"):
        sent_by(endpoint, 3)


@pytest.mark.parametrize("annotation", OPEN, ids=str)
def test_an_annotation_that_names_none_lets_everything_through(annotation: Any) -> None:
    endpoint = endpoint_returning(annotation)
    assert ItemType.of_endpoint(endpoint) is None
    assert sent_by(endpoint, SECRETIVE) == WHOLE


@pytest.mark.parametrize("annotation", UNRESOLVABLE, ids=str)
def test_an_annotation_that_can_not_be_used_names_the_way_out(annotation: Any) -> None:
    # Never silently as one that names no type: what it should have filtered out would be sent.
    with pytest.raises(ConfigurationError, match=r"(?s)endpoint_returning.*item_type="):
        ItemType.of_endpoint(endpoint_returning(annotation))


@pytest.mark.parametrize("item_type", [None, Any, ServerSentEvent, Named | None], ids=str)
def test_a_given_item_type_that_names_no_data_lets_everything_through(item_type: Any) -> None:
    assert encode(SECRETIVE, item_type) == WHOLE


@pytest.mark.parametrize("item_type", ["Missing", Unknown, Unfinished], ids=str)
def test_a_given_item_type_that_can_not_be_used_is_refused_too(item_type: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)(Missing|Unknown|Unfinished).*item_type="):
        ItemType.declared(item_type)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated at once")
def test_an_annotation_that_fails_only_when_it_is_read_names_the_way_out() -> None:
    namespace: dict[str, Any] = {}
    exec("def endpoint_returning() -> Missing: ...", namespace)
    with pytest.raises(ConfigurationError, match=r"(?s)endpoint_returning.*item_type="):
        ItemType.of_endpoint(namespace["endpoint_returning"])


async def plain() -> AsyncIterator[Item]:
    yield SECRETIVE


def quoted() -> "Iterator[Item]":
    yield SECRETIVE


class Endpoints:
    async def method(self) -> AsyncIterator[Item]:
        yield SECRETIVE

    @staticmethod
    async def of_no_one() -> AsyncIterator[Item]:
        yield SECRETIVE

    @classmethod
    async def of_the_class(cls) -> AsyncIterator[Item]:
        yield SECRETIVE

    async def __call__(self) -> AsyncIterator[Item]:
        yield SECRETIVE


@functools.wraps(plain)
def decorated(*args: Any) -> Any:
    return plain(*args)


@functools.wraps(plain)
def decorated_without_annotations(*args: Any) -> Any:
    return plain(*args)


decorated_without_annotations.__annotations__ = {}


@functools.wraps(functools.partial(plain))
def decorated_partial(*args: Any) -> Any:
    return plain(*args)


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param(plain, id="a function"),
        pytest.param(quoted, id="a function with a string"),
        pytest.param(Endpoints.method, id="an unbound method"),
        pytest.param(Endpoints().method, id="a bound method"),
        pytest.param(Endpoints.of_no_one, id="a static method"),
        pytest.param(Endpoints.of_the_class, id="a class method"),
        pytest.param(Endpoints(), id="a callable object"),
        pytest.param(functools.partial(plain), id="a partial"),
        pytest.param(functools.partial(functools.partial(quoted), 1), id="a partial's partial"),
        pytest.param(functools.partial(Endpoints().method), id="a method's partial"),
        pytest.param(functools.partial(Endpoints()), id="a callable object's partial"),
        pytest.param(decorated, id="decorated"),
        pytest.param(decorated_without_annotations, id="decorated by what keeps __wrapped__ only"),
        pytest.param(functools.partial(decorated_without_annotations), id="its partial"),
        pytest.param(functools.partial(decorated_partial), id="a decorated partial's partial"),
        pytest.param(functools.cache(quoted), id="wrapped into an object"),
        pytest.param(
            contextlib.contextmanager(quoted), id="decorated in a module without those names"
        ),
    ],
)
def test_the_annotation_is_found_behind(endpoint: Any) -> None:
    assert sent_by(endpoint, SECRETIVE) == FILTERED


@pytest.mark.parametrize("endpoint", [None, len, Endpoints, lambda: None, functools.partial(len)])
def test_where_there_is_no_annotation_everything_goes_through(endpoint: Any) -> None:
    assert ItemType.of_endpoint(endpoint) is None


# A serializer of the user's


def test_a_serializer_may_return_bytes_or_text() -> None:
    assert encode({"a": 1}, serializer=lambda item: repr(item).encode()) == data(b"{'a': 1}")
    assert encode("\u00e9", serializer=str) == data(b"\xc3\xa9")


def test_several_lines_are_several_lines_of_data() -> None:
    frame = b"data: a\ndata: b\ndata: \ndata: c\ndata: \n\n"
    assert encode("a\r\nb\r\rc\n", serializer=str) == frame
    assert encode(b"a\r\nb\r\rc\n", serializer=bytes) == frame
    assert encode(ServerSentEvent(data="a\nb\n\nc\n"), serializer=str) == frame


def test_it_is_given_the_very_item() -> None:
    given_to_it: list[Any] = []

    def serialize(item: Any) -> str:
        given_to_it.append(item)
        return ""

    item, inner = object(), object()
    one = encoder_of(serializer=serialize).encode
    for yielded in (item, ServerSentEvent(data=inner), ServerSentEvent(raw_data="r"), None):
        one(yielded)
    assert given_to_it == [item, inner]


@pytest.mark.parametrize("item", [SECRETIVE, {"name": "n", "secret": "s"}])
def test_with_an_item_type_it_is_given_what_the_type_lets_through(item: Any) -> None:
    assert encode(item, Item, serializer=repr) == data(b"{'theName': 'n'}")
    with pytest.raises(EncodingError, match=f"{ENDPOINT} gave an item of type int "):
        encode(5, Item, serializer=repr)


@pytest.mark.parametrize("nonsense", [None, 5, bytearray(b"{}"), {}])
@pytest.mark.parametrize("item", [{"a": 1}, ServerSentEvent(data=1)])
def test_anything_else_that_it_returns_is_refused(item: Any, nonsense: Any) -> None:
    with pytest.raises(EncodingError, match="serializer must return bytes or str, got ") as caught:
        encode(item, serializer=lambda _: nonsense)
    assert str(caught.value).startswith(f"{ENDPOINT} gave an item of type ")
    assert str(caught.value).endswith(f" got {nonsense!r}")


def test_what_it_raises_is_the_cause() -> None:
    with pytest.raises(
        EncodingError, match=f"{ENDPOINT} gave an item of type int .*division"
    ) as caught:
        encode(0, serializer=lambda item: str(1 / item))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_lone_surrogate_that_it_returns_is_refused() -> None:
    with pytest.raises(EncodingError, match=rf"{ENDPOINT} gave an item of type int .*\\ud800"):
        encode(1, serializer=lambda _: "\ud800")


# Keep-alives


@pytest.mark.parametrize(
    ("ping", "frame"),
    [
        ("ping", b": ping\n\n"),
        ("", b": \n\n"),
        ("still\nhere", b": still\n: here\n\n"),
        (ServerSentEvent(event="ping"), b"event: ping\n\n"),
        (ServerSentEvent(event="ping", data={"a": math.nan}), b'event: ping\ndata: {"a":null}\n\n'),
        (lambda: "ping", b": ping\n\n"),
        (lambda: "now", b": now\n\n"),
        (lambda: ServerSentEvent(event="ping", data=1), b"event: ping\ndata: 1\n\n"),
    ],
)
def test_a_keep_alive_is_a_comment_or_an_event(ping: Any, frame: bytes) -> None:
    assert ConfiguredControlFrames(StreamSettings(ping=ping)).ping() == frame
    assert encode(None, ping=ping) == frame
    assert encode(None, Item, ping=ping) == frame


def test_by_default_it_is_the_constant() -> None:
    assert ConfiguredControlFrames(StreamSettings()).ping() == KEEPALIVE_COMMENT


def test_a_factory_is_called_for_each() -> None:
    numbers = iter(range(9))
    ping = ConfiguredControlFrames(StreamSettings(ping=lambda: str(next(numbers)))).ping
    assert [ping(), ping()] == [b": 0\n\n", b": 1\n\n"]


@pytest.mark.parametrize("nonsense", [None, 5, b"ping", ["ping"], {"event": "ping"}])
def test_a_factory_that_returns_nonsense_is_refused(nonsense: Any) -> None:
    ping = ConfiguredControlFrames(StreamSettings(ping=lambda: nonsense)).ping
    with pytest.raises(
        ConfigurationError, match="ping must return a str or a ServerSentEvent"
    ) as c:
        ping()
    assert str(c.value).endswith(f"got {nonsense!r}")


def test_the_data_of_a_ping_goes_through_the_serializer() -> None:
    stream = StreamSettings(ping=ServerSentEvent(data={"a": 1}), serializer=repr)
    assert ConfiguredControlFrames(stream).ping() == data(b"{'a': 1}")


# The last event of a stream that failed


@pytest.mark.parametrize(
    ("error_event", "frame"),
    [
        (None, b""),
        (lambda _: None, b""),
        (lambda error: {"error": str(error)}, b'data: {"error":"no"}\n\n'),
        (
            lambda error: ServerSentEvent(event="error", data=type(error).__name__),
            b'event: error\ndata: "LookupError"\n\n',
        ),
    ],
)
def test_an_exception_is_mapped_to_a_last_event(error_event: Any, frame: bytes) -> None:
    stream = StreamSettings(error_event=error_event)
    assert ConfiguredControlFrames(stream).of_error(LookupError("no")) == frame


def test_what_a_ping_factory_raises_is_the_users_own_error() -> None:
    def broken() -> str:
        raise LookupError

    stream = StreamSettings(ping=broken)
    with pytest.raises(LookupError):
        ItemEncoder(stream, ConfiguredControlFrames(stream).ping, None, ENDPOINT).encode(None)
