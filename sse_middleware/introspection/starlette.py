"""What the routes of Starlette and FastAPI say, above all the template of a request's path.

Rules of this file:
- The whole template counts, from the outermost application on: `/tenants/{id}` of a mount and
  `/events` of the route below it. No framework says it all, so the routes are asked again.
- Where nothing can be known there is no template. A path in its place would make as many metrics as
  there are paths.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from starlette.routing import BaseRoute, Host, Match, Mount
from starlette.types import Scope


def route_template(scope: Scope) -> str | None:
    """Return the template of the path: ``/users/{id}``. ``None`` if no route says it.

    Args:
        scope: of a request that has been routed.
    """
    root = scope.get("root_path", "")
    outside = scope.get("app_root_path", root)
    routes = _routes_of(scope.get("router", scope.get("app")))
    found = _found(routes, {**scope, "root_path": outside})
    if found or scope.get("route") is None:
        return found or None
    return f"{root.removeprefix(outside)}{_path_of(scope['route']) or ''}" or None


def routes_of(app: Any) -> Sequence[Any] | None:
    """Return the routes of an application, whatever middleware is around it; ``None`` for none."""
    while app is not None:
        routes = getattr(app, "routes", None)
        if isinstance(routes, list | tuple):  # other frameworks have routes of their own kind
            return routes
        app = getattr(app, "app", None)
    return None


def _found(routes: Iterable[Any], scope: Scope) -> str | None:
    for route in routes:
        match, below = route.matches(scope)
        if match is Match.FULL:
            inner = list(_below(route))
            path = _path_of(route) or ""
            return path + (_found(inner, {**scope, **below}) or "") if inner else path
    return None


def _below(route: Any) -> Iterator[Any]:
    """Yield the routes of one that only leads to others."""
    if hasattr(route, "effective_route_contexts"):  # a router that FastAPI has included
        for context in route.effective_route_contexts():
            yield getattr(context, "starlette_route", None) or context
    elif isinstance(route, Mount | Host):
        yield from _routes_of(route.app)


def _routes_of(app: Any) -> list[Any]:
    """Return the routes of an application that are Starlette's."""
    return [route for route in routes_of(app) or () if isinstance(route, BaseRoute)]


def _path_of(route: Any) -> str | None:
    path: object = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(path, str):
        return None
    # The path of a mount ends in a parameter for the routes below it.
    return path.removesuffix("/{path}") if isinstance(route, Mount) else path
