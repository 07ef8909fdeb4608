"""The template of a stream's path: whole, whatever the route is mounted in."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, Router
from starlette.types import Receive, Scope, Send

from sse_middleware import LegacyRoute, SSEMiddleware
from tests.introspection.routed import bare, foreign_stream, stream, template_of, template_with
from tests.introspection.test_fastapi import included
from tests.served import ClosedStreams

pytestmark = pytest.mark.anyio


def nested() -> Starlette:
    return Starlette(
        routes=[
            Mount("/{tenant}/m", routes=[Mount("/n/{a:int}", routes=[Route("/{b}/", stream)])]),
            Mount("/sub", app=Starlette(routes=[Route("/{c}", foreign_stream)])),
            Mount("/wrapped", app=CORSMiddleware(Starlette(routes=[Route("/{d}", stream)]))),
            Mount("/with", routes=[Route("/{e}", stream)], middleware=[Middleware(CORSMiddleware)]),
            Mount("/raw", app=bare),
            Mount("/fastapi", app=included("/api")),
            Host("events.test", app=Router([Route("/host/{f}", stream)])),
            Route("/{g:path}", stream),
        ]
    )


def mounted_at_the_root() -> Starlette:
    return Starlette(routes=[Mount("", app=bare)])


@pytest.mark.parametrize("middleware", ["inside", "outside"])
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
        (mounted_at_the_root, "/x", None),
    ],
)
async def test_a_template_is_whole(
    make: Any, path: str, template: str | None, middleware: str
) -> None:
    host = "events.test" if "host" in path else "other.test"
    headers = {"host": host}
    assert await template_with(make(), path, middleware=middleware, headers=headers) == template


async def test_a_template_is_whole_below_a_root_path_and_from_a_mounted_middleware() -> None:
    closed_streams = ClosedStreams()
    below = Starlette(routes=[Route("/{c}", stream)])
    below.add_middleware(SSEMiddleware, observers=[closed_streams])
    app = FastAPI()
    app.mount("/sub/{b}", below)

    async def behind_a_proxy(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "root_path": "/proxy"}, receive, send)

    assert await template_of(behind_a_proxy, "/proxy/sub/x/y", closed_streams) == "/sub/{b}/{c}"
    assert await template_of(app, "/sub/x/y", closed_streams) == "/sub/{b}/{c}"


async def test_a_polled_endpoint_has_its_template() -> None:
    async def status(request: Request) -> Response:
        return Response("{}", media_type="application/json")

    closed_streams = ClosedStreams()
    app = Starlette(routes=[Mount("/status", routes=[Route("/{of}", status)])])
    legacy = [LegacyRoute("/status/{of}", poll=1)]
    app.add_middleware(SSEMiddleware, observers=[closed_streams], legacy=legacy)
    assert await template_of(app, "/status/x", closed_streams) == "/status/{of}"


def framework_with(routes: Any) -> Any:
    """Make an application of another framework."""
    return SimpleNamespace(routes=routes)


ROUTE = SimpleNamespace(path_format="/other/{id}")
MOUNTED = {"app_root_path": "", "root_path": "/mounted"}


@pytest.mark.parametrize(
    ("scope", "template"),
    [
        # The framework follows FastAPI's example.
        ({"app": framework_with((ROUTE,)), "route": ROUTE}, "/other/{id}"),
        ({"route": SimpleNamespace(path="/{x}"), **MOUNTED}, "/mounted/{x}"),
        ({"route": SimpleNamespace(path=None), **MOUNTED}, "/mounted"),
        # It doesn't.
        ({"app": framework_with((ROUTE,)), "route": object()}, None),
        ({"app": framework_with((ROUTE,))}, None),
        ({"app": framework_with(5)}, None),
        ({"app": framework_with([5])}, None),
        ({"app": framework_with(lambda: 5)}, None),
        ({"app": None, "route": None}, None),
        # There is no framework, or none of its routes is the stream's.
        ({}, None),
        ({"app": Starlette(routes=[Route("/other", stream)])}, None),
    ],
)
async def test_another_framework_may_say_the_template(
    scope: dict[str, Any], template: str | None
) -> None:
    async def app(request: Scope, receive: Receive, send: Send) -> None:
        await bare({**request, **scope}, receive, send)

    closed_streams = ClosedStreams()
    served = SSEMiddleware(app, observers=[closed_streams])
    assert await template_of(served, "/mounted/x", closed_streams) == template
