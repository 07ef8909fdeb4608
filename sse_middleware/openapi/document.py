"""`sse_openapi`: adds the streams to the OpenAPI document of a FastAPI application.

Rules of this file:
- FastAPI allows users to replace ``app.openapi`` and the document that the application caches.
  Nothing else changes: a document that other code made is copied first.
- The application's own cache stays the only place of its document. So code that clears the cache,
  fills it or writes into it works as before.
- A document says 3.2.0 if it has an ``itemSchema``: in 3.1 that is not valid. The user's own choice
  of a version stays: ``version=``, or any ``app.openapi_version`` but the one of FastAPI.
- FastAPI is not a dependency. It is imported only if the process has imported it already.
"""

import re
import sys
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.routing import Host, Mount, Router

from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.openapi.operations import made_by_fastapi, stream_operations
from sse_middleware.validation import check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI


_VERSION = "3.2.0"
"""The first version of OpenAPI that has ``itemSchema``."""

_VERSION_OF_FASTAPI = "3.1.0"
"""What FastAPI writes if the user chooses no version."""


def sse_openapi(
    app: "FastAPI", *, version: str | None = None, data_schema: bool | None = None
) -> dict[str, Any]:
    """Return the OpenAPI document of a FastAPI application, including its streams.

    This extends ``app.openapi`` in the application and in the applications that it mounts, as the
    middleware does at the first request. From then on ``app.openapi()`` returns the same document,
    and the application serves it. An argument that is not given keeps its value from an earlier
    call. If one changes, the document is made anew.

    Args:
        app: a FastAPI application.
        version: the version of OpenAPI that the document names, such as ``"3.1.0"`` for a tool that
            refuses 3.2. By default a document with streams says ``"3.2.0"``, unless
            ``app.openapi_version`` is set to something else than FastAPI's ``"3.1.0"``.
        data_schema: whether a stream also has a ``schema``: the type of its data, without names and
            ids of events. Some generators of clients know no ``itemSchema``, and take this for the
            type of what they decode. By default it is left out, because in OpenAPI 3.2 a ``schema``
            describes the whole sequence.

    Raises:
        TypeError: `app` is not a FastAPI application.
        ConfigurationError: the declared item type of an endpoint can't be evaluated, or an argument
            is wrong.
    """
    check("version", version, _is_version(version), 'a version of OpenAPI 3, such as "3.2.0"')
    is_flag = data_schema is None or isinstance(data_schema, bool)
    check("data_schema", data_schema, is_flag, "True or False")
    describe_streams(app, version=version, data_schema=data_schema)
    if not isinstance(getattr(app, "openapi", None), _OpenAPIWithStreams):
        raise TypeError(
            f"sse_openapi takes a FastAPI application, got {app!r}; "
            "sse_components describes the streams of other applications"
        )
    return app.openapi()


def _is_version(version: object) -> bool:
    if not isinstance(version, str):
        return version is None
    return re.fullmatch(r"3\.\d+\.\d+", version, re.ASCII) is not None


def describe_streams(
    app: Any, *, version: str | None = None, data_schema: bool | None = None
) -> None:
    """Extend ``openapi`` in every FastAPI application that `app` is, wraps or mounts.

    The search covers routers, and middleware that keeps the wrapped application as ``app``. One
    call is enough, and further calls do no harm. The arguments are those of `sse_openapi`.
    """
    if "fastapi" in sys.modules:
        for found in _fastapi_applications(app):
            described = found.openapi
            if not isinstance(described, _OpenAPIWithStreams):
                described = _OpenAPIWithStreams(found)
                found.openapi = described  # type: ignore[method-assign] # as documented
            described.choose(version, data_schema=data_schema)


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
        self._version: str | None = None
        self._data_schema = False
        self._described: dict[str, Any] | None = None
        # What the application's cache had in place of the described document, if the user wrote it.
        self._written: dict[str, Any] | None = None

    def choose(self, version: str | None, *, data_schema: bool | None) -> None:
        """Keep what is given for the next document, and forget one that was made without it."""
        before = self._version, self._data_schema
        self._version = self._version if version is None else version
        self._data_schema = self._data_schema if data_schema is None else data_schema
        if before != (self._version, self._data_schema) and self._described is not None:
            if self._app.openapi_schema is self._described:
                self._app.openapi_schema = self._written
            self._described = None

    def __call__(self) -> dict[str, Any]:
        cached = self._app.openapi_schema
        document = self._original()
        if document is self._described:
            return document
        streams = stream_operations(self._app)
        if not streams and self._version is None:
            return document
        made, schemas = made_by_fastapi(self._app, streams)
        by_user = document is cached or not self._is_fastapi_method()
        described = deepcopy(document if by_user else made)
        shown = [
            stream.describe(described, made, schema, data_schema=self._data_schema)
            for stream, schema in zip(streams, schemas, strict=True)
        ]
        self._name_version(described, has_streams=any(shown))
        if self._app.openapi_schema is document:
            self._app.openapi_schema = described
            self._written = document if by_user else None
        self._described = described
        return described

    def _name_version(self, document: dict[str, Any], *, has_streams: bool) -> None:
        if self._version is not None:
            document["openapi"] = self._version
        elif has_streams and document.get("openapi") == _VERSION_OF_FASTAPI:
            document["openapi"] = _VERSION

    def _is_fastapi_method(self) -> bool:
        from fastapi import FastAPI  # noqa: PLC0415 - imported already

        return getattr(self._original, "__func__", None) is FastAPI.openapi
