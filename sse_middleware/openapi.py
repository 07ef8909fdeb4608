"""How OpenAPI describes the endpoints that are tagged as streams.

Rules of this file:
- FastAPI means ``app.openapi`` to be replaced, and the document that the application caches with
  it. Nothing else changes: the documents of others are copied.
- The application's own cache stays the one place where its document lies, so whoever empties it,
  fills it or writes into it has the effect that they are used to.
- FastAPI is no dependency: it is imported where there is such an application.
"""

import inspect
import sys
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router

from sse_middleware.item_type import ItemType
from sse_middleware.operations import (
    EVENTS,
    SCHEMAS,
    annotation_in,
    annotation_of_endpoint,
    data_types,
    event_schema,
    made_by_fastapi,
    streams_of,
)
from sse_middleware.routing import flat_routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

_DESCRIPTION = "A stream of events"


def sse_openapi(app: "FastAPI") -> dict[str, Any]:
    """Return the OpenAPI document of a FastAPI application, its streams included.

    ``app.openapi`` is extended for that, and those of the applications that are mounted in it, as
    the middleware does at the first request: from then on ``app.openapi()`` returns the same.

    Raises:
        TypeError: `app` is no FastAPI application.
        ConfigurationError: the declared item type of an endpoint can't be evaluated.
    """
    describe_streams(app)
    if not isinstance(getattr(app, "openapi", None), _Description):
        raise TypeError(
            f"sse_openapi takes a FastAPI application, got {app!r}; "
            "sse_components describes the streams of any other"
        )
    return app.openapi()


def sse_components(**streams: Any) -> dict[str, dict[str, Any]]:
    """Return how OpenAPI 3.2 describes streams, for a document that is written otherwise.

    ``sse_components(Prices=prices)`` is a Components Object as a plain dict: ``responses`` under
    the names that were given, for ``$ref: "#/components/responses/Prices"``, and the ``schemas``
    that these refer to.

    Args:
        streams: endpoints that yield, tagged or not, or types of items; ``None`` for any.

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
            "content": {EVENTS: {"itemSchema": event_schema(annotation, in_order)}},
        }
        for name, annotation in declared.items()
    }
    return {"responses": responses, "schemas": definitions.get("$defs", {})}


def describe_streams(app: Any) -> None:
    """Let every FastAPI application that `app` is, wraps or mounts describe its streams.

    Mounted ones are found through routers and through middleware that keeps what it wraps as
    ``app``. Once is enough, and more than once does no harm.
    """
    if "fastapi" in sys.modules:
        for found in _fastapi_applications(app):
            if not isinstance(found.openapi, _Description):
                found.openapi = _Description(found)  # type: ignore[method-assign] # as documented


def _fastapi_applications(app: Any) -> "Iterator[FastAPI]":
    from fastapi import FastAPI  # noqa: PLC0415 - it is there

    waiting, seen = [app], set[int]()
    while waiting:
        app = waiting.pop()
        if id(app) in seen:
            continue
        seen.add(id(app))
        if isinstance(app, FastAPI):
            yield app
        if isinstance(app, Starlette | Router):
            places = (getattr(route, "original_route", route) for route in flat_routes(app.routes))
            waiting += [place.app for place in places if isinstance(place, Mount | Host)]
        else:
            waiting.append(getattr(app, "__dict__", {}).get("app"))  # of a middleware


class _Description:
    """The ``openapi`` of an application: the document that it was before, with the streams."""

    def __init__(self, app: "FastAPI") -> None:
        self._app = app
        self._openapi = app.openapi
        self._described: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        cached = self._app.openapi_schema
        document = self._openapi()
        if document is self._described:
            return document
        streams = streams_of(self._app)
        if not streams:
            return document
        made, schemas = made_by_fastapi(self._app, streams)
        if document is cached or not self._is_fastapis():
            described = deepcopy(document)
        else:
            described = deepcopy(made)
        for stream, schema in zip(streams, schemas, strict=True):
            stream.describe(described, made, schema)
        if self._app.openapi_schema is document:
            self._app.openapi_schema = described
        self._described = described
        return described

    def _is_fastapis(self) -> bool:
        from fastapi import FastAPI  # noqa: PLC0415 - it is there

        return getattr(self._openapi, "__func__", None) is FastAPI.openapi


def _annotation_of(stream: Any) -> Any:
    """Return the type of the items of an endpoint, or the type itself."""
    if inspect.isroutine(stream) or isinstance(stream, partial):
        return annotation_of_endpoint(stream)
    return annotation_in(ItemType.declared(stream))
