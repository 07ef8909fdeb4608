"""Writes the types of streams for a TypeScript client, and a few lines of code that use them.

Rules of this file:
- The types describe what is sent: Pydantic's JSON schema for serialization, by alias, in which a
  field with a default is required. They don't know what a user's serializer changes.
- Each path has a type that maps the names of its events to their data. ``message`` is the name that
  browsers give to an event without a name.
- Where a schema is open, the type is ``unknown``, never ``any``.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from operator import attrgetter
from typing import Any, Union

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sse_middleware.cli.typescript_types import DEFINITIONS, Schema, TypeWriter
from sse_middleware.discovery import find_streams
from sse_middleware.endpoint import ITEM_TYPE
from sse_middleware.errors import ConfigurationError
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.typed_events import members_of

_HEAD = "// Written by `python -m sse_middleware typescript`. Changes here will be lost.\n"

_STREAMS = """\
/** Each stream with the names of its events and the types of their data. */
export interface Streams \
"""

_WRAPPER = """\
/** A handler for each name of an event. It is called with the data and with the event. */
export type Handlers<Events> = {
  [Name in keyof Events]?: (data: Events[Name], event: MessageEvent<string>) => void;
};

/** An EventSource that knows the names of its events and the types of their data. */
export class TypedEventSource<Events> {
  readonly source: EventSource;

  constructor(url: string | URL, init?: EventSourceInit) {
    this.source = new EventSource(url, init);
  }

  /** Calls `handler` for each event of that name, until the returned function is called. */
  addEventListener<Name extends keyof Events & string>(
    name: Name,
    handler: (data: Events[Name], event: MessageEvent<string>) => void,
  ): () => void {
    const listener = (event: MessageEvent): void => {
      // A connection that fails is an "error" without data.
      if (typeof event.data === "string") handler(JSON.parse(event.data) as Events[Name], event);
    };
    this.source.addEventListener(name, listener);
    return () => this.source.removeEventListener(name, listener);
  }

  close(): void {
    this.source.close();
  }
}

/** Opens a stream: `subscribe<Streams["/path"]>("/path", { name: (data) => ... })`. */
export function subscribe<Events>(
  url: string | URL,
  handlers: Handlers<Events>,
  init?: EventSourceInit,
): TypedEventSource<Events> {
  const source = new TypedEventSource<Events>(url, init);
  for (const name of Object.keys(handlers) as (keyof Events & string)[]) {
    const handler = handlers[name];
    if (handler) source.addEventListener(name, handler);
  }
  return source;
}
"""


def typescript_of(streams: Mapping[str, ItemType | None]) -> str:
    """Return a TypeScript module with the types of the streams' events.

    Args:
        streams: the declared item types of streams by the streams' names, usually their paths;
            ``None`` for anything.
    """
    events = {name: list(_events_of(item_type)) for name, item_type in streams.items()}
    schemas, definitions = _schemas_of([data for one in events.values() for _, data in one])
    in_order = iter(schemas)
    maps = {
        name: _event_map([(event, next(in_order)) for event, _ in one])
        for name, one in events.items()
    }
    types = TypeWriter(definitions)
    return "\n".join(
        [_HEAD, *types.definitions(), _STREAMS + types.of(_closed_object(maps)) + "\n", _WRAPPER]
    )


def streams_of(target: str) -> dict[str, ItemType | None]:
    """Return the item types of a target, keyed by the paths of its streams or by its own name.

    Args:
        target: ``module:name`` of an application, of a tagged endpoint or of an item type.

    Raises:
        ConfigurationError: nothing is found there, or the application has no streams.
    """
    found = _load(target)
    name = target.rpartition(":")[2]
    if hasattr(found, ITEM_TYPE):
        return {name: getattr(found, ITEM_TYPE)()}
    routes = None if isinstance(found, type) else routes_of(found)
    if routes is None:
        return {name: ItemType.declared(found)}
    streams: dict[str, ItemType | None] = {}
    for one in find_streams(routes):
        key = one.path if one.method == "GET" else f"{one.method} {one.path}"
        streams.setdefault(key, one.item_type)  # the first matching route answers
    if not streams:
        raise ConfigurationError(
            f"{target} has no streams: no endpoint uses @event_stream or "
            "response_class=EventSourceResponse"
        )
    return streams


def _load(target: str) -> Any:
    module_name, _, name = target.partition(":")
    if not (module_name and name):
        raise ConfigurationError(f"the target must be module:name (main:app), got {target!r}")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"there is no module {error.name!r}: run this where `import {module_name}` works"
            ) from error
        raise
    try:
        return attrgetter(name)(module)
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name!r} has no {name!r}") from error


def _events_of(item_type: ItemType | None) -> Iterator[tuple[str | None, Any]]:
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
    return {**_closed_object(named), "additionalProperties": others[0] if others else False}


def _closed_object(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
