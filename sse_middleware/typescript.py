"""The types of streams for a TypeScript client, and the few lines of code that go with them.

Rules of this file:
- The types are those of what is sent: Pydantic's JSON schema for serialisation, by alias, in which
  a field with a default is there. What a serializer of the user's makes of it is not known here.
- A path has a type that maps the names of its events to their data. ``message`` is what a browser
  calls an event without a name.
- What a schema doesn't say is ``unknown``, never ``any``.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Union

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from sse_middleware.item_type import ItemType
from sse_middleware.typed import members_of

Schema = dict[str, Any]

_DEFINITIONS = "#/$defs/"

_HEAD = "// Written by `python -m sse_middleware typescript`. Changes here will be lost.\n"

_STREAMS = """\
/** The streams: the names of their events, and the types of their data. */
export interface Streams \
"""

_WRAPPER = """\
/** What is called with the data of the events of each name, and with the events. */
export type Handlers<Events> = {
  [Name in keyof Events]?: (data: Events[Name], event: MessageEvent<string>) => void;
};

/** An EventSource that knows the names of its events, and the types of their data. */
export class TypedEventSource<Events> {
  readonly source: EventSource;

  constructor(url: string | URL, init?: EventSourceInit) {
    this.source = new EventSource(url, init);
  }

  /** Call `handler` for each event of that name, until the returned function is called. */
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

/** Open a stream: `subscribe<Streams["/path"]>("/path", { name: (data) => ... })`. */
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

_TAKEN = (
    "Array EventSource EventSourceInit Handlers JSON MessageEvent Object Record Streams "
    "TypedEventSource URL subscribe any bigint boolean never null number object string symbol "
    "undefined unknown void break case catch class const continue debugger default delete do else "
    "enum export extends false finally for function if implements import in instanceof interface "
    "let new package private protected public return static super switch this throw true try "
    "typeof var while with yield await"
)
"""Names that a type of the user's can't have: those of the language, and those used above."""

_BASIC = MappingProxyType(
    {
        "string": "string",
        "integer": "number",
        "number": "number",
        "boolean": "boolean",
        "null": "null",
    }
)


def typescript_of(streams: Mapping[str, ItemType | None]) -> str:
    """Return a TypeScript module with the types of the events of streams.

    Args:
        streams: their declared item types by their names, which are paths as a rule; ``None`` where
            anything may come.
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
        [_HEAD, *types.definitions(), _STREAMS + types.of(_closed(maps)) + "\n", _WRAPPER]
    )


def _events_of(item_type: ItemType | None) -> Iterator[tuple[str | None, Any]]:
    """Return the names of events, ``None`` for any name, and the types of their data."""
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
    """Return the schema of each type, and the definitions that they refer to."""
    if not annotations:
        return [], {}
    made, document = TypeAdapter.json_schemas(
        [
            (str(number), "serialization", TypeAdapter(annotation))
            for number, annotation in enumerate(annotations)
        ],
        ref_template=f"{_DEFINITIONS}{{model}}",
        schema_generator=_AsSent,
    )
    return list(made.values()), document.get("$defs", {})


class _AsSent(GenerateJsonSchema):
    """The schema of what is sent: fields with defaults are there, and what it can't say is open."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - Pydantic's

