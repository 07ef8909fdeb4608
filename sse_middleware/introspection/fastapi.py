"""Reads FastAPI's routes and generators. FastAPI is not a dependency, and is not imported here."""

import sys
from collections.abc import AsyncIterable, Iterable
from types import AsyncGeneratorType
from typing import Any


def unwrapped(content: AsyncIterable[Any]) -> AsyncIterable[Any]:
    """Return the endpoint's own generator from inside FastAPI's wrapper.

    FastAPI wraps it in a generator that adds a checkpoint after every item. If only the wrapper is
    closed, the garbage collector closes the inner generator: later, and in another task. The
    checkpoints also cost most of the speed. A wrapper that looks different is returned unchanged.
    """
    if (
        not isinstance(content, AsyncGeneratorType)
        or content.ag_code.co_name != "_async_stream_raw"
    ):
        return content
    inner = content.ag_frame.f_locals.get("async_gen") if content.ag_frame else None
    return inner if isinstance(inner, AsyncGeneratorType) else content


_DUMP_DEFAULTS = (
    ("include", None),
    ("exclude", None),
    ("by_alias", True),
    ("exclude_unset", False),
    ("exclude_defaults", False),
    ("exclude_none", False),
)


def flat_routes(routes: Iterable[Any]) -> Iterable[Any]:
    """Return routes, with the routes of included routers, which only a recent FastAPI keeps."""
    fastapi = sys.modules.get("fastapi.routing")
    flat: Iterable[Any] = getattr(fastapi, "iter_route_contexts", iter)(routes)
    return flat


def dump_options(route: Any) -> dict[str, Any]:
    """Return the ``response_model_*`` options that a route sets, under Pydantic's names."""
    if not hasattr(route, "response_model_include"):  # not a route of FastAPI's
        return {}
    return {
        name: value
        for name, default in _DUMP_DEFAULTS
        if (value := getattr(route, f"response_model_{name}", default)) != default
    }
