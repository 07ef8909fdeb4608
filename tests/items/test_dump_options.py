"""FastAPI's ``response_model_*`` options, for each way to wrap an item."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from types import GenericAlias
from typing import Any, get_args

import pydantic
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, Field
from pydantic_core import to_json
from typing_extensions import TypedDict  # as Pydantic wants it before Python 3.12

from sse_middleware import ServerSentEvent, SSEModel, event_stream, presets
from sse_middleware.presets import Preset
from tests.served import OopsError, client_of

pytestmark = pytest.mark.anyio


class Item(BaseModel):
    name: str = Field(alias="title")
    price: float | None = None
    stock: int = 1


class Sold(SSEModel, event="sold"):
    name: str = Field(alias="title")
    price: float | None = None
    stock: int = 1


class Lost(SSEModel, event="lost"):
    why: str | None = None


class Progress(BaseModel):
    price: int = 1
    done: bool | None = None


ITEM = Item(title="a", price=None)
SOLD = Sold(title="a", price=None)
WRAPPED = ServerSentEvent(data=ITEM)


def bare() -> Iterator[Item]:
    yield ITEM


def union() -> Iterator[Item | ServerSentEvent]:
    yield WRAPPED


def union_of_all() -> Iterator[Item | Progress | ServerSentEvent | None]:
    yield ServerSentEvent(data=ITEM, event="x", id="1")


def declared_data() -> Iterator[ServerSentEvent[Item]]:
    yield ServerSentEvent(data=ITEM)


def undeclared() -> Iterator[Any]:
    yield ITEM


def undeclared_event() -> Iterator[ServerSentEvent]:
    yield WRAPPED


def without_annotation():  # type: ignore[no-untyped-def]
    yield WRAPPED


def named() -> Iterator[Sold | Lost]:
    yield SOLD


def named_in_an_event() -> Iterator[Sold | Lost | ServerSentEvent]:
    yield ServerSentEvent(data=SOLD)


def named_and_undeclared() -> Iterator[Any]:
    yield SOLD


WAYS = [
    *(bare, union, union_of_all, declared_data, undeclared, undeclared_event, without_annotation),
    *(named, named_in_an_event, named_and_undeclared),
]


def in_task(items: Any) -> Any:
    """Return an asynchronous endpoint with the items and the annotation of another one."""

    async def endpoint():  # type: ignore[no-untyped-def]
        for item in items():
            yield item

    for name, returned in items.__annotations__.items():
        endpoint.__annotations__[name] = GenericAlias(AsyncIterator, get_args(returned))
    return endpoint


async def data_of(items: Any, dump: dict[str, Any], **settings: Any) -> Any:
    """Return the data of the one event of an endpoint, read from JSON."""
    app = FastAPI()
    options = {f"response_model_{name}": said for name, said in dump.items()}
    app.get("/", **options)(event_stream(**settings)(items))
    async with client_of(app) as client:
        body = (await client.http.get("/")).content
    [line] = [line for line in body.split(b"\n") if line.startswith(b"data: {")]
    return json.loads(line[6:])


OPTIONS: list[tuple[dict[str, Any], Any]] = [
    ({}, {"title": "a", "price": None, "stock": 1}),
    ({"exclude_none": True}, {"title": "a", "stock": 1}),
    ({"exclude_unset": True}, {"title": "a", "price": None}),
    ({"exclude_defaults": True}, {"title": "a"}),
    ({"by_alias": False}, {"name": "a", "price": None, "stock": 1}),
    ({"exclude": {"price"}}, {"title": "a", "stock": 1}),
    ({"include": {"stock"}}, {"stock": 1}),
    ({"exclude_none": True, "exclude": {"stock"}, "by_alias": False}, {"name": "a"}),
]
OLD_PYDANTIC = tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11)

each_option = pytest.mark.parametrize(("dump", "expected"), OPTIONS, ids=str)


@each_option
@pytest.mark.parametrize("thread", [True, False], ids=["thread", "task"])
@pytest.mark.parametrize("way", WAYS)
async def test_each_way_to_wrap_an_item(way: Any, thread: bool, dump: Any, expected: Any) -> None:
    if OLD_PYDANTIC and way is named and "include" in dump:
        pytest.skip("an old Pydantic warns of a union of which only a part is included")
    assert await data_of(way if thread else in_task(way), dump) == expected


@each_option
@pytest.mark.parametrize("way", [way for way in WAYS if way is not named])
async def test_a_serializer_is_given_what_is_left(way: Any, dump: Any, expected: Any) -> None:
    def serialize(value: Any) -> str:
        return json.dumps(value if dump else value.model_dump(by_alias=True))

    if dump or way not in (bare, declared_data):  # these are dumped in any case
        assert await data_of(way, dump, serializer=serialize) == expected


@each_option
@pytest.mark.parametrize(
    "preset",
    [
        Preset(to_event=lambda item: ServerSentEvent(data=item, event="own")),
        Preset(last=ServerSentEvent(raw_data="[DONE]")),
        presets.OPENAI,
        presets.HTMX,
        presets.AI_SDK,
    ],
)
@pytest.mark.parametrize("way", [bare, union, undeclared, declared_data])
async def test_presets(way: Any, preset: Preset, dump: Any, expected: Any) -> None:
    assert await data_of(way, dump, preset=preset) == expected


async def test_fields_are_left_out_of_the_declared_type_only() -> None:
    def progress() -> Iterator[Item | ServerSentEvent]:
        yield ServerSentEvent(data=Progress(), event="progress")

    def plain() -> Iterator[Item | ServerSentEvent]:
        yield ServerSentEvent(data={"price": 1, "title": None})

    assert await data_of(progress, {"exclude": {"price"}}) == {"price": 1, "done": None}
    assert await data_of(progress, {"include": {"name"}}) == {"price": 1, "done": None}
    assert await data_of(progress, {"include": {"name"}, "exclude_none": True}) == {"price": 1}
    assert await data_of(plain, {"include": {"name"}}) == {"price": 1, "title": None}


@pytest.mark.parametrize(
    ("dump", "expected"),
    [
        ({}, {"title": "a", "price": None, "stock": 1}),
        ({"exclude_none": True, "by_alias": False}, {"name": "a", "stock": 1}),
        ({"exclude_defaults": True, "exclude": {"name"}}, {"title": "a"}),
    ],
)
@pytest.mark.parametrize("last", [ITEM, WRAPPED])
async def test_the_last_item_of_a_stream_that_fails(dump: Any, expected: Any, last: Any) -> None:
    def failing() -> Iterator[Any]:
        yield 1
        raise OopsError

    app = FastAPI()
    options = {f"response_model_{name}": said for name, said in dump.items()}
    app.get("/", **options)(event_stream(error_event=lambda _: last)(failing))
    async with client_of(app) as client, client.stream("GET", "/") as events:
        assert (await events.next()).json() == 1
        assert (await events.next()).json() == expected
        with pytest.raises(OopsError):
            await events.next()


@dataclass
class Reading:
    value: int | None = None
    unit: str = "m"


class Row(TypedDict):
    value: int | None
    unit: str


def yielding(item: Any) -> Any:
    def items() -> Iterator[Any]:
        yield item

    return items


@pytest.mark.parametrize(
    "dump",
    [{"exclude_none": True}, {"exclude_defaults": True}, {"include": {"unit"}}, {}],
    ids=str,
)
@pytest.mark.parametrize(
    ("declared", "item"),
    [
        (Reading, Reading()),
        (Row, {"value": None, "unit": "m"}),
        (Reading | Row, Reading(unit="s")),
        (list[Reading], [Reading()]),
    ],
    ids=str,
)
@pytest.mark.parametrize("settings", [{}, {"serializer": to_json}], ids=["", "serializer"])
async def test_what_is_no_model_has_one_form_too(
    declared: Any, item: Any, dump: dict[str, Any], settings: dict[str, Any]
) -> None:
    if OLD_PYDANTIC and declared == Reading | Row and "include" in dump:
        pytest.skip("an old Pydantic warns of a union of which only a part is included")
    texts = []
    for one in (item, ServerSentEvent(data=item), ServerSentEvent(data=item, id="1")):
        app = FastAPI()
        options = {f"response_model_{name}": said for name, said in dump.items()}
        tag = event_stream(item_type=declared, **settings)
        app.get("/", **options)(tag(yielding(one)))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            texts.append((await events.next()).raw_data)
    assert texts == [texts[0]] * 3


async def test_a_dict_that_is_not_of_the_declared_form_keeps_its_keys() -> None:
    def rows() -> Iterator[Row | ServerSentEvent]:
        yield ServerSentEvent(data={"value": None, "unit": "m", "more": None})

    def others() -> Iterator[Row | ServerSentEvent]:
        yield ServerSentEvent(data={"other": None})

    expected = {"value": None, "unit": "m", "more": None}
    assert await data_of(rows, {"exclude_none": True}) == expected
    assert await data_of(others, {"exclude_none": True}) == {"other": None}


async def test_raw_data_stays_as_it_is() -> None:
    event = ServerSentEvent(raw_data='{"price": null}')

    def raw() -> Iterator[Item | ServerSentEvent]:
        yield event

    assert await data_of(raw, {"exclude_none": True, "exclude": {"price"}}) == {"price": None}