    def field_is_required(self, field: Any, total: bool) -> bool:  # noqa: FBT001 - Pydantic's
        if field["type"] == "typed-dict-field":
            return super().field_is_required(field, total)
        return not field.get("serialization_exclude_if")

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> Schema:  # noqa: ARG002
        return {}


class TypeWriter:
    """Writes JSON schemas, of the kinds that Pydantic makes, as TypeScript types.

    Args:
        definitions: the schemas that others refer to as ``#/$defs/<name>``.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._names = _identifiers(definitions)

    def definitions(self) -> Iterator[str]:
        """Return the exported types."""
        for name, schema in self._definitions.items():
            text, comment = self.of(schema), _comment(schema, 0)
            if text.startswith("{") and "properties" in schema:
                yield f"{comment}export interface {self._names[name]} {text}\n"
            else:
                yield f"{comment}export type {self._names[name]} = {text};\n"

    def of(self, schema: Any, indent: int = 0) -> str:
        """Return the type of a schema, its lines after the first indented by so many spaces."""
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        if "$ref" in schema:
            return self._names[schema["$ref"].removeprefix(_DEFINITIONS)]
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return _union(json.dumps(value) for value in schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return _union(self.of(part, indent) for part in schema[word])
        if "allOf" in schema:
            return " & ".join(_grouped(self.of(part, indent)) for part in schema["allOf"])
        return self._of_type(schema, indent)

    def _of_type(self, schema: Schema, indent: int) -> str:
        kind = schema.get("type")
        if isinstance(kind, list):
            return _union(self.of({**schema, "type": one}, indent) for one in kind)
        if kind == "array":
            return self._array(schema, indent)
        if kind == "object":
            return self._object(schema, indent)
        return _BASIC.get(str(kind), "unknown")

    def _array(self, schema: Schema, indent: int) -> str:
        first, rest = schema.get("prefixItems"), schema.get("items", True)
        if first is None and schema.get("maxItems") == 0:
            return "[]"
        listed = f"Array<{self.of(rest, indent)}>"
        if first is None:
            return listed
        parts = [self.of(part, indent) for part in first]
        if rest is not False and schema.get("maxItems") != len(first):
            parts.append(f"...{listed}")
        return f"[{', '.join(parts)}]"

    def _object(self, schema: Schema, indent: int) -> str:
        """Return a type with a property for each that has a name, and one for all others."""
        inside = " " * (indent + 2)
        required = schema.get("required", ())
        lines = [
            f"{_comment(part, indent + 2)}{inside}{_key(name)}{'' if name in required else '?'}: "
            f"{self.of(part, indent + 2)};"
            for name, part in schema.get("properties", {}).items()
        ]
        others = self._others(schema, indent + 2)
        lines += [inside + others] if others else []
        return "\n".join(["{", *lines, " " * indent + "}"]) if lines else "Record<string, never>"

    def _others(self, schema: Schema, indent: int) -> str | None:
        patterns = schema.get("patternProperties")
        rest = schema.get("additionalProperties", "properties" not in schema and not patterns)
        if schema.get("properties"):  # those must be of the type of the others, too
            return "[key: string]: unknown;" if patterns or rest is not False else None
        values = [*(patterns or {}).values(), *([] if rest is False else [rest])]
        if not values:
            return None
        text = _union(self.of(value, indent) for value in values)
        key = self.of(schema.get("propertyNames", {"type": "string"}), indent)
        return (
            f"[key: string]: {text};"
            if key in ("string", "unknown")
            else f"[Key in {key}]?: {text};"
        )


def _event_map(events: list[tuple[str | None, Schema]]) -> Schema:
    """Return the schema of an object that has the data of events under their names."""
    by_name: dict[str | None, list[Schema]] = {}
    for name, data in events:
        by_name.setdefault(name, []).append(data)
    others = by_name.pop(None, None)
    named = {str(name): {"anyOf": data} for name, data in by_name.items()}
    return {**_closed(named), "additionalProperties": others[0] if others else False}


def _closed(properties: Mapping[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return a name in TypeScript for each, no two the same."""
    taken, found = set(_TAKEN.split()), {}
    for name in names:
        identifier = re.sub(r"\W", "_", name, flags=re.ASCII)
        identifier = f"_{identifier}" if identifier[:1].isdigit() else identifier
        while identifier in taken:
            identifier += "_"
        taken.add(identifier)
        found[name] = identifier
    return found


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_$][\w$]*", name, re.ASCII) else json.dumps(name)


def _union(types: Iterable[str]) -> str:
    return " | ".join(dict.fromkeys(types)) or "never"


def _grouped(text: str) -> str:
    return f"({text})" if " | " in text else text


def _comment(schema: Any, indent: int) -> str:
    """Return the description of a schema as a comment and a line's end, or nothing."""
    text = schema.get("description") if isinstance(schema, dict) else None
    if not text:
        return ""
    first, *others = text.replace("*/", "*\\/").split("\n")
    margin = " " * indent
    if not others:
        return f"{margin}/** {first} */\n"
    lines = [f"{margin} * {line}".rstrip() for line in (first, *others)]
    return "\n".join([f"{margin}/**", *lines, f"{margin} */\n"])
