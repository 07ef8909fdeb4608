"""The schema of an event, which names it where its type does."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from sse_middleware import ServerSentEvent
from sse_middleware.items.item_type import ItemType
from sse_middleware.openapi.item_schema import item_schema
from tests.items.models import Item, Job, Priced, Sold


def schema_of(annotation: Any) -> Any:
    return item_schema(annotation, lambda one: {"$ref": TypeAdapter(one).json_schema()["title"]})


def event_schema(ref: str | None = None, name: str | None = None) -> Any:
    data: Any = {"type": "string"}
    event = {"type": "string"}
    required: dict[str, Any] = {}
    if ref is not None:
        data |= {"contentMediaType": "application/json", "contentSchema": {"$ref": ref}}
        required = {"required": ["data"]}
    if name is not None:
        event |= {"const": name}
        required = {"required": ["event", "data"]}
    return {
        "type": "object",
        "properties": {
            "data": data,
            "event": event,
            "id": {"type": "string"},
            "retry": {"type": "integer", "minimum": 0},
        },
        **required,
    }


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        (None, event_schema()),
        (ServerSentEvent | None, event_schema()),
        (Item, event_schema("Item")),
        (Item | ServerSentEvent | None, event_schema("Item")),
        (ServerSentEvent[Item], event_schema("Item")),
        (Sold, event_schema("Sold", "sold")),
        (ServerSentEvent[Sold], event_schema("Sold", "sold")),
        (
            Priced | Sold | None,
            {"oneOf": [event_schema("Priced", "price"), event_schema("Sold", "sold")]},
        ),
        (
            Job,
            {
                "oneOf": [
                    event_schema("Started", "started"),
                    event_schema("Started", "restarted"),
                    event_schema("Ended", "ended"),
                ]
            },
        ),
        (Item | Sold, {"anyOf": [event_schema("Item"), event_schema("Sold", "sold")]}),
    ],
    ids=str,
)
def test_the_schema_of_an_event_says_its_names(annotation: Any, schema: Any) -> None:
    assert schema_of(annotation) == schema
    item_type = ItemType.declared(annotation)
    assert schema_of(item_type and item_type.annotation) == schema
