"""How OpenAPI 3.2 describes the events of a stream (section 4.14.4): its ``itemSchema``."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

from sse_middleware import events

JsonSchema = dict[str, Any]


def item_schema(annotation: Any, json_schema: Callable[[Any], JsonSchema]) -> JsonSchema:
    """Return the schema of one event.

    Args:
        annotation: the declared type of the items; ``None`` where there is none.
        json_schema: makes the schema of such a type, as a rule a ``$ref``.
    """
    schema = deepcopy(events._SSE_EVENT_SCHEMA)  # noqa: SLF001 - private by name only
    if annotation is not None:
        schema["properties"]["data"] = {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": json_schema(annotation),
        }
        schema["required"] = ["data"]
    return schema
