"""How OpenAPI describes the endpoints that are tagged as streams.

Rules of this file:
- FastAPI means ``app.openapi`` to be replaced, and the document that the application caches with
  it. Nothing else changes: the documents of others are copied.
- The application's own cache stays the one place where its document lies, so whoever empties it,
  fills it or writes into it has the effect that they are used to.
- FastAPI is no dependency: it is imported where there is such an application.
"""

import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router

from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.openapi.operations import made_by_fastapi, streams_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI


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
