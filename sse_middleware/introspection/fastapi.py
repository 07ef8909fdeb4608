"""What FastAPI's routes and generators say. FastAPI is no dependency, and is not imported."""

import sys
from collections.abc import AsyncIterable, Iterable
from inspect import isasyncgen
from typing import Any


def unwrapped(content: AsyncIterable[Any]) -> AsyncIterable[Any]:
    """Take the endpoint's own generator out of FastAPI's.

    FastAPI wraps it into a generator that adds a checkpoint after every item. To close the outer
    one would leave the inner one to the garbage collector, which runs its ``finally`` blocks later
    and in another task. Besides, the checkpoints cost most of the speed. A wrapper that looks
    different stays.
    """
    if not isasyncgen(content) or content.ag_code.co_name != "_async_stream_raw":
        return content
    inner = content.ag_frame.f_locals.get("async_gen") if content.ag_frame else None
    return inner if isasyncgen(inner) else content


_DUMPED = (
    ("include", None),
    ("exclude", None),
    ("by_alias", True),
    ("exclude_unset", False),
    ("exclude_defaults", False),
    ("exclude_none", False),
)


def flat_routes(routes: Iterable[Any]) -> Iterable[Any]:
    """Return routes, and of an included router its routes. Only a recent FastAPI keeps routers."""
    fastapi = sys.modules.get("fastapi.routing")
    flat: Iterable[Any] = getattr(fastapi, "iter_route_contexts", iter)(routes)
    return flat


def dump_options(route: Any) -> dict[str, Any]:
    """Return the ``response_model_*`` options of a route, under Pydantic's names."""
    return {
        name: value
        for name, default in _DUMPED
        if (value := getattr(route, f"response_model_{name}", default)) != default
    }
