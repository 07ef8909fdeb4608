"""`Documents`: what the OpenAPI documents of FastAPI applications say about requests.

Rules of this file:
- FastAPI makes the document. Nothing of the application is changed, not even the document that it
  keeps.
"""

from collections.abc import Mapping
from copy import copy
from typing import Any

from sse_middleware.cli.client_stream import Operation
from sse_middleware.discovery import FoundStream
from sse_middleware.errors import ConfigurationError


class Documents:
    """The documents of applications, each made once."""

    def __init__(self) -> None:
        self._made: dict[int, Mapping[str, Any]] = {}

    def operation_of(self, found: FoundStream) -> Operation | None:
        """Return what the innermost FastAPI application says about a stream, if it says anything.

        Raises:
            ConfigurationError: its document can't be made.
        """
        for prefix, mounted in reversed(found.mounts):
            _, app = unwrapped(mounted)
            if callable(getattr(type(app), "openapi", None)):
                return self._operation(app, found.path.removeprefix(prefix), found.method)
        return None

    def _operation(self, app: Any, path: str, method: str) -> Operation | None:
        if id(app) not in self._made:
            self._made[id(app)] = _document_of(app)
        document = self._made[id(app)]
        described = document.get("paths", {}).get(path, {}).get(method.lower())
        schemas = document.get("components", {}).get("schemas", {})
        return None if described is None else Operation(described, schemas)


def unwrapped(app: Any) -> tuple[list[Any], Any]:
    """Return the middlewares around an application, the outermost first, and what is inside."""
    around = []
    while not hasattr(app, "routes") and hasattr(app, "app"):
        around.append(app)
        app = app.app
    return around, app


def _document_of(app: Any) -> Mapping[str, Any]:
    own = copy(app)
    own.openapi_schema = None
    try:
        document: Mapping[str, Any] = type(app).openapi(own)
    except Exception as error:
        raise ConfigurationError(f"the OpenAPI document can't be made: {error}") from error
    return document
