"""The keys of JSON objects, byte by byte as FastAPI writes them, and characters that end lines."""

import json
import math
import re
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pydantic
import pytest
from fastapi.encoders import jsonable_encoder
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from sse_middleware.wire.json_text import has_odd_keys, to_json


class Kind(Enum):
    TEXT = "text"
    NOTHING = None
    NUMBER = 1


class Size(IntEnum):
    SMALL = 1


class Name(StrEnum):
    NEW = "new"


class Text(str):
    __slots__ = ()


KEYS = [
    *("", "a", "ü", Text("t"), Name.NEW, b"bytes"),
    *(None, True, False, 0, -1, 10**30, Size.SMALL),
    *(1.5, 1.0, -0.0, 1e20, 1e-7, math.inf, -math.inf, math.nan),
    *(Kind.TEXT, Kind.NOTHING, Kind.NUMBER),
    *(Decimal("1.50"), Decimal(1), Decimal("1E+3"), Decimal("NaN"), Decimal("-Infinity")),
    UUID(int=1),
    datetime(2025, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    datetime(2025, 1, 2, tzinfo=timezone(timedelta(hours=-3.5))),
    datetime(2025, 1, 2, 3, 4),  # noqa: DTZ001 - a naive one
    date(2025, 1, 2),
    time(3, 4, 5, tzinfo=UTC),
    *(timedelta(seconds=90), timedelta(days=-1, microseconds=1)),
    *(PurePosixPath("a/b"), ip_address("::1"), re.compile("a+")),
]


def as_fastapi(value: Any) -> bytes:
    return json.dumps(jsonable_encoder(value), ensure_ascii=False, separators=(",", ":")).encode()


OLD_PYDANTIC = tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11)


def is_known_to_pydantic(key: Any) -> bool:
    """Whether this Pydantic can write the key: an old one refuses some."""
    odd_number = isinstance(key, Decimal) and not key.is_finite()
    return not (OLD_PYDANTIC and (odd_number or type(key).__module__ == "ipaddress"))


@pytest.mark.parametrize("key", list(filter(is_known_to_pydantic, KEYS)), ids=repr)
@pytest.mark.parametrize(
    "inside",
    [
        lambda value: value,
        lambda value: [value],
        lambda value: {"a": value},
        lambda value: {"a": [1, ({"b": value},)]},
        lambda value: OrderedDict(a=value),
        lambda value: defaultdict(list, value),
    ],
)
def test_a_key_has_the_name_that_fastapi_gives_it(key: Any, inside: Any) -> None:
    value = inside({key: 1})
    before = repr(value)
    assert to_json(value, by_alias=True) == as_fastapi(value)
    assert repr(value) == before


def test_keys_that_pydantic_writes_as_one_stay_apart() -> None:
    value = {None: 1, math.inf: 2, math.nan: 3, "None": 4, Kind.TEXT: 5, "x": math.nan}
    text = to_json(value)
    assert text == b'{"null":1,"Infinity":2,"NaN":3,"None":4,"text":5,"x":null}'


@dataclass
class Point:
    counts: dict[Any, int]


@dataclass(slots=True)
class Slotted:
    counts: dict[Any, int]


class Model(BaseModel):
    counts: dict[Any, int]


