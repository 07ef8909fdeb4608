"""`sse_openapi`: adds the streams to the OpenAPI document of a FastAPI application.

Rules of this file:
- FastAPI allows users to replace ``app.openapi`` and the document that the application caches.
  Nothing else changes: a document that other code made is copied first.
- The application's own cache stays the only place of its document. So code that clears the cache,
  fills it or writes into it works as before.
- FastAPI is not a dependency. It is imported only if the process has imported it already.
"""

import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router

from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.openapi.operations import made_by_fastapi, stream_operations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI


def sse_openapi(app: "FastAPI") -> dict[str, Any]:
    """Return the OpenAPI document of a FastAPI application, including its streams.

    This extends ``app.openapi`` in the application and in the applications that it mounts, as the
    middleware does at the first request. From then on ``app.openapi()`` returns the same document.

    Raises:
        TypeError: `app` is not a FastAPI application.
        ConfigurationError: the declared item type of an endpoint can't be evaluated.
    """
    describe_streams(app)
    if not isinstance(getattr(app, "openapi", None), _OpenAPIWithStreams):
        raise TypeError(
            f"sse_openapi takes a FastAPI application, got {app!r}; "
            "sse_components describes the streams of other applications"
        )
    return app.openapi()


def describe_streams(app: Any) -> None:
    """Extend ``openapi`` in every FastAPI application that `app` is, wraps or mounts.

    The search covers routers, and middleware that keeps the wrapped application as ``app``. One
    call is enough, and further calls do no harm.
    """
    if "fastapi" in sys.modules:
        for found in _fastapi_applications(app):
            if not isinstance(found.openapi, _OpenAPIWithStreams):
                found.openapi = _OpenAPIWithStreams(found)  # type: ignore[method-assign] # as documented


def _fastapi_applications(app: Any) -> "Iterator[FastAPI]":
    from fastapi import FastAPI  # noqa: PLC0415 - imported already

    waiting, seen = [app], set[int]()
    while waiting:
        app = waiting.pop()
        if id(app) in seen:
            continue
        seen.add(id(app))
        if isinstance(app, FastAPI):
            yield app
        if isinstance(app, Starlette | Router):
            routes = (getattr(route, "original_route", route) for route in flat_routes(app.routes))
            waiting += [route.app for route in routes if isinstance(route, Mount | Host)]
        else:
            waiting.append(getattr(app, "__dict__", {}).get("app"))  # app is a middleware


class _OpenAPIWithStreams:
    """Replaces the ``openapi`` of an application: returns its document with the streams."""

    def __init__(self, app: "FastAPI") -> None:
        self._app = app
        self._original = app.openapi
        self._described: dict[str, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        cached = self._app.openapi_schema
        document = self._original()
        if document is self._described:
            return document
        streams = stream_operations(self._app)
        if not streams:
            return document
        made, schemas = made_by_fastapi(self._app, streams)
        if document is cached or not self._is_fastapi_method():
            described = deepcopy(document)
        else:
            described = deepcopy(made)
        for stream, schema in zip(streams, schemas, strict=True):
            stream.describe(described, made, schema)
        if self._app.openapi_schema is document:
            self._app.openapi_schema = described
        self._described = described
        return described

    def _is_fastapi_method(self) -> bool:
        from fastapi import FastAPI  # noqa: PLC0415 - imported already

        return getattr(self._original, "__func__", None) is FastAPI.openapi
