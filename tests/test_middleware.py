"""`SSEMiddleware` around any ASGI application."""

from collections.abc import AsyncIterator
from functools import partial
from importlib import import_module
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sse_middleware import (
    ConfigurationError,
    EventSourceResponse,
    LegacyRoute,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.testing import EventClient
from tests.served import body_of, client_of

pytestmark = pytest.mark.anyio


async def items() -> AsyncIterator[int]:
    yield 1


async def test_another_response_passes_untouched() -> None:
    seen: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"])
        await PlainTextResponse("plain")(scope, receive, send)

    async with client_of(SSEMiddleware(app)) as client:
        response = await client.http.post("/", content=b"request")
    assert seen == [b"request"]
    assert dict(response.headers) == {
        "content-type": "text/plain; charset=utf-8",
        "content-length": "5",
    }
    assert response.content == b"plain"


async def test_an_application_of_two_callables_is_accepted() -> None:
    class Application:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Any, send: Any) -> None:
            await EventSourceResponse(items())(self.scope, receive, send)

    assert await body_of(SSEMiddleware(Application)) == b"data: 1\n\n"  # type: ignore[arg-type]


async def plain_application(scope: Any, receive: Any, send: Any) -> None:
    await EventSourceResponse(items())(scope, receive, send)


def function_application(scope: Any, receive: Any, send: Any) -> Any:
    """Return what is to be awaited, as an application in a decorator may."""
    return plain_application(scope, receive, send)


class Events(HTTPEndpoint):
    async def get(self, _request: Request) -> EventSourceResponse:
        return EventSourceResponse(items())

    @event_stream
    async def post(self, _request: Request) -> AsyncIterator[int]:
        yield 1


class Awaited:
    """An application of three arguments whose result is awaited, as Starlette's endpoints are."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.arguments = scope, receive, send

    def __await__(self) -> Any:
        return plain_application(*self.arguments).__await__()


@pytest.mark.parametrize(
    "app",
    [
        Events,
        Awaited,
        function_application,
        partial(plain_application),
        partial(Awaited),
    ],
)
async def test_what_can_be_awaited_is_an_application_of_three_arguments(app: Any) -> None:
    assert await body_of(SSEMiddleware(app)) == b"data: 1\n\n"


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_endpoint_class_may_have_a_middleware_of_its_own(method: str) -> None:
    own = [Middleware(SSEMiddleware, ping="own")]
    app = Starlette(routes=[Route("/", Events, middleware=own)])
    assert await body_of(app, method) == b"data: 1\n\n"


async def test_a_web_socket_endpoint_may_have_a_middleware_of_its_own() -> None:
    class Echo(WebSocketEndpoint):
        encoding = "text"

        async def on_receive(self, websocket: WebSocket, data: str) -> None:
            await websocket.send_text(data)

    app = Starlette(routes=[WebSocketRoute("/", Echo, middleware=[Middleware(SSEMiddleware)])])
    received = [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "hi"},
        {"type": "websocket.disconnect", "code": 1000},
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return received.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.send"]
    assert sent[1]["text"] == "hi"


class FastJSONResponse(JSONResponse):
    """A response of another encoder, with its own words."""

    def render(self, content: Any) -> bytes:
        encoded: bytes = import_module("orjson").dumps(content)
        return encoded


@pytest.mark.parametrize("response", [JSONResponse, FastJSONResponse])
@pytest.mark.parametrize(
    "content",
    [
        [ServerSentEvent(data=1)],
        ServerSentEvent(data=1),
        ServerSentEvent[int](data=1),
    ],
)
async def test_an_event_in_a_json_response_is_an_error_with_a_note(
    content: Any, response: type[JSONResponse]
) -> None:
    if response is FastJSONResponse:
        pytest.importorskip("orjson")

    def endpoint(_request: Request) -> JSONResponse:
        return response(content)

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(SSEMiddleware)
    with pytest.raises(TypeError, match="not JSON serializable") as caught:
        await body_of(app)
    assert any("@event_stream" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("content", [{"a": 1}, "x", None, 5])
async def test_a_content_that_fastapi_gives_is_an_error_that_names_its_endpoint(
    content: Any,
) -> None:
    app = FastAPI()

    @app.get("/", response_class=EventSourceResponse)
    def no_generator() -> Any:
        return content

    app.add_middleware(SSEMiddleware)
    with pytest.raises(TypeError, match="content must be an iterable of items") as caught:
        await body_of(app)
    (note,) = caught.value.__notes__
    assert note.startswith(f"the endpoint is {__name__}.")
    assert note.endswith(".no_generator")


async def test_any_other_error_has_no_note() -> None:
    def endpoint(_request: Request) -> JSONResponse:
        return JSONResponse(object())

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(SSEMiddleware)
    with pytest.raises(TypeError) as caught:
        await body_of(app)
    assert not any("@event_stream" in note for note in getattr(caught.value, "__notes__", []))


class TestChecked:
    def test_returns_what_it_was_given(self) -> None:
        given: dict[str, Any] = {"ping_interval": 5, "drain": False, "observers": [print]}
        assert SSEMiddleware.checked(**given) == {**given, "legacy": ()}
        assert given == {"ping_interval": 5, "drain": False, "observers": [print]}

    @pytest.mark.parametrize(
        "given",
        [
            {"ping_interval": -1},
            {"ping": 15},
            {"pings": "x"},
            {"max_streams": 0},
            {"legacy": [5]},
            {"adapters": {"x": "lines"}},
        ],
    )
    def test_refuses_at_once(self, given: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            SSEMiddleware.checked(**given)

    async def test_does_not_use_up_the_routes(self) -> None:
        async def lines(_request: Request) -> PlainTextResponse:
            return PlainTextResponse("a")

        app = Starlette(routes=[Route("/", lines)])
        legacy = iter([LegacyRoute("/", body="lines", always=True)])
        app.add_middleware(SSEMiddleware, **SSEMiddleware.checked(legacy=legacy))
        assert await body_of(app) == b"data: a\n\n"


async def test_lifespan_passes() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert list(scope) == ["type", "asgi", "state"], "nothing of ours is added"
        for phase in ("startup", "shutdown"):
            seen.append((await receive())["type"])
            await send({"type": f"lifespan.{phase}.complete"})

    async with EventClient(SSEMiddleware(app)):
        assert seen == ["lifespan.startup"]
    assert seen == ["lifespan.startup", "lifespan.shutdown"]


async def test_a_scope_of_an_unknown_type_passes_untouched() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([scope, receive, send])

    given: list[Any] = [{"type": "tcp"}, print, repr]
    await SSEMiddleware(app)(*given)
    assert seen == given == [{"type": "tcp"}, print, repr]
