"""A declared item type: items are validated and filtered by it, or refused."""

from types import SimpleNamespace
from typing import Annotated, Any, Union

import pytest
from pydantic import Field, ValidationError, create_model

from sse_middleware.errors import ConfigurationError, EncodingError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.item_type import ItemType
from tests.items.encoding import (
    ENDPOINT,
    SECRETIVE,
    WHOLE,
    Item,
    Measured,
    Named,
    Point,
    Record,
    Unknown,
    data,
    encode,
)

undefined: dict[str, Any] = {"other": ("Missing", ...)}
Unfinished = create_model("Unfinished", **undefined)


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
        (Measured(value=1), Item, "tests.items.encoding.Measured", "name\n  Field required"),
        ("n", int, "str", "valid integer"),
        # Data that looks like an event is still data.
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


@pytest.mark.parametrize("item_type", [None, Any, ServerSentEvent, Named | None], ids=str)
def test_a_type_that_names_no_data_lets_everything_through(item_type: Any) -> None:
    assert encode(SECRETIVE, item_type) == WHOLE


@pytest.mark.parametrize("item_type", ["Missing", Unknown, Unfinished], ids=str)
def test_a_type_that_can_not_be_used_is_refused(item_type: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"(?s)(Missing|Unknown|Unfinished).*item_type="):
        ItemType.declared(item_type)
