"""How OpenAPI 3.2 describes the events of a stream (section 4.14.4): its ``itemSchema``."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from sse_middleware import events
from sse_middleware.items.item_type import data_part
from sse_middleware.items.typed_events import members_of

JsonSchema = dict[str, Any]


def item_schema(annotation: Any, json_schema: Callable[[Any], JsonSchema]) -> JsonSchema:
    """Return the schema of one event.

    Where the type names its events, it is one schema for each name.

    Args:
        annotation: the declared type of the items; ``None`` where there is none.
        json_schema: makes the schema of such a type, as a rule a ``$ref``.

    Raises:
        ConfigurationError: the names of its events contradict each other.
    """
    data = data_part(annotation)
    if data is None:
        return _event_schema(None)
    members = members_of(data)
    if not any(member.names for member in members):
        return _event_schema(json_schema(data))
    schemas = [
        _event_schema(json_schema(member.annotation), name)
        for member in members
        for name in member.names or (None,)
    ]
    if len(schemas) == 1:
        return schemas[0]
    # What has no name in the schema may have any, so it may look like another one, too.
    return {"oneOf" if all(member.names for member in members) else "anyOf": schemas}


def _event_schema(data: JsonSchema | None, name: str | None = None) -> JsonSchema:
    schema = deepcopy(events._SSE_EVENT_SCHEMA)  # noqa: SLF001 - private by name only
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
