"""The names of a stream's events and the schemas of their data.

Rules of this file:
- The schemas describe what is sent: Pydantic's JSON schema for serialization, by alias, in which a
  field with a default is required. They don't know what a user's serializer changes.
- ``message`` is the name that browsers give to an event without a name.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict

from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.typescript_types import DEFINITIONS, Schema, closed_object
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.typed_events import members_of


class Gap(TypedDict):
    """Events of these topics were not kept, or may have been lost, since the last event."""

    topics: list[str]
    reason: Literal["expired", "lost", "reset"]


def event_maps(streams: Mapping[str, ClientStream]) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of an object with the events of each stream, and its definitions."""
    events = {name: list(_events_of(stream)) for name, stream in streams.items()}
    schemas, definitions = _schemas_of([data for one in events.values() for _, data in one])
    in_order = iter(schemas)
    maps = {
        name: _event_map([(event, next(in_order)) for event, _ in one])
        for name, one in events.items()
    }
    return closed_object(maps), definitions


def _events_of(stream: ClientStream) -> Iterator[tuple[str | None, Any]]:
    yield from _events_of_type(stream.item_type)
    if stream.tells_gaps:
        yield "gap", Gap


def _events_of_type(item_type: ItemType | None) -> Iterator[tuple[str | None, Any]]:
    """Yield the names of events, ``None`` for any name, and the types of their data."""
    if item_type is None:
        yield None, Any
        return
    unnamed = []
    for member in members_of(item_type.annotation):
        unnamed += [] if member.names else [member.annotation]
        yield from ((name, member.annotation) for name in member.names)
    if unnamed and item_type.of_events:
        yield None, item_type.annotation
    elif unnamed:
        yield "message", Union[tuple(unnamed)]  # noqa: UP007 - of a list


def _schemas_of(annotations: list[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """Return the schema of each type, and the definitions that the schemas refer to."""
    if not annotations:
        return [], {}
    made, document = TypeAdapter.json_schemas(
        [
            (str(number), "serialization", TypeAdapter(annotation))
            for number, annotation in enumerate(annotations)
        ],
        ref_template=f"{DEFINITIONS}{{model}}",
        schema_generator=_SentSchema,
    )
    return list(made.values()), document.get("$defs", {})


class _SentSchema(GenerateJsonSchema):
    """Makes schemas of what is sent. Fields with defaults are required, unknown types are open."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - Pydantic's

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - Pydantic's
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return not field.get("serialization_exclude_if")

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:  # noqa: ARG002
        return {}


def _event_map(events: list[tuple[str | None, Schema]]) -> Schema:
    """Return the schema of an object that maps the names of events to their data."""
    by_name: dict[str | None, list[Schema]] = {}
    for name, data in events:
        by_name.setdefault(name, []).append(data)
    others = by_name.pop(None, None)
    named = {str(name): {"anyOf": data} for name, data in by_name.items()}
    return {**closed_object(named), "additionalProperties": others[0] if others else False}
