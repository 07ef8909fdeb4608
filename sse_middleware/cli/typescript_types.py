"""`TypeWriter`: writes JSON schemas as TypeScript types. An open schema becomes ``unknown``."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

Schema = dict[str, Any]

DEFINITIONS = "#/$defs/"

_WRITTEN = "tsType"
"""The keyword of a schema that is written as it is."""

_RESERVED = (
    "Array EventSource EventSourceInit Handlers JSON MessageEvent Object Record Streams "
    "TypedEventSource URL subscribe any bigint boolean never null number object string symbol "
    "undefined unknown void break case catch class const continue debugger default delete do else "
    "enum export extends false finally for function if implements import in instanceof interface "
    "let new package private protected public return static super switch this throw true try "
    "typeof var while with yield await"
)
"""Names that a user's type can't have: TypeScript's own, and those in the written module."""

_BASIC = MappingProxyType(
    {
        "string": "string",
        "integer": "number",
        "number": "number",
        "boolean": "boolean",
        "null": "null",
    }
)


def written_as(text: str) -> Schema:
    """Return the schema of a type that is written as this text."""
    return {_WRITTEN: text}


def closed_object(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object with these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


class TypeWriter:
    """Writes JSON schemas, of the kinds that Pydantic makes, as TypeScript types.

    Args:
        definitions: the schemas that others refer to as ``#/$defs/<name>``.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions
        self._names = _identifiers(definitions)

    def definitions(self) -> Iterator[str]:
        """Yield the exported types."""
        for name, schema in self._definitions.items():
            text, comment = self.of(schema), _comment(schema, 0)
            if text.startswith("{") and "properties" in schema:
                yield f"{comment}export interface {self._names[name]} {text}\n"
            else:
                yield f"{comment}export type {self._names[name]} = {text};\n"

    def of(self, schema: Any, indent: int = 0) -> str:
        """Return the type of a schema. `indent` spaces begin each line after the first."""
        if isinstance(schema, bool):
            schema = {} if schema else {"enum": []}
        if "$ref" in schema:
            return self._names[schema["$ref"].removeprefix(DEFINITIONS)]
        if "const" in schema:
            return json.dumps(schema["const"])
        if "enum" in schema:
            return _union(json.dumps(value) for value in schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return _union(self.of(part, indent) for part in schema[word])
        if "allOf" in schema:
            return " & ".join(_parenthesized(self.of(part, indent)) for part in schema["allOf"])
        return self._of_type(schema, indent)

    def _of_type(self, schema: Schema, indent: int) -> str:
        if _WRITTEN in schema:
            return str(schema[_WRITTEN])
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
        """Return a type with the named properties, and an index signature for all others."""
        inside = " " * (indent + 2)
        required = schema.get("required", ())
        lines = [
            f"{_comment(part, indent + 2)}{inside}{_key(name)}{'' if name in required else '?'}: "
            f"{self.of(part, indent + 2)};"
            for name, part in schema.get("properties", {}).items()
        ]
        others = self._index_signature(schema, indent + 2)
        lines += [inside + others] if others else []
        return "\n".join(["{", *lines, " " * indent + "}"]) if lines else "Record<string, never>"

    def _index_signature(self, schema: Schema, indent: int) -> str | None:
        patterns = schema.get("patternProperties")
        rest = schema.get("additionalProperties", "properties" not in schema and not patterns)
        if schema.get("properties"):  # the index signature must cover these, too
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


def _identifiers(names: Iterable[str]) -> dict[str, str]:
    """Return a TypeScript identifier for each name, no two the same."""
    taken, found = set(_RESERVED.split()), {}
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


def _parenthesized(text: str) -> str:
    return f"({text})" if " | " in text else text


def _comment(schema: Any, indent: int) -> str:
    """Return the description of a schema as a comment with a line end, or an empty string."""
    text = schema.get("description") if isinstance(schema, dict) else None
    if not text:
        return ""
    first, *others = text.replace("*/", "*\\/").split("\n")
    margin = " " * indent
    if not others:
        return f"{margin}/** {first} */\n"
    lines = [f"{margin} * {line}".rstrip() for line in (first, *others)]
    return "\n".join([f"{margin}/**", *lines, f"{margin} */\n"])
