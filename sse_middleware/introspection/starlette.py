"""Reads the routes of Starlette and FastAPI, above all the template of a request's path.

Rules of this file:
- The template begins at the outermost application: `/tenants/{id}` of a mount, then `/events` of
  the route below it. No framework provides the whole template, so the routes are matched again.
- If no template can be found, the result is ``None`` and not the path, which would make as many
  metrics as there are paths.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from starlette.routing import BaseRoute, Host, Match, Mount
from starlette.types import Scope


def route_template(scope: Scope) -> str | None:
    """Return the template of the path (``/users/{id}``), ``None`` if no route has it.

    Args:
        scope: the scope of a request after routing.
    """
    root = scope.get("root_path", "")
    outside = scope.get("app_root_path", root)
    routes = _starlette_routes(scope.get("router", scope.get("app")))
    found = _template_in(routes, {**scope, "root_path": outside})
    if found or scope.get("route") is None:
        return found or None
    return f"{root.removeprefix(outside)}{_template_of(scope['route']) or ''}" or None


def routes_of(app: Any) -> Sequence[Any] | None:
    """Return the routes of an application inside any middleware, ``None`` if it has none."""
    while app is not None:
        routes = getattr(app, "routes", None)
        if isinstance(routes, list | tuple):  # other frameworks use other types
            return routes
        app = getattr(app, "app", None)
    return None


def _template_in(routes: Iterable[Any], scope: Scope) -> str | None:
    for route in routes:
        match, below = route.matches(scope)
        if match is Match.FULL:
            inner = list(_child_routes(route))
            path = _template_of(route) or ""
            return path + (_template_in(inner, {**scope, **below}) or "") if inner else path
    return None


def _child_routes(route: Any) -> Iterator[Any]:
    """Yield the routes below a mount, a host or an included router."""
    if hasattr(route, "effective_route_contexts"):  # a router that FastAPI has included
        for context in route.effective_route_contexts():
            yield getattr(context, "starlette_route", None) or context
    elif isinstance(route, Mount | Host):
        yield from _starlette_routes(route.app)


def _starlette_routes(app: Any) -> list[Any]:
    """Return the routes of an application, if they are Starlette's."""
    return [route for route in routes_of(app) or () if isinstance(route, BaseRoute)]


def _template_of(route: Any) -> str | None:
    path: object = getattr(route, "path_format", None) or getattr(route, "path", None)
    if not isinstance(path, str):
        return None
    # The path of a mount ends in a parameter for the routes below it.
    return path.removesuffix("/{path}") if isinstance(route, Mount) else path
