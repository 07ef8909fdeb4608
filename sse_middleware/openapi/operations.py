"""The operations of a FastAPI application that stream, and what its document says of them.

Rules of this file:
- FastAPI makes the document, all of it. The schemas of items are got from FastAPI too, by routes
  beside the application's own, one for each type, which are taken out of the document again. So
  they are named and shared as if FastAPI knew of the streams, whatever its version.
- Of an operation only the response that is the stream changes, and of that only what FastAPI
  assumes of its body. What is declared there (``responses=``, ``openapi_extra=``, a custom
  ``openapi``) stays, on top.
- The application and its routes are read, never changed.
"""

import inspect
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sse_middleware.endpoint import ITEM_TYPE
from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.items.item_type import ItemType, underlying
from sse_middleware.openapi.discovery import is_tagged, response_class_of
from sse_middleware.openapi.item_schema import JsonSchema, item_schema

if TYPE_CHECKING:
    from fastapi import FastAPI


EVENTS = "text/event-stream"


SCHEMAS = "#/components/schemas/"


_COMBINING = ("$ref", "allOf", "anyOf", "oneOf")


@dataclass(frozen=True)
class StreamOperation:
    """An operation that streams: its place in the document, and what its route says of it."""

    place: tuple[str, ...]
    route: Any  # an APIRoute, or in a recent FastAPI what it is where its router is included
    annotation: Any
    shown: bool
    """A response without a body isn't. Its items are components all the same, as FastAPI's are."""

    def describe(
        self, document: dict[str, Any], made: dict[str, Any], event_schema: JsonSchema
    ) -> None:
        """Describe the events in a document, if it has the operation.

        Args:
            document: what changes.
            made: what FastAPI makes of the application, without any doing of the user's.
            event_schema: of one event, with references into the components of `made`.
        """
        response, assumed = self._response(document), self._response(made)
        if not self.shown or response is None or assumed is None:
            return
        content = response.setdefault("content", {})
        body = content.pop(self._media_type, {})
        if "schema" in body:
            said = self._declared(body["schema"], _inside(assumed, "content", self._media_type))
            body = {**body, "schema": said} if said else _without(body, "schema")
        if self._media_type == EVENTS:
            content[EVENTS] = body
        elif body:
            content[self._media_type] = body
        content[EVENTS] = _laid_over({"itemSchema": event_schema}, content.get(EVENTS, {}))
        _add_components(document, made, event_schema)

    @property
    def _media_type(self) -> str | None:
        media_type: str | None = response_class_of(self.route).media_type
        return media_type

    @property
    def _status(self) -> str:
        return str(self.route.status_code or 200)

    def _response(self, document: dict[str, Any]) -> dict[str, Any] | None:
        response: dict[str, Any] | None = _inside(document, *self.place, "responses", self._status)
        return response

    def _declared(self, schema: JsonSchema, assumed: dict[str, Any] | None) -> JsonSchema | None:
        """Return what the user says that the body is, without what FastAPI assumes of it."""
        if schema == (assumed or {}).get("schema") and not self._body_is_declared():
            return None
        if schema.get("type") == "string" and any(word in schema for word in _COMBINING):
            return _without(schema, "type")  # what the response class says, under a declared model
        return schema

    def _body_is_declared(self) -> bool:
        said = [
            response
            for status, response in self.route.responses.items()
            if str(status) == self._status
        ]
        extra = _inside(self.route.openapi_extra, "responses", self._status) or {}
        return any(
            "model" in response or _inside(response, "content", self._media_type, "schema")
            for response in [*said, extra]
        )


def streams_of(app: "FastAPI") -> list[StreamOperation]:
    """Return the operations of an application that stream."""
    from fastapi.utils import (  # noqa: PLC0415 - it is there
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
    """Yield the places of operations with their routes; of two in one place the last is shown."""
    from fastapi.routing import APIRoute  # noqa: PLC0415 - it is there

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
    """Return the document as FastAPI makes it, and the schemas of the streams' events.

    The components of the document are what both refer to.
    """
    from fastapi import FastAPI  # noqa: PLC0415 - it is there
    from fastapi.routing import APIRoute  # noqa: PLC0415 - it is there

    types = [part for stream in streams for part in data_types(stream.annotation)]
    names = [f"sse_middleware {number}" for number in range(len(types))]
    asking = [
        APIRoute(f"/ {name}", _asked, response_model=part, operation_id=name)
        for name, part in zip(names, types, strict=True)
    ]
    stand_in = copy(app)
    stand_in.openapi_schema = None
    stand_in.router = copy(app.router)
    stand_in.router.routes = [*app.router.routes, *asking]
    made = FastAPI.openapi(stand_in)
    answers = iter([made["paths"].pop(route.path)["get"]["responses"]["200"] for route in asking])
    return made, [_titled_event_schema(stream, answers) for stream in streams]


def _asked() -> None:
    """Stand for an endpoint: it is never called."""


def _titled_event_schema(stream: StreamOperation, answers: Iterator[dict[str, Any]]) -> JsonSchema:
    title = f"StreamItem_{stream.route.unique_id}".title().replace("_", " ")  # as FastAPI has it
    schemas = (answer["content"]["application/json"]["schema"] for answer in answers)
    titled = (schema if "$ref" in schema else {**schema, "title": title} for schema in schemas)
    return event_schema(stream.annotation, titled)


def _annotation_of_route(route: Any) -> Any:
    """Return the type that items are validated as, else what ``response_model`` says of them."""
    function = underlying(route.endpoint)
    yields = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    if not yields and not hasattr(function, ITEM_TYPE):
        return annotation_in(ItemType.of_stream(route.response_model))  # of all that it returns
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
    """Return the types whose schemas that of an event needs, in order."""
    types = list[Any]()

    def noted(part: Any) -> JsonSchema:
        types.append(part)
        return {}

    item_schema(annotation, noted)
    return types


def event_schema(annotation: Any, in_order: Iterator[JsonSchema]) -> JsonSchema:
    """Return the schema of an event, given those of `data_types` in their order."""
    return item_schema(annotation, lambda _: next(in_order))


def _add_components(document: dict[str, Any], made: dict[str, Any], schema: JsonSchema) -> None:
    """Add what a schema refers to, and what that refers to, where the document doesn't have it."""
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


def _inside(document: Any, *keys: str | None) -> Any:
    """Return what lies under one key after the other, ``None`` where there is no such thing."""
    for key in keys:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _without(mapping: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}


def _laid_over(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return both in one; where they disagree, `above` is right."""
    both = {**below, **above}
    for key in below.keys() & above.keys():
        if isinstance(below[key], dict) and isinstance(above[key], dict):
            both[key] = _laid_over(below[key], above[key])
    return both
