"""Streams in the document of an application, and what stays as the user wrote it."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, routing
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Host, Mount, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware import (
    ConfigurationError,
    EventSourceResponse,
    Hub,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
    sse_openapi,
)
from sse_middleware.testing import EventClient

pytestmark = pytest.mark.anyio

EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "data": {"type": "string"},
        "event": {"type": "string"},
        "id": {"type": "string"},
        "retry": {"type": "integer", "minimum": 0},
    },
}

Document = dict[str, Any]


class Item(BaseModel):
    name: str


class Other(BaseModel):
    item: Item


def event_of(schema: Document) -> Document:
    data = {"type": "string", "contentMediaType": "application/json", "contentSchema": schema}
    return {**EVENT, "properties": {**EVENT["properties"], "data": data}, "required": ["data"]}


ITEM = event_of({"$ref": "#/components/schemas/Item"})


async def items() -> AsyncIterator[Item]:
    yield Item(name="a")


def with_items(app: FastAPI) -> FastAPI:
    app.get("/items")(event_stream(items))
    return app


def content(document: Document, path: str = "/items", status: str = "200") -> Document:
    described: Document = document["paths"][path]["get"]["responses"][status]["content"]
    return described


def of_one(endpoint: Callable[..., Any], **options: Any) -> Document:
    """Return what the document says of the body of one endpoint."""
    app = FastAPI()
    app.get("/items", **options)(endpoint)
    return content(sse_openapi(app))


async def served(app: ASGIApp, path: str = "/openapi.json", *, lifespan: bool = True) -> Document:
    async with EventClient(app, run_lifespan=lifespan) as client:
        document: Document = (await client.http.get(path)).json()
    return document


def describes(document: Document, path: str = "/items") -> bool:
    return "text/event-stream" in content(document, path)


# Endpoints


def test_a_decorated_endpoint() -> None:
    app = with_items(FastAPI())
    document = sse_openapi(app)
    assert content(document) == {"text/event-stream": {"itemSchema": ITEM}}
    assert document["components"]["schemas"]["Item"]["required"] == ["name"]
    assert list(document["paths"]) == ["/items"]
    assert document["openapi"] == "3.2.0"
    assert app.openapi() is document


def test_an_endpoint_that_yields_server_sent_events() -> None:
    @event_stream
    async def events() -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data=1)

    assert of_one(events) == {"text/event-stream": {"itemSchema": EVENT}}


def test_none_and_server_sent_events_are_left_out_of_the_schema() -> None:
    @event_stream
    async def mixed() -> AsyncIterator[Item | ServerSentEvent | None]:
        yield None

    @event_stream
    async def anything() -> AsyncIterator[Any]:
        yield None

    assert of_one(mixed)["text/event-stream"]["itemSchema"] == ITEM
    assert of_one(anything)["text/event-stream"]["itemSchema"] == EVENT


def test_an_item_type_of_the_decorator() -> None:
    @event_stream(item_type=list[Item])
    async def lists() -> AsyncIterator[int]:
        yield 1

    schema = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Item"},
        "title": "Streamitem Lists Items Get",
    }
    assert of_one(lists)["text/event-stream"]["itemSchema"] == event_of(schema)


def test_the_items_of_a_subscription() -> None:
    hub = Hub()

    @event_stream(item_type=Item | Other)
    async def events() -> EventSourceResponse:
        return EventSourceResponse(hub.subscribe("a"))

    data = of_one(events)["text/event-stream"]["itemSchema"]["properties"]["data"]
    assert data["contentSchema"]["anyOf"] == [
        {"$ref": "#/components/schemas/Item"},
        {"$ref": "#/components/schemas/Other"},
    ]


def test_a_response_model_counts_where_no_type_is_declared() -> None:
    @event_stream
    async def decorated():  # type: ignore[no-untyped-def]
        yield {}

    async def of_class():  # type: ignore[no-untyped-def]
        yield {}

    described = {"text/event-stream": {"itemSchema": ITEM}}
    assert of_one(decorated, response_model=Item) == described
    assert of_one(of_class, response_model=Item, response_class=EventSourceResponse) == described
    typed = event_stream(items)
    assert of_one(typed, response_model=Other) == described  # the type that items are validated as


def test_endpoints_that_return_their_events() -> None:
    async def response() -> EventSourceResponse:
        return EventSourceResponse([])

    async def listed() -> list[Item]:
        return []

    async def unknown() -> "Unknown":  # type: ignore[name-defined] # noqa: F821
        return EventSourceResponse([])

    by_class = {"response_class": EventSourceResponse}
    by_model = {**by_class, "response_model": list[Item]}
    assert of_one(unknown, **by_model) == {"text/event-stream": {"itemSchema": ITEM}}
    assert of_one(response, **by_class) == {"text/event-stream": {"itemSchema": EVENT}}
    assert of_one(listed, **by_class) == {"text/event-stream": {"itemSchema": ITEM}}


def test_partials_and_callable_objects() -> None:
    class Endpoint:
        @event_stream
        async def __call__(self) -> AsyncIterator[Item]:
            yield Item(name="")

    described = {"text/event-stream": {"itemSchema": ITEM}}
    assert of_one(partial(event_stream(items)), name="a") == described
    assert of_one(Endpoint(), name="a") == described


@pytest.mark.parametrize("response_class", [HTMLResponse, StreamingResponse])
def test_the_response_class_of_a_decorated_endpoint_is_ignored(response_class: Any) -> None:
    described = {"text/event-stream": {"itemSchema": ITEM}}
    assert of_one(event_stream(items), response_class=response_class) == described


def test_declarations_of_other_media_types_stay() -> None:
    declared = {
        "application/json": {"schema": {"type": "null"}},
        "text/plain": {"example": "a"},
        "text/event-stream": {"example": "data: {}"},
    }
    assert of_one(event_stream(items), responses={200: {"content": declared}}) == {
        **declared,
        "text/event-stream": {"itemSchema": ITEM, "example": "data: {}"},
    }
    assert of_one(event_stream(items), responses={"200": {"model": Other}}) == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Other"}},
        "text/event-stream": {"itemSchema": ITEM},
    }


def test_an_item_type_that_can_not_be_evaluated_is_an_error() -> None:
    @event_stream
    async def unknown() -> "AsyncIterator[Unknown]":  # type: ignore[name-defined] # noqa: F821
        yield 1

    with pytest.raises(ConfigurationError, match="Unknown"):
        of_one(unknown)


def test_an_application_without_streams_keeps_its_document() -> None:
    app = FastAPI()
    app.get("/json")(items_as_json)
    assert sse_openapi(app) is app.openapi_schema


async def items_as_json() -> list[Item]:
    return []


@pytest.mark.parametrize("imported", [True, False])
def test_the_application_of_another_framework_is_refused(
    imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not imported:
        monkeypatch.delitem(sys.modules, "fastapi")
    with pytest.raises(TypeError, match=r"takes a FastAPI application, got .*; sse_c"):
        sse_openapi(Starlette())  # type: ignore[arg-type]


# The middleware, without a call


@pytest.mark.parametrize("lifespan", [True, False])
async def test_the_middleware_describes_the_streams(lifespan: bool) -> None:
    app = with_items(FastAPI())
    app.add_middleware(SSEMiddleware)
    assert describes(await served(app, lifespan=lifespan))


async def test_the_middleware_may_be_told_not_to() -> None:
    app = with_items(FastAPI())
    app.add_middleware(SSEMiddleware, openapi=False)
    assert not describes(await served(app))


async def test_the_middleware_finds_a_wrapped_application() -> None:
    class Wrapped:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)

    assert describes(await served(SSEMiddleware(Wrapped(with_items(FastAPI())))))


async def test_the_middleware_finds_each_mounted_application() -> None:
    def mounting(path: str) -> Mount:
        return Mount(path, with_items(FastAPI()))

    app = FastAPI(routes=[mounting("/a"), Mount("/b", Router([mounting("/c")]))])
    app.mount("/self", app)
    with_items(app)
    hosted = with_items(FastAPI())
    outer = Starlette(
        routes=[Host("events.example", hosted), Mount("/outer", app)],
        middleware=[Middleware(SSEMiddleware)],
    )
    for path in ("/a", "/b/c", ""):
        assert describes(await served(outer, f"/outer{path}/openapi.json")), path
    assert describes(hosted.openapi())


@pytest.mark.skipif(not hasattr(routing, "iter_route_contexts"), reason="FastAPI left them out")
async def test_the_middleware_finds_what_is_mounted_in_a_router() -> None:
    router = APIRouter()
    router.mount("/mounted", with_items(FastAPI()))
    app = FastAPI()
    app.include_router(router)
    app.add_middleware(SSEMiddleware)
    assert describes(await served(app, "/mounted/openapi.json"))


async def test_one_middleware_may_serve_several_applications() -> None:
    first, second = with_items(FastAPI()), with_items(FastAPI())
    middleware = SSEMiddleware(EventSourceResponse([]))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = first if scope["path"] == "/first" else second
        await middleware(scope, receive, send)

    async with EventClient(app, run_lifespan=False) as client:
        for path in ("/first", "/second", "/first"):
            await client.http.get(path)
    assert describes(first.openapi())
    assert describes(second.openapi())


async def test_the_document_is_extended_in_the_startup_and_after_it() -> None:
    seen = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        seen.append(describes(app.openapi()))
        app.openapi_schema = None
        app.openapi = lambda: {**made(app), "x-own": True}  # type: ignore[method-assign]
        yield

    app = with_items(FastAPI(lifespan=lifespan))
    app.add_middleware(SSEMiddleware)
    document = await served(app)
    assert seen == [True]
    assert describes(document)
    assert document["x-own"]


def test_fastapi_is_not_imported() -> None:
    script = """
