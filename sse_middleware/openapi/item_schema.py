"""The ``itemSchema`` by which OpenAPI 3.2 describes the events of a stream (section 4.14.4)."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from sse_middleware import events
from sse_middleware.items.item_type import data_part
from sse_middleware.items.typed_events import members_of

JsonSchema = dict[str, Any]


def item_schema(annotation: Any, json_schema: Callable[[Any], JsonSchema]) -> JsonSchema:
    """Return the schema of one event.

    If the type names its events, this is one schema for each name.

    Args:
        annotation: the declared type of the items, ``None`` if there is none.
        json_schema: returns the schema of a type, usually a ``$ref``.

    Raises:
        ConfigurationError: two members of the type have the same name, or a name is missing.
    """
    data = data_part(annotation)
    if data is None:
        return _schema_of_fields(None)
    members = members_of(data)
    if not any(member.names for member in members):
        return _schema_of_fields(json_schema(data))
    schemas = [
        _schema_of_fields(json_schema(member.annotation), name)
        for member in members
        for name in member.names or (None,)
    ]
    if len(schemas) == 1:
        return schemas[0]
    # An event without a declared name may have any name, so it can match two schemas.
    return {"oneOf" if all(member.names for member in members) else "anyOf": schemas}


def schema_of_data(event_schema: JsonSchema) -> JsonSchema | None:
    """Return the schema of the data of all events, ``None`` if no type is declared.

    Args:
        event_schema: what `item_schema` returned.
    """
    found = list[JsonSchema]()
    for event in event_schema.get("oneOf") or event_schema.get("anyOf") or [event_schema]:
        data = event["properties"]["data"].get("contentSchema")
        if data is not None and data not in found:
            found.append(deepcopy(data))
    # Without the names of the events, the same data can match two schemas.
    return {"anyOf": found} if len(found) > 1 else next(iter(found), None)


def _schema_of_fields(data: JsonSchema | None, name: str | None = None) -> JsonSchema:
    schema = deepcopy(events._SSE_EVENT_SCHEMA)  # noqa: SLF001 - FastAPI's name
    if data is not None:
        schema["properties"]["data"] = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": data,
        }
        schema["required"] = ["data"]
    if name is not None:
        schema["properties"]["event"] = {"type": "string", "const": name}
        schema["required"] = ["event", "data"]
    return schema
