"""The endpoints of an application that are tagged as streams, found by its routes.

Rules of this file:
- Tagged is what `event_stream` made, and what has an `EventSourceResponse` as ``response_class``.
  What an endpoint returns is only known when it is called.
- Routes are looked for in routers, mounts and hosts, and below middleware that keeps what it wraps
  under ``app``. An included router is what FastAPI says that it is.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sse_middleware.endpoint import ITEM_TYPE
from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.item_type import ItemType, ItemTypes, underlying
from sse_middleware.response import EventSourceResponse

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class FoundStream:
    """An endpoint that streams.

    Attributes:
        path: with its parameters in braces, below the paths of its mounts.
        method: the first of ``GET``, ``POST``, ... that it answers.
        item_type: what its items are declared as, ``None`` where that is anything.
    """

    path: str
    method: str
    item_type: ItemType | None


def find_streams(routes: Iterable[Any], prefix: str = "") -> Iterator[FoundStream]:
    """Return the streams of routes, in their order.

    Raises:
        ConfigurationError: what an endpoint declares can't be evaluated, or Pydantic doesn't know
            it.
    """
    for route in flat_routes(routes):
        path = prefix + (getattr(route, "path", None) or "")  # a host has none
        if getattr(route, "endpoint", None) is not None:
            yield from _of_route(route, re.sub(r":\w+}", "}", path))
        else:
            yield from find_streams(routes_of(getattr(route, "app", None)) or (), path)


def is_tagged(route: Any) -> bool:
    """Whether the endpoint of a route is tagged as a stream."""
    return hasattr(underlying(route.endpoint), ITEM_TYPE) or _is_of_class(route)


def response_class_of(route: Any) -> Any:
    """Return the response class that FastAPI knows of a route."""
    response_class = getattr(route, "response_class", None)
    return getattr(response_class, "value", response_class)  # FastAPI wraps defaults


def _of_route(route: Any, path: str) -> Iterator[FoundStream]:
    if isinstance(route.endpoint, type):  # Starlette's HTTPEndpoint
        for method in _METHODS:
            handler = getattr(route.endpoint, method.lower(), None)
            if hasattr(handler, ITEM_TYPE):
                yield FoundStream(path, method, getattr(handler, ITEM_TYPE)())
        return
    function = underlying(route.endpoint)
    method = next((one for one in _METHODS if one in (getattr(route, "methods", None) or ())), "")
    if hasattr(function, ITEM_TYPE):
        yield FoundStream(path, method, getattr(function, ITEM_TYPE)())
    elif _is_of_class(route):
        yield FoundStream(path, method, ItemTypes().of(route.endpoint))


def _is_of_class(route: Any) -> bool:
    response_class = response_class_of(route)
    return isinstance(response_class, type) and issubclass(response_class, EventSourceResponse)