import asyncio, sys
from starlette.applications import Starlette
from sse_middleware import SSEMiddleware, sse_components

async def nothing(*args): pass

scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "app": Starlette()}
asyncio.run(SSEMiddleware(nothing)(scope, nothing, nothing))
sse_components(Numbers=int)
assert "fastapi" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


# A user's `openapi`


def made(app: FastAPI) -> Document:
    return get_openapi(title="Mine", version="1", routes=app.routes)


def test_a_custom_openapi_is_extended() -> None:
    """It is called each time, as it would be without."""
    app, documents = with_items(FastAPI()), list[Document]()

    def custom() -> Document:
        documents.append(made(app))
        return documents[-1]

    app.openapi = custom  # type: ignore[method-assign]
    document = sse_openapi(app)
    assert document["info"]["title"] == "Mine"
    assert content(document) == {"text/event-stream": {"itemSchema": ITEM}}
    assert list(document["components"]["schemas"]) == ["Item"]
    assert documents == [made(app)]  # and not changed
    assert app.openapi() == document
    assert len(documents) == 2
    assert app.openapi_schema is None


def test_a_custom_openapi_may_keep_its_document_as_fastapi_does() -> None:
    app = with_items(FastAPI())

    def custom() -> Document:
        if not app.openapi_schema:
            app.openapi_schema = made(app)
        return app.openapi_schema

    app.openapi = custom  # type: ignore[method-assign]
    document = sse_openapi(app)
    assert describes(document)
    assert app.openapi() is document
    assert app.openapi_schema is document


