"""`sse_components`: describes streams for an OpenAPI document that FastAPI doesn't make."""

import inspect
from functools import partial
from typing import Any

from pydantic import TypeAdapter

from sse_middleware.items.item_type import ItemType
from sse_middleware.openapi.operations import (
    EVENTS,
    SCHEMAS,
    annotation_in,
    annotation_of_endpoint,
    data_types,
    event_schema_from,
)

_DESCRIPTION = "A stream of events"


def sse_components(**streams: Any) -> dict[str, dict[str, Any]]:
    """Return a description of streams for an OpenAPI 3.2 document that FastAPI doesn't make.

    ``sse_components(Prices=prices)`` returns a Components Object as a plain dict. It holds
    ``responses`` under the given names, for ``$ref: "#/components/responses/Prices"``, and the
    ``schemas`` that the responses refer to.

    Args:
        streams: endpoints that yield, tagged or not, or item types; ``None`` for any item.

    Raises:
        ConfigurationError: a declared item type can't be evaluated, or Pydantic doesn't know it.
    """
    declared = {name: _annotation_of(stream) for name, stream in streams.items()}
    adapters: list[TypeAdapter[Any]] = [
        TypeAdapter(part) for annotation in declared.values() for part in data_types(annotation)
    ]
    schemas, definitions = TypeAdapter.json_schemas(
        [(number, "serialization", adapter) for number, adapter in enumerate(adapters)],
        ref_template=f"{SCHEMAS}{{model}}",
    )
    in_order = iter([schemas[number, "serialization"] for number in range(len(adapters))])
    responses = {
        name: {
            "description": _DESCRIPTION,
            "content": {EVENTS: {"itemSchema": event_schema_from(annotation, in_order)}},
        }
        for name, annotation in declared.items()
    }
    return {"responses": responses, "schemas": definitions.get("$defs", {})}


def _annotation_of(stream: Any) -> Any:
    """Return the type of the items of an endpoint, or the type itself."""
    if inspect.isroutine(stream) or isinstance(stream, partial):
        return annotation_of_endpoint(stream)
    return annotation_in(ItemType.declared(stream))
