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

import json
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
        name: _request(name, stream.operation, models)
        for name, stream in streams.items()
        if _is_route(name)
    }
    return closed_object(requests), models.definitions


def _is_route(name: str) -> bool:
    """Whether a name says what is requested, and is not that of an endpoint or of a type."""
    return re.match("([A-Z]+ )?/", name) is not None


def _request(name: str, operation: Operation | None, models: "_Models") -> Schema:
    """Return the options for the request of a stream, as an object."""
    if operation is None:
        found, required = _open_options(is_get=name.startswith("/")), list[str]()
    else:
        found, required = _described_options(operation, models.of(operation))
    unknown = dict.fromkeys(re.findall(r"{(\w+)}", name), written_as("string | number | boolean"))
    params = {**unknown, **found.pop("params", {})}
    if params:
        found, required = {"params": closed_object(params), **found}, ["params", *required]
    return {**closed_object(found), "required": required} if found else written_as("{}")


def _open_options(*, is_get: bool) -> dict[str, Schema]:
    """Return the options for a request of which only the path is known."""
    query = {"query": written_as('StreamInit["query"]')}
    return query if is_get else {**query, "json": {}, "body": written_as('StreamInit["body"]')}


def _described_options(
    operation: Operation, schema_of: _SchemaOf
) -> tuple[dict[str, Any], list[str]]:
    """Return the options for a request, with those that are required. ``params`` isn't closed."""
    query = _parameters(operation, "query", schema_of)
    found: dict[str, Any] = {"params": _parameters(operation, "path", schema_of)["properties"]}
    if query["properties"]:
        found["query"] = query
    required = ["query"] if query["required"] else []
    body = operation.described.get("requestBody", {})
    for option, schema in _body(body.get("content", {}), schema_of):
        found[option] = schema
        required += [option] if body.get("required") else []
    return found, required


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
        self._of_events = definitions
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
            key = id(components), component
            if key not in self._names and self._is_known(component, components):
                self._names[key] = component
            elif key not in self._names:
                name = self._names[key] = self._free_name(component)
                self.definitions[name] = {}  # it may refer to itself
                self.definitions[name] = changed(components[component])
            return self._names[key]

        return changed

    def _is_known(
        self, component: str, components: Mapping[str, Any], seen: frozenset[str] = frozenset()
    ) -> bool:
        """Whether an event's model is the same, and so is all that it refers to."""
        text = json.dumps(components[component], sort_keys=True)
        known = json.dumps(self._of_events.get(component), sort_keys=True)
        others = set(re.findall(f'"{COMPONENTS}([^"]+)"', text)) - seen
        return text.replace(f'"{COMPONENTS}', f'"{DEFINITIONS}') == known and all(
            self._is_known(other, components, seen | {component, *others}) for other in others
        )

    def _free_name(self, component: str) -> str:
        name = component
        while name in self.definitions:
            name += "Input"
        return name
