"""What is read from FastAPI's routers and generators."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi.routing
import pytest
from fastapi import APIRouter, FastAPI
from starlette.routing import Mount, Route

from sse_middleware.introspection.fastapi import unwrapped
from tests.introspection.routed import stream, template_with

pytestmark = pytest.mark.anyio


def included(prefix: str) -> FastAPI:
    inner, middle, app = APIRouter(), APIRouter(), FastAPI()
    inner.add_api_route("/items/{name:path}", stream, response_model=None)
    middle.include_router(inner, prefix="/{tenant}")
    app.include_router(middle, prefix=prefix)
    app.add_api_route("/direct/{number}", stream, response_model=None)
    return app


def with_a_mount_in_a_router() -> FastAPI:
    router, app = APIRouter(), FastAPI()
    router.routes.append(Mount("/m/{x}", routes=[Route("/{y}", stream)]))
    app.mount("/sub", included("/api"))
    app.include_router(router, prefix="/v1")
    app.add_route("/starlette/{z}", stream)
    return app


@pytest.mark.parametrize("middleware", ["inside", "outside"])
@pytest.mark.parametrize(
    ("make", "path", "template"),
    [
        (lambda: included("/api"), "/api/x/items/a/b", "/api/{tenant}/items/{name}"),
        (lambda: included("/api"), "/direct/5", "/direct/{number}"),
        pytest.param(
            with_a_mount_in_a_router,
            *("/v1/m/1/2", "/v1/m/{x}/{y}"),
            marks=pytest.mark.skipif(
                not hasattr(fastapi.routing, "_IncludedRouter"),
                reason="this FastAPI leaves the mounts of a router out",
            ),
        ),
        (with_a_mount_in_a_router, "/sub/direct/1", "/sub/direct/{number}"),
        (with_a_mount_in_a_router, "/starlette/1", "/starlette/{z}"),
    ],
)
async def test_a_template_is_whole_through_routers_and_mounts(
    make: Callable[[], Any], path: str, template: str, middleware: str
) -> None:
    assert await template_with(make(), path, middleware=middleware) == template


async def test_a_generator_with_the_name_of_fastapis_but_another_shape_stays_wrapped() -> None:
    async def _async_stream_raw(content: str) -> AsyncIterator[str]:
        yield content

    wrapper = _async_stream_raw("a")
    assert unwrapped(wrapper) is wrapper
    assert [item async for item in wrapper] == ["a"]
    assert unwrapped(wrapper) is wrapper, "an exhausted generator has no frame"
