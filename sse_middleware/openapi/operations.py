"""The streaming operations of a FastAPI application, and their description in its document.

Rules of this file:
- FastAPI makes the whole document, including the schemas of items. For these, a copy of the
  application has one more route for each type, which is removed from the document afterwards. So
  the schemas are named and shared as if FastAPI knew the streams, whatever its version.
- Of an operation, only the streaming response changes, and of that only what FastAPI assumes about
  its body. What the user declares (``responses=``, ``openapi_extra=``, a custom ``openapi``) stays
  and overrides the description.
- The application and its routes are read, never changed.
"""

import inspect
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sse_middleware.discovery import is_tagged, response_class_of
from sse_middleware.endpoint import ITEM_TYPE
from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.items.item_type import ItemType, underlying
from sse_middleware.openapi.item_schema import JsonSchema, item_schema, schema_of_data

if TYPE_CHECKING:
    from fastapi import FastAPI


EVENTS = "text/event-stream"

SCHEMAS = "#/components/schemas/"

_COMBINING = ("$ref", "allOf", "anyOf", "oneOf")


@dataclass(frozen=True)
class StreamOperation:
    """An operation that streams: its place in the document, its route and its item type."""

    place: tuple[str, ...]
    route: Any  # an APIRoute, or how a recent FastAPI lists one of an included router
    annotation: Any
    shown: bool
    """Whether the document shows the events: the response has a body, and no later route has its
    place. If not, the item types are components all the same, as with FastAPI."""

    def describe(
        self,
        document: dict[str, Any],
        made: dict[str, Any],
        event_schema: JsonSchema,
        *,
        data_schema: bool,
    ) -> bool:
        """Describe the events in a document, if it has the operation.

        Args:
            document: the document to change.
            made: FastAPI's document of the application, without the user's own changes.
            event_schema: the schema of one event, which refers to the components of `made`.
            data_schema: whether to add the schema of the data, unless the user declares a schema.

        Returns:
            Whether the document has the operation.
        """
        response, assumed = self._response(document), self._response(made)
        if not self.shown or response is None or assumed is None:
            return False
        content = response.setdefault("content", {})
        body = content.pop(self._media_type, {})
        if "schema" in body:
            declared = self._declared_schema(
                body["schema"], _nested(assumed, "content", self._media_type)
            )
            body = {**body, "schema": declared} if declared else _without(body, "schema")
        if self._media_type == EVENTS:
            content[EVENTS] = body
        elif body:
            content[self._media_type] = body
        described, by_user = {"itemSchema": event_schema}, content.get(EVENTS, {})
        data = schema_of_data(event_schema) if data_schema else None
        if data is not None and "schema" not in by_user:
            described["schema"] = data
        content[EVENTS] = _merged(described, by_user)
        _add_components(document, made, event_schema)
        return True

    @property
    def _media_type(self) -> str | None:
        media_type: str | None = response_class_of(self.route).media_type
        return media_type

    @property
    def _status(self) -> str:
        return str(self.route.status_code or 200)

    def _response(self, document: dict[str, Any]) -> dict[str, Any] | None:
        response: dict[str, Any] | None = _nested(document, *self.place, "responses", self._status)
        return response

    def _declared_schema(
        self, schema: JsonSchema, assumed: dict[str, Any] | None
    ) -> JsonSchema | None:
        """Return the body's schema that the user declares, without what FastAPI assumes."""
        if schema == (assumed or {}).get("schema") and not self._body_is_declared():
            return None
        if schema.get("type") == "string" and any(word in schema for word in _COMBINING):
            return _without(schema, "type")  # the response class adds it to a declared model
        return schema

    def _body_is_declared(self) -> bool:
        declared = [
            response
            for status, response in self.route.responses.items()
            if str(status) == self._status
        ]
        extra = _nested(self.route.openapi_extra, "responses", self._status) or {}
        return any(
            "model" in response or _nested(response, "content", self._media_type, "schema")
            for response in [*declared, extra]
        )


def stream_operations(app: "FastAPI") -> list[StreamOperation]:
    """Return the operations of an application that stream."""
    from fastapi.utils import (  # noqa: PLC0415 - imported already
        is_body_allowed_for_status_code as may_have_body,
    )

    operations = [
        *_operations(("paths",), app.routes),
        *_operations(("webhooks",), app.webhooks.routes),
    ]
    last = dict(operations)
    return [
        StreamOperation(
            place,
            route,
            _annotation_of_route(route),
            shown=last[place] is route and may_have_body(route.status_code),
        )
        for place, route in operations
        if is_tagged(route)
    ]


