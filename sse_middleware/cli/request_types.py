"""What the request of each stream takes: JSON schemas for the options of the written `stream`.

Rules of this file:
- An OpenAPI document describes the parameters and the body. Without one, the parameters of the
  path's template are known, and the rest is open.
- Headers and cookies are not typed: any header can be sent, and a browser sends the cookies.
- A body that is not JSON is a ``BodyInit`` of ``fetch``, such as a ``FormData``.
- Models have the names that the document gives them. A field with a default may be missing in a
  request, but not in an event. So where both have a model and it differs, the request's is
  ``NameInput``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sse_middleware.cli.client_stream import ClientStream, Operation
from sse_middleware.cli.typescript_types import DEFINITIONS, Schema, closed_object, written_as

COMPONENTS = "#/components/schemas/"

_SchemaOf = Callable[[Schema], Schema]
"""Returns a schema of a document with its references changed to those of the written types."""

_JSON = re.compile(r"application/([\w.-]+\+)?json\b", re.IGNORECASE)


def request_maps(
    streams: Mapping[str, ClientStream], definitions: Mapping[str, Schema]
) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of an object with the request of each stream, and all definitions.

    Args:
        streams: by ``"/path"`` or ``"POST /path"``.
        definitions: those of the events' data, which get the ones of the requests.
    """
    models = _Models(definitions)
    requests = {
        name: _open_request(name)
        if stream.operation is None
        else _described_request(stream.operation, models)
        for name, stream in streams.items()
    }
    return closed_object(requests), models.definitions


def _open_request(name: str) -> Schema:
    """Return the request of a stream of which only the path is known."""
    parameters = re.findall(r"{(\w+)}", name)
    if not parameters:
        return written_as("OpenRequest")
    value = {"type": ["string", "number", "boolean"]}
    params = closed_object(dict.fromkeys(parameters, value))
    return {"allOf": [written_as("OpenRequest"), closed_object({"params": params})]}


def _described_request(operation: Operation, models: "_Models") -> Schema:
    schema_of = models.of(operation)
    options = {
        option: _parameters(operation, place, schema_of)
        for option, place in (("params", "path"), ("query", "query"))
    }
    found = {name: schema for name, schema in options.items() if schema["properties"]}
    required = [name for name, schema in found.items() if schema["required"]]
    body = operation.described.get("requestBody", {})
    for option, schema in _body(body.get("content", {}), schema_of):
        found[option] = schema
        required += [option] if body.get("required") else []
    return {**closed_object(found), "required": required} if found else written_as("{}")


def _parameters(operation: Operation, place: str, schema_of: _SchemaOf) -> Schema:
    """Return the parameters in the path or in the query, as an object."""
    found = [one for one in operation.described.get("parameters", ()) if one.get("in") == place]
    schema = closed_object({one["name"]: schema_of(one.get("schema", {})) for one in found})
    return {**schema, "required": [one["name"] for one in found if one.get("required")]}


def _body(content: Mapping[str, Any], schema_of: _SchemaOf) -> Iterator[tuple[str, Schema]]:
    """Yield the option for the body, unless there is none, and its schema."""
    as_json = next((one for name, one in content.items() if _JSON.match(name)), None)
    if as_json is not None:
        yield "json", schema_of(as_json.get("schema", {}))
    elif content:
        yield "body", written_as("BodyInit")


class _Models:
    """The definitions of the written types, to which those of documents are added.

    Args:
        definitions: what there is already.
    """

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self.definitions = dict(definitions)
        self._names: dict[tuple[int, str], str] = {}

    def of(self, operation: Operation) -> _SchemaOf:
        """Return what changes a schema of an operation, and adds the models that it refers to."""
        components = operation.schemas

        def changed(schema: Any) -> Any:
            if isinstance(schema, list):
                return [changed(one) for one in schema]
            if not isinstance(schema, dict):
                return schema
            reference = schema.get("$ref")
            if isinstance(reference, str):
                return {"$ref": DEFINITIONS + named(reference.removeprefix(COMPONENTS))}
            return {key: changed(value) for key, value in schema.items()}

        def named(component: str) -> str:
            known = self._names.get((id(components), component))
            if known is None:
                known = self._names[id(components), component] = self._free_name(component)
                self.definitions[known] = {}  # it may refer to itself
                self.definitions[known] = changed(components[component])
            return known

        return changed

    def _free_name(self, component: str) -> str:
        name = component
        while name in self.definitions:
            name += "Input"
        return name