def test_a_custom_description_of_a_stream_stays() -> None:
    schema = {"type": "string", "description": "data: {}"}

    def custom() -> Document:
        document = made(app)
        body = document["paths"]["/items"]["get"]["responses"]["200"]["content"]
        body["application/json"]["schema"] = schema
        body["text/event-stream"] = {"itemSchema": {"title": "Mine"}}
        document["components"] = {"schemas": {"Item": {"title": "My item"}}}
        return document

    app = with_items(FastAPI())
    app.openapi = custom  # type: ignore[method-assign]
    document = sse_openapi(app)
    assert content(document) == {
        "application/json": {"schema": schema},
        "text/event-stream": {"itemSchema": {**ITEM, "title": "Mine"}},
    }
    assert document["components"] == {"schemas": {"Item": {"title": "My item"}}}


def test_an_endpoint_that_a_custom_openapi_leaves_out_stays_out() -> None:
    app = with_items(FastAPI())
    app.openapi = lambda: {"paths": {}}  # type: ignore[method-assign]
    assert sse_openapi(app) == {"paths": {}}


def test_components_are_added_with_those_they_refer_to() -> None:
    @event_stream
    async def others() -> AsyncIterator[list[Other]]:
        yield []

    app = FastAPI()
    app.get("/items")(others)
    app.openapi = lambda: made(app)  # type: ignore[method-assign]
    assert set(sse_openapi(app)["components"]["schemas"]) == {"Item", "Other"}


def test_a_custom_openapi_may_wrap_the_extended_one() -> None:
    app = with_items(FastAPI())
    once = deepcopy(sse_openapi(app))
    extended = app.openapi
    app.openapi = lambda: {**extended(), "x-own": True}  # type: ignore[method-assign]
    assert sse_openapi(app) == {**once, "x-own": True}


def test_a_subclass_may_have_its_own_openapi() -> None:
    class Mine(FastAPI):
        def openapi(self) -> Document:
            return {**super().openapi(), "x-own": True}

    document = sse_openapi(with_items(Mine()))
    assert describes(document)
    assert document["x-own"]


def test_a_cached_document_is_extended_and_not_changed() -> None:
    app = with_items(FastAPI())
    app.openapi()["x-own"] = True
    cached = app.openapi_schema
    before = deepcopy(cached)
    document = sse_openapi(app)
    assert describes(document)
    assert document["x-own"]
    assert cached == before
    assert app.openapi_schema is document


def test_the_document_is_cached_by_the_application() -> None:
    app = with_items(FastAPI())
    document = sse_openapi(app)
    document["x-own"] = True
    assert app.openapi() is app.openapi_schema is document
    app.openapi_schema = None
    again = app.openapi()
    assert describes(again)
    assert "x-own" not in again


def test_a_route_may_be_added_later() -> None:
    app = with_items(FastAPI())
    sse_openapi(app)
    app.get("/later")(event_stream(items))
    app.openapi_schema = None  # a recent FastAPI does it by itself
    assert describes(app.openapi(), "/later")


def test_neither_routes_nor_declarations_change() -> None:
    responses: dict[int | str, Document] = {
        200: {"content": {"text/event-stream": {"example": "a"}}}
    }
    app, before = FastAPI(), deepcopy(responses)
    app.get("/items", responses=responses)(event_stream(items))
    routes, plain = list(app.routes), made(app)
    sse_openapi(app)
    assert responses == before
    assert app.routes == routes
    assert made(app) == plain


async def test_the_stream_itself_does_not_change() -> None:
    app = with_items(FastAPI())
    sse_openapi(app)
    async with EventClient(app) as client:
        assert (await client.http.get("/items")).content == b'data: {"name":"a"}\n\n'


def test_a_synchronous_endpoint() -> None:
    @event_stream
    def numbers() -> Iterator[int]:
        yield 1

    schema = {"type": "integer", "title": "Streamitem Numbers Items Get"}
    assert of_one(numbers)["text/event-stream"]["itemSchema"] == event_of(schema)