def _operations(
    parent: tuple[str, ...], routes: Iterable[Any], path: str | None = None
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the places of operations with their routes. Of two in one place the last is shown."""
    from fastapi.routing import APIRoute  # noqa: PLC0415 - imported already

    for route in flat_routes(routes):
        if not isinstance(getattr(route, "original_route", route), APIRoute):
            continue
        for method in route.methods if route.include_in_schema else ():
            place = (*parent, path or route.path_format, method.lower())
            yield place, route
            for callback in route.callbacks or ():
                inside = (*place, "callbacks", callback.name)
                yield from _operations(inside, [callback], callback.path)


def made_by_fastapi(
    app: "FastAPI", streams: list[StreamOperation]
) -> tuple[dict[str, Any], list[JsonSchema]]:
    """Return the document that FastAPI makes, and the schemas of the streams' events.

    Both refer to the components of the document.
    """
    from fastapi import FastAPI  # noqa: PLC0415 - imported already
    from fastapi.routing import APIRoute  # noqa: PLC0415 - imported already

    types = [part for stream in streams for part in data_types(stream.annotation)]
    names = [f"sse_middleware {number}" for number in range(len(types))]
    added = [
        APIRoute(f"/ {name}", _unused, response_model=part, operation_id=name)
        for name, part in zip(names, types, strict=True)
    ]
    app_copy = copy(app)
    app_copy.openapi_schema = None
    app_copy.router = copy(app.router)
    app_copy.router.routes = [*app.router.routes, *added]
    made = FastAPI.openapi(app_copy)
    responses = iter([made["paths"].pop(route.path)["get"]["responses"]["200"] for route in added])
    return made, [_titled_event_schema(stream, responses) for stream in streams]


def _unused() -> None:
    """Serve as the endpoint of an added route. It is never called."""


def _titled_event_schema(
    stream: StreamOperation, responses: Iterator[dict[str, Any]]
) -> JsonSchema:
    """Return the schema of an event, with FastAPI's title for an item's schema."""
    title = f"StreamItem_{stream.route.unique_id}".title().replace("_", " ")
    schemas = (response["content"]["application/json"]["schema"] for response in responses)
    titled = (schema if "$ref" in schema else {**schema, "title": title} for schema in schemas)
    return event_schema_from(stream.annotation, titled)


def _annotation_of_route(route: Any) -> Any:
    """Return the type that validates the items, or else the type that ``response_model`` names."""
    function = underlying(route.endpoint)
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if not yields and not hasattr(function, ITEM_TYPE):
        return annotation_in(ItemType.of_stream(route.response_model))  # of the whole stream
    annotation = annotation_of_endpoint(route.endpoint)
    if annotation is None:
        return annotation_in(ItemType.declared(route.response_model))
    return annotation


def annotation_of_endpoint(endpoint: Any) -> Any:
    """Return the declared type of the items, ``None`` if there is none."""
    declared = getattr(underlying(endpoint), ITEM_TYPE, None)
    return annotation_in(ItemType.of_endpoint(endpoint) if declared is None else declared())


def annotation_in(item_type: ItemType | None) -> Any:
    """Return the type as it was declared, ``None`` if there is none."""
    return None if item_type is None else item_type.annotation


def data_types(annotation: Any) -> list[Any]:
    """Return the types whose schemas the schema of an event contains, in order."""
    types = list[Any]()

    def collect(part: Any) -> JsonSchema:
        types.append(part)
        return {}

    item_schema(annotation, collect)
    return types


def event_schema_from(annotation: Any, in_order: Iterator[JsonSchema]) -> JsonSchema:
    """Return the schema of an event, given the schemas of its `data_types` in order."""
    return item_schema(annotation, lambda _: next(in_order))


def _add_components(document: dict[str, Any], made: dict[str, Any], schema: JsonSchema) -> None:
    """Add the components that a schema needs and the document doesn't have."""
    waiting = list(_references(schema))
    if waiting:
        present = document.setdefault("components", {}).setdefault("schemas", {})
    while waiting:
        name = waiting.pop()
        if name not in present:
            present[name] = made["components"]["schemas"][name]
            waiting += _references(present[name])


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(SCHEMAS)
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _references(part)


def _nested(document: Any, *keys: str | None) -> Any:
    """Return the value under nested keys, ``None`` if one of them is missing."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _merged(base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return both mappings in one, with `overrides` where they disagree."""
    merged = {**base, **overrides}
    for key in base.keys() & overrides.keys():
        if isinstance(base[key], dict) and isinstance(overrides[key], dict):
            merged[key] = _merged(base[key], overrides[key])
    return merged
