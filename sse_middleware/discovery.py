"""Finds the endpoints of an application that are tagged as streams, through its routes.

Rules of this file:
- An endpoint is tagged if `event_stream` made it, or if its ``response_class`` is an
  `EventSourceResponse`. What another endpoint returns is known only when it is called.
- `find_streams` also has those whose annotation says that they return an `EventSourceResponse`.
- The search covers routers, mounts and hosts, and middleware that keeps the wrapped application as
  ``app``. FastAPI itself lists the routes of an included router.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sse_middleware.endpoint import FUNCTION, ITEM_TYPE, TAGGED
from sse_middleware.introspection.fastapi import flat_routes
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.annotations import returns_class
from sse_middleware.items.item_type import ItemType, ItemTypes, underlying
from sse_middleware.response import EventSourceResponse

Mounts = tuple[tuple[str, Any], ...]
"""Mounted applications, each with the whole prefix of its paths."""

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@dataclass(frozen=True, slots=True)
class FoundStream:
    """An endpoint that streams.

    Attributes:
        path: the path's template, including the paths of its mounts.
        method: the first of ``GET``, ``POST``, ... that it answers.
        item_type: the declared type of its items, ``None`` for anything.
        endpoint: what the route calls, without decorators that keep it as ``__wrapped__``.
        mounts: the mounted applications that it is in, outermost first, with their prefixes.
    """

    path: str
    method: str
    item_type: ItemType | None
    endpoint: Any
    mounts: Mounts


def find_streams(routes: Iterable[Any], mounts: Mounts = ()) -> Iterator[FoundStream]:
    """Yield the streams of routes, in their order.

    Args:
        routes: of an application.
        mounts: the applications that it is mounted in, each with the whole prefix of its paths.

    Raises:
        ConfigurationError: a declared item type can't be evaluated, or Pydantic doesn't know it.
    """
    prefix = mounts[-1][0] if mounts else ""
    for route in flat_routes(routes):
        path = prefix + re.sub(r":\w+}", "}", getattr(route, "path", None) or "")  # a Host has none
        if getattr(route, "endpoint", None) is not None:
            for method, endpoint, item_type in _streams_of_route(route):
                yield FoundStream(path, method, item_type, endpoint, mounts)
        else:
            app = getattr(route, "app", None)
            yield from find_streams(routes_of(app) or (), (*mounts, (path, app)))


def misplaced_tags(routes: Iterable[Any]) -> list[str]:
    """Return what is wrong with routes whose endpoint was tagged, but only after it was routed.

    With ``@event_stream`` above ``@app.get`` the route has the function, and not the endpoint that
    the tag makes of it. A function that is meant to be both has a route of each kind.
    """
    flat = list(_flat(routes))
    functions = [getattr(underlying(route.endpoint), FUNCTION, None) for route in flat]
    return [
        f"{route.endpoint.__module__}.{route.endpoint.__qualname__} ({route.path}): @event_stream "
        "has no effect above the route's decorator. Write it below, right above the function"
        for route in flat
        if _is_tagged_elsewhere(route.endpoint) and route.endpoint not in functions
    ]


def _flat(routes: Iterable[Any]) -> Iterator[Any]:
    """Yield routes and those of mounts. An application that is mounted twice is looked at once."""
    waiting, seen = [routes], set[int]()
    while waiting:
        for route in flat_routes(waiting.pop()):
            app = getattr(route, "app", None)
            if getattr(route, "endpoint", None) is not None:
                yield route
            elif id(app) not in seen:
                seen.add(id(app))
                waiting.append(routes_of(app) or ())


def _is_tagged_elsewhere(endpoint: Any) -> bool:
    """Whether a function was tagged itself: what wraps it has a copy of the attribute."""
    tagged = getattr(endpoint, TAGGED, None)
    return tagged is not None and tagged() is endpoint


def is_tagged(route: Any) -> bool:
    """Whether the endpoint of a route is tagged as a stream."""
    return hasattr(underlying(route.endpoint), ITEM_TYPE) or _has_response_class(route)


def response_class_of(route: Any) -> Any:
    """Return the response class of a FastAPI route."""
    response_class = getattr(route, "response_class", None)
    return getattr(response_class, "value", response_class)  # FastAPI wraps a default


def _streams_of_route(route: Any) -> Iterator[tuple[str, Any, ItemType | None]]:
    """Yield the methods for which a route streams, with their endpoints and item types."""
    if isinstance(route.endpoint, type):  # Starlette's HTTPEndpoint
        for method in _METHODS:
            handler = getattr(route.endpoint, method.lower(), None)
            if hasattr(handler, ITEM_TYPE):
                yield method, handler, getattr(handler, ITEM_TYPE)()
            elif returns_class(handler, EventSourceResponse):
                yield method, handler, None
        return
    function = underlying(route.endpoint)
    method = next((one for one in _METHODS if one in (getattr(route, "methods", None) or ())), "")
    if hasattr(function, ITEM_TYPE):
        yield method, function, getattr(function, ITEM_TYPE)()
    elif _has_response_class(route):
        yield method, function, ItemTypes().of(route.endpoint)
    elif returns_class(function, EventSourceResponse):
        yield method, function, None


def _has_response_class(route: Any) -> bool:
    response_class = response_class_of(route)
    return isinstance(response_class, type) and issubclass(response_class, EventSourceResponse)
