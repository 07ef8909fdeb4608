"""The template of a stream's path: whole, whatever the route is mounted in or included by."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import fastapi.routing
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Host, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from sse_middleware import EventSourceResponse, LegacyRoute, SSEMiddleware, event_stream
from tests.served import Ends, client_of

pytestmark = pytest.mark.anyio


@event_stream
async def stream(request: Request) -> AsyncIterator[int]:
    yield 1


async def foreign_stream(request: Request) -> Response:
    return StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream")


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await EventSourceResponse([1])(scope, receive, send)


def fastapi_below(prefix: str) -> FastAPI:
    inner, middle, app = APIRouter(), APIRouter(), FastAPI()
    inner.add_api_route("/items/{name:path}", stream, response_model=None)
    middle.include_router(inner, prefix="/{tenant}")
    app.include_router(middle, prefix=prefix)
    app.add_api_route("/direct/{number}", stream, response_model=None)
    return app


def fastapi_with_a_mount_in_a_router() -> FastAPI:
    router, app = APIRouter(), FastAPI()
    router.routes.append(Mount("/m/{x}", routes=[Route("/{y}", stream)]))
    app.mount("/sub", fastapi_below("/api"))
    app.include_router(router, prefix="/v1")
    app.add_route("/starlette/{z}", stream)
    return app


def nested() -> Starlette:
    return Starlette(
        routes=[
            Mount("/{tenant}/m", routes=[Mount("/n/{a:int}", routes=[Route("/{b}/", stream)])]),
            Mount("/sub", app=Starlette(routes=[Route("/{c}", foreign_stream)])),
            Mount("/wrapped", app=CORSMiddleware(Starlette(routes=[Route("/{d}", stream)]))),
            Mount("/with", routes=[Route("/{e}", stream)], middleware=[Middleware(CORSMiddleware)]),
            Mount("/raw", app=bare),
            Mount("/fastapi", app=fastapi_below("/api")),
            Host("events.test", app=Router([Route("/host/{f}", stream)])),
            Route("/{g:path}", stream),
        ]
    )


async def template_of(app: Any, path: str, ends: Ends, **options: Any) -> str | None:
    """Return what the one stream's record says."""
    async with client_of(app) as client, client.stream("GET", path, **options) as events:
        await events.next()
    return ends.records[-1].stream.route


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize(
    ("make", "path", "template"),
    [
        (nested, "/x/m/n/5/y/", "/{tenant}/m/n/{a}/{b}/"),
        (nested, "/sub/x", "/sub/{c}"),
        (nested, "/wrapped/x", "/wrapped/{d}"),
        (nested, "/with/x", "/with/{e}"),
        (nested, "/raw/x/y", "/raw"),
        (nested, "/fastapi/api/x/items/a/b", "/fastapi/api/{tenant}/items/{name}"),
        (nested, "/host/x", "/host/{f}"),
        (nested, "/any/thing", "/{g}"),
        (lambda: Starlette(routes=[Mount("", app=bare)]), "/x", None),
        (lambda: fastapi_below("/api"), "/api/x/items/a/b", "/api/{tenant}/items/{name}"),
        (lambda: fastapi_below("/api"), "/direct/5", "/direct/{number}"),
        pytest.param(
            fastapi_with_a_mount_in_a_router,
            *("/v1/m/1/2", "/v1/m/{x}/{y}"),
            marks=pytest.mark.skipif(
                not hasattr(fastapi.routing, "_IncludedRouter"),
                reason="this FastAPI leaves the mounts of a router out",
            ),
        ),
        (fastapi_with_a_mount_in_a_router, "/sub/direct/1", "/sub/direct/{number}"),
        (fastapi_with_a_mount_in_a_router, "/starlette/1", "/starlette/{z}"),
    ],
)
async def test_is_whole(
    make: Callable[[], Any], path: str, template: str | None, where: str
) -> None:
    ends, app = Ends(), make()
    if where == "inside":
        app.add_middleware(SSEMiddleware, observers=[ends])
    else:
        app = SSEMiddleware(app, observers=[ends])
    host = "events.test" if "host" in path else "other.test"
    assert await template_of(app, path, ends, headers={"host": host}) == template


async def test_is_whole_below_a_root_path_and_from_a_mounted_middleware() -> None:
    ends = Ends()
    below = Starlette(routes=[Route("/{c}", stream)])
    below.add_middleware(SSEMiddleware, observers=[ends])
    app = FastAPI()
    app.mount("/sub/{b}", below)

    async def behind_a_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/proxy"}, receive, send)

    assert await template_of(behind_a_proxy, "/proxy/sub/x/y", ends) == "/sub/{b}/{c}"
    assert await template_of(app, "/sub/x/y", ends) == "/sub/{b}/{c}"


async def test_of_a_polled_endpoint() -> None:
    async def status(request: Request) -> Response:
        return Response("{}", media_type="application/json")

    ends = Ends()
    app = Starlette(routes=[Mount("/status", routes=[Route("/{of}", status)])])
    legacy = [LegacyRoute("/status/{of}", poll=1)]
    app.add_middleware(SSEMiddleware, observers=[ends], legacy=legacy)
    assert await template_of(app, "/status/x", ends) == "/status/{of}"


class OtherRoute:
    """A route of another framework."""

    path_format = "/other/{id}"


@pytest.mark.parametrize(
    ("more", "template"),
    [
        ({"route": OtherRoute()}, "/other/{id}"),  # where the framework follows FastAPI's example
        ({"route": object()}, None),
        ({"route": None, "app": None}, None),
    ],
)
async def test_of_other_frameworks(more: dict[str, Any], template: str | None) -> None:
    class Framework:
        routes = (OtherRoute(),)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await bare({**scope, "app": self, **more}, receive, send)

    ends = Ends()
    assert await template_of(SSEMiddleware(Framework(), observers=[ends]), "/", ends) == template