class Open(BaseModel, extra="allow"):
    """A model that takes other fields, too."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ({1: "a", "1": "b"}, "1"),
        ({True: 1, "true": 2}, "true"),
        ({None: 1, "null": 2}, "null"),
        ({Kind.TEXT: 1, "text": 2}, "text"),
        ({b"a": 1, "a": 2}, "a"),
        ({(1, 2): 1, "1,2": 2}, "1,2"),
        ({1.0: 1, "1.0": 2}, "1.0"),
        ({Decimal("0.1"): 1, Decimal("0.1000000000000000055511151231257827"): 2}, 0.1),
        ({UUID(int=1): 1, str(UUID(int=1)): 2}, str(UUID(int=1))),
        ([{"a": {"b": [{2: 1, "2": 2}]}}], "2"),
        (deque([{2: 1, "2": 2}]), "2"),
        (Point({1: 1, "1": 2}), "1"),
        ([Slotted({1: 1, "1": 2})], "1"),
        (Open.model_validate({"more": {1: 1, "1": 2}}), "1"),
        ({"a": Model(counts={None: 1, math.inf: 2})}, "None"),
    ],
)
def test_two_keys_with_one_name_are_refused(value: Any, name: Any) -> None:
    before = repr(value)
    with pytest.raises(ValueError, match=f"both sent as '?{re.escape(str(name))}'?.* different"):
        to_json(value)
    assert repr(value) == before


ODD = {None: 1, math.inf: 2}


@pytest.mark.parametrize(
    "make",
    [
        lambda: deque([ODD]),
        lambda: {"a": deque([{"b": deque([ODD])}])},
        lambda: (part for part in [1, ODD]),
        lambda: {"a": (part for part in [ODD])},
        lambda: [(deque([part]) for part in [ODD])],
    ],
)
def test_what_fastapi_writes_as_an_array_may_have_odd_keys(make: Callable[[], Any]) -> None:
    assert to_json(make()) == as_fastapi(make())


def test_two_keys_with_one_name_are_refused_in_a_generator() -> None:
    with pytest.raises(ValueError, match="both sent as '1'"):
        to_json({"a": (part for part in [{1: "a", "1": "b"}])})


def test_a_dataclass_is_written_as_its_dict() -> None:
    assert to_json(Point({None: 1, 2: 3})) == as_fastapi(Point({None: 1, 2: 3}))


def test_what_fastapi_refuses_is_written_as_pydantic_writes_it() -> None:
    with pytest.raises(TypeError):
        as_fastapi({(1, 2): 3})
    assert to_json({(1, 2): 3, "a": 4}) == b'{"1,2":3,"a":4}'
    with pytest.raises(Exception, match="frozenset"):
        to_json({frozenset({1}): 3})


@pytest.mark.parametrize(
    ("value", "odd"),
    [
        ({"a": 1}, False),
        ({1: {"a": 1}, 2: [{UUID(int=1): 1}]}, False),
        ({}, False),
        ({True: 1}, True),
        ({1: 1, "a": 1}, True),
        ([{"a": ({None: 1},)}], True),
        ({"a": Model(counts={None: 1})}, True),
    ],
)
def test_only_what_may_be_wrong_is_looked_at_again(value: Any, odd: bool) -> None:
    assert has_odd_keys(value) is odd


def test_what_contains_itself_is_refused() -> None:
    value: dict[Any, Any] = {None: 1}
    value["a"] = value
    with pytest.raises(ValueError, match="Circular"):
        to_json(value)


ANY_KEY = st.sampled_from([key for key in KEYS if key == key and not isinstance(key, bytes)])  # noqa: PLR0124 - a NaN can't be looked up
NESTED = st.recursive(
    st.none() | st.integers(-9, 9) | st.text('ab"ü', max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_KEY, inner, max_size=4),
    max_leaves=12,
)


def keys_in(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(keys_in, value.values()))
    return sum(map(keys_in, value)) if isinstance(value, list) else 0


@pytest.mark.skipif(OLD_PYDANTIC, reason="an old Pydantic refuses keys that FastAPI writes")
@given(NESTED)
def test_what_is_sent_is_as_fastapi_sends_it_or_is_refused(value: Any) -> None:
    try:
        text = to_json(value)
    except ValueError:
        with pytest.raises(ValueError, match="two keys"):
            to_json(value)
        return
    assert keys_in(json.loads(text)) == keys_in(value)
    if keys_in(jsonable_encoder(value)) == keys_in(value):  # FastAPI may lose a value
        assert text == as_fastapi(value)


LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\r\n"


@pytest.mark.parametrize("end", LINE_ENDS, ids=ascii)
@pytest.mark.parametrize("around", ["", "a", "ü", "\u2027\u202a\u00c2", "日本\U0001f600"])
def test_json_is_one_line_for_every_client(end: str, around: str) -> None:
    text = f"{around}{end}{around}"
    value = {text: [text, {"a": text}]}
    written = to_json(value)
    assert len(written.decode().splitlines()) == 1
    assert json.loads(written) == value


@given(st.text(st.sampled_from(LINE_ENDS + 'aü\u2027\u202a\u00c2\u0080\\"\U0001f600')))
def test_escapes_mean_the_same(text: str) -> None:
    written = to_json(text)
    assert json.loads(written) == text
    assert len(written.decode().splitlines()) == 1
