"""`event_stream` in Starlette and FastAPI, and `response_class` in FastAPI."""

import functools
import gc
import inspect
import sys
from collections.abc import AsyncIterator, Iterator
from types import ModuleType
from typing import Annotated, Any, get_type_hints

import anyio
import fastapi
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_middleware import (
    ConfigurationError,
    EncodingError,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.testing import EventClient

pytestmark = pytest.mark.anyio

FASTAPI = tuple(map(int, fastapi.__version__.split(".")[:2]))
tagged_by_class = pytest.mark.skipif(
    FASTAPI < (0, 135), reason="this FastAPI doesn't call endpoints that yield"
)


class Item(BaseModel):
    name: str
    price: float = 1.0


async def response_of(app: Any, path: str = "/", method: str = "GET", **request: Any) -> Any:
    async with EventClient(app) as client:
        return await client.http.request(method, path, **request)


async def body_of(app: Any, path: str = "/", method: str = "GET", **request: Any) -> bytes:
    response = await response_of(app, path, method, **request)
    assert response.status_code == 200, response.content
    body: bytes = response.content
    return body


class TestStarlette:
    async def test_an_async_generator_function_is_an_endpoint(self) -> None:
        async def events(request: Request) -> AsyncIterator[str]:
            yield request.url.path

        app = Starlette(routes=[Route("/events", event_stream(events))])
        app.add_middleware(SSEMiddleware)
        assert await body_of(app, "/events") == b'data: "/events"\n\n'

    async def test_a_generator_function_is_an_endpoint(self) -> None:
        def events(request: Request) -> Iterator[str]:
            yield request.url.path

        app = Starlette(routes=[Route("/events", event_stream(events))])
        assert await body_of(app, "/events") == b'data: "/events"\n\n'

    async def test_a_method_of_an_http_endpoint(self) -> None:
        class Events(HTTPEndpoint):
            @event_stream
            async def get(self, request: Request) -> AsyncIterator[str]:
                yield request.method

            @event_stream(ping_interval=5)
            async def post(self, request: Request) -> AsyncIterator[str]:
                yield request.method

        app = Starlette(routes=[Route("/", Events)])
        assert await body_of(app) == b'data: "GET"\n\n'
        assert await body_of(app, method="POST") == b'data: "POST"\n\n'
        assert await body_of(app, method="HEAD") == b""

    async def test_a_function_may_return_what_yields(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1

        async def awaited(_request: Request) -> AsyncIterator[int]:
            return items()

        def called(_request: Request) -> list[int]:
            return [1]

        for endpoint in (awaited, called, lambda _request: items(), functools.partial(awaited)):
            app = Starlette(routes=[Route("/", event_stream(endpoint))])
            assert await body_of(app) == b"data: 1\n\n"

    async def test_a_class_that_can_be_iterated(self) -> None:
        class Numbers:
            def __init__(self, _request: Request) -> None:
                self.numbers = [1]

            def __iter__(self) -> Iterator[int]:
                return iter(self.numbers)

        app = Starlette(routes=[Route("/", event_stream(Numbers))])
        assert await body_of(app) == b"data: 1\n\n"

    async def test_an_endpoint_that_returns_a_response_may_be_annotated_as_it_likes(
        self,
    ) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1

        async def endpoint(_request: Request) -> "Unknown":  # type: ignore[name-defined] # noqa: F821
            return EventSourceResponse(items())

        assert await body_of(Starlette(routes=[Route("/", endpoint)])) == b"data: 1\n\n"

    async def test_a_response_that_is_returned_is_sent(self) -> None:
        async def refuse(_request: Request) -> Response:
            return JSONResponse({"no": "entry"}, status_code=401)

        app = Starlette(routes=[Route("/", event_stream(refuse))])
        assert (await response_of(app)).status_code == 401

    @pytest.mark.parametrize(
        ("own", "data"), [({}, b"tag"), ({"serializer": lambda _: b"own"}, b"own")]
    )
    async def test_an_event_stream_that_is_returned_has_the_settings_of_the_tag(
        self, own: Any, data: bytes
    ) -> None:
        """Its own come first, and those of the middleware last."""

        @event_stream(serializer=lambda _: b"tag", headers={"x-tag": "tag", "x-both": "tag"})
        async def endpoint(_request: Request) -> Response:
            return EventSourceResponse([1], 200, {"x-both": "own"}, **own)

        app = Starlette(routes=[Route("/", endpoint)])
        app.add_middleware(SSEMiddleware, serializer=lambda _: b"middleware")
        response = await response_of(app)
        assert response.content == b"data: %b\n\n" % data
        assert (response.headers["x-tag"], response.headers["x-both"]) == ("tag", "own")

    async def test_a_callable_object_and_a_partial(self) -> None:
        class Events:
            async def __call__(self, _request: Request) -> AsyncIterator[int]:
                yield 1

        async def numbers(number: int, _request: Request) -> AsyncIterator[int]:
            yield number

        for endpoint in (Events(), functools.partial(numbers, 1)):
            app = Starlette(routes=[Route("/", event_stream(endpoint))])
            assert await body_of(app) == b"data: 1\n\n"

    async def test_errors_before_the_first_item_get_their_status(self) -> None:
        async def missing(_request: Request) -> AsyncIterator[int]:
            raise HTTPException(404)
            yield 1

        app = Starlette(routes=[Route("/", event_stream(missing))])
        app.add_middleware(SSEMiddleware)
        assert (await response_of(app)).status_code == 404

    async def test_the_declared_type_filters(self) -> None:
        class Secret(Item):
            password: str = "x"

        async def events(_request: Request) -> AsyncIterator[Item]:
            yield Secret(name="a")

        app = Starlette(routes=[Route("/", event_stream(events))])
        assert await body_of(app) == b'data: {"name":"a","price":1.0}\n\n'

        everything = event_stream(item_type=Any)(events)
        app = Starlette(routes=[Route("/", everything)])
        assert b"password" in await body_of(app)

    async def test_the_declared_type_validates(self) -> None:
        async def events(_request: Request) -> AsyncIterator[Item]:
            yield Item(name="a")
            yield {"name": 5}  # type: ignore[misc]

        app = Starlette(routes=[Route("/", event_stream(events))])
        with pytest.raises(EncodingError, match=r"events.*dict|dict.*events"):
            await response_of(app)

    async def test_an_item_type_given_to_the_response(self) -> None:
        async def events(_request: Request) -> EventSourceResponse:
            async def items() -> AsyncIterator[Any]:
                yield {"name": "a", "more": 1}

            return EventSourceResponse(items(), item_type=Item)

        app = Starlette(routes=[Route("/", events)])
        assert await body_of(app) == b'data: {"name":"a","price":1.0}\n\n'


class TestDecorator:
    def test_looks_like_a_coroutine_function_with_the_original_signature(self) -> None:
        async def events(a: int, *, b: str = "x") -> AsyncIterator[Item]:
            """What it does."""
            yield Item(name=b)

        endpoint = event_stream(events)
        assert inspect.iscoroutinefunction(endpoint)
        assert not hasattr(endpoint, "__wrapped__")
        assert endpoint.__name__ == "events"
        assert endpoint.__qualname__ == events.__qualname__
        assert endpoint.__module__ == __name__
        assert endpoint.__doc__ == "What it does."
        signature = inspect.signature(endpoint)
        *own, shared = signature.parameters.values()
        assert own == list(inspect.signature(events).parameters.values())
        assert (shared.annotation, shared.default) == (Response, None)  # for FastAPI alone
        assert signature.return_annotation is EventSourceResponse

    def test_takes_the_response_that_the_function_takes(self) -> None:
        async def events(shared: Response, **more: Any) -> AsyncIterator[Item]:
            yield Item(name="a")

        parameters = inspect.signature(event_stream(events)).parameters
        assert parameters == inspect.signature(events).parameters

    def test_the_parameter_more_stands_before_keywords(self) -> None:
        def events(*several: int, **more: Any) -> list[int]:
            return []

        *_, shared, more = inspect.signature(event_stream(events)).parameters.values()
        assert (shared.annotation, more.name) == (Response, "more")

    async def test_an_annotation_of_a_parameter_may_be_known_to_type_checkers_only(self) -> None:
        async def events(_request: "Unknown") -> AsyncIterator[int]:  # type: ignore[name-defined] # noqa: F821
            yield 1

        assert await body_of(Starlette(routes=[Route("/", event_stream(events))])) == b"data: 1\n\n"

    async def test_a_status_and_headers_can_be_given_to_the_tag(self) -> None:
        @event_stream(status_code=201, headers={"X-Kind": "prices", "Cache-Control": "private"})
        async def events(_request: Request) -> AsyncIterator[int]:
            yield 1

        response = await response_of(Starlette(routes=[Route("/", events)]))
        assert response.status_code == 201
        assert response.headers["x-kind"] == "prices"
        assert response.headers["cache-control"] == "private"
        assert response.headers["x-accel-buffering"] == "no"

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"status_code": 99}, "status_code must be .* got 99"),
            ({"status_code": "200"}, "status_code must be .* got '200'"),
            ({"headers": [("a", "b")]}, r"headers must be .* got \[\('a', 'b'\)\]"),
            ({"headers": {"a": 1}}, "headers must be .* got {'a': 1}"),
        ],
    )
    def test_a_status_or_headers_that_can_not_work_are_refused_by_the_tag(
        self, given: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(ConfigurationError, match=message):
            event_stream(**given)

    def test_refuses_what_can_not_work_at_once(self) -> None:
        with pytest.raises(ConfigurationError, match=r"ping_interval .* -1"):
            event_stream(ping_interval=-1)(list)
        with pytest.raises(TypeError, match="a function that yields"):
            event_stream([1])  # type: ignore[call-overload]

    def test_refuses_what_is_no_function_with_a_way_out(self) -> None:
        async def agenerator() -> AsyncIterator[int]:
            yield 1

        def generator() -> Iterator[int]:
            yield 1

        async def coroutine() -> list[int]:
            return [1]

        begun = coroutine()
        refused: list[tuple[Any, str]] = [
            (agenerator(), r"write event_stream\(agenerator\), without calling it"),
            (generator(), r"write event_stream\(generator\), without calling it"),
            (begun, r"write event_stream\(coroutine\), without calling it"),
            (HTTPEndpoint, "tag the methods"),
            (Starlette, "tag the methods"),
            (Item, "tag the methods"),
            (dict, "tag the methods"),
            (FastAPI(), "below the route's decorator"),
            (APIRouter(), "below the route's decorator"),
            (event_stream(agenerator), "tagged already"),
            (functools.partial(event_stream(agenerator)), "tagged already"),
            (None.__class__, "tag the methods"),
            (5, r"EventSourceResponse\(items\)"),
            (classmethod(lambda _: [1]), r"EventSourceResponse\(items\)"),
        ]
        for function, advice in refused:
            with pytest.raises(TypeError, match=advice) as caught:
                event_stream(function)
            assert repr(function) in str(caught.value)
        begun.close()

    @pytest.mark.parametrize("sync", [True, False])
    @pytest.mark.parametrize(
        ("returned", "advice"),
        [
            ({"a": 1}, "put it in a list"),
            ("text", "put it in a list"),
            (b"bytes", "put it in a list"),
            (Item(name="a"), "put it in a list"),
            (5, "put it in a list"),
            (True, "put it in a list"),
            (None, "there is nothing to stream"),
            (response_of, "it must be called"),
            (HTTPEndpoint, "it must be called"),
        ],
    )
    async def test_what_a_function_returns_is_refused_by_name(
        self, returned: Any, advice: str, sync: bool
    ) -> None:
        def called(_request: Request) -> Any:
            return returned

        async def awaited(_request: Request) -> Any:
            return returned

        function = called if sync else awaited
        with pytest.raises(TypeError) as caught:
            await response_of(Starlette(routes=[Route("/", event_stream(function))]))
        message = str(caught.value)
        assert message.startswith(f"{__name__}.{function.__qualname__} must yield its items")
        assert f"It returned {returned!r}: " in message
        assert message.endswith(advice)

    async def test_a_coroutine_that_a_function_returns_is_refused_and_closed(self) -> None:
        async def inner() -> list[int]:
            return [1]

        async def events(_request: Request) -> Any:
            return inner()  # a coroutine that nobody awaits is a warning, and here an error

        with pytest.raises(TypeError, match=r"events must yield .* must be awaited first"):
            await response_of(Starlette(routes=[Route("/", event_stream(events))]))
        gc.collect()

    def test_for_litestar_there_is_no_parameter_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def events(count: int) -> AsyncIterator[int]:
            yield count

        monkeypatch.setitem(sys.modules, "litestar", ModuleType("litestar"))
        monkeypatch.delitem(sys.modules, "fastapi")
        assert list(inspect.signature(event_stream(events)).parameters) == ["count"]

    def test_has_the_annotations_of_the_function(self) -> None:
        async def events(a: int, b: "str", c=3) -> AsyncIterator[Item]:  # type: ignore[no-untyped-def]
            yield Item(name=b)

        assert get_type_hints(event_stream(events)) == {
            "a": int,
            "b": str,
            "_shared_response": Response,
            "return": EventSourceResponse,
        }

    async def test_an_annotation_that_can_not_be_evaluated_is_an_error(self) -> None:
        async def events(_request: Request) -> "AsyncIterator[Unknown]":  # type: ignore[name-defined] # noqa: F821
            yield 1

        with pytest.raises(ConfigurationError, match="item_type"):
            await response_of(Starlette(routes=[Route("/", event_stream(events))]))


class Prompt(BaseModel):
    text: str


class Trace(list[str]):
    """The order of what happened."""


def fastapi_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(SSEMiddleware)
    return app


class TestFastAPI:
    async def test_decorated_with_body_dependencies_and_path(self) -> None:
        app = fastapi_app()

        async def user(x_user: Annotated[str, Header()]) -> str:
            return x_user

        @app.post("/chat/{room}")
        @event_stream
        async def chat(
            room: int, prompt: Prompt, user: Annotated[str, Depends(user)]
        ) -> AsyncIterator[dict[str, Any]]:
            yield {"room": room, "text": prompt.text, "user": user}

        async with EventClient(app, headers={"x-user": "me"}) as client:
            prompt = {"text": "hi"}
            async with client.stream("POST", "/chat/7", json=prompt) as events:
                assert (await events.next()).json() == {"room": 7, "text": "hi", "user": "me"}
            assert (await client.http.post("/chat/x", json=prompt)).status_code == 422

    @pytest.mark.skipif(FASTAPI < (0, 118), reason="this FastAPI closes it before the response")
    async def test_a_dependency_with_yield_is_open_until_the_stream_has_ended(self) -> None:
        app = fastapi_app()
        trace = Trace()

        async def session() -> AsyncIterator[str]:
            trace.append("open")
            yield "session"
            trace.append("close")

        @app.get("/")
        @event_stream
        async def events(session: Annotated[str, Depends(session)]) -> AsyncIterator[str]:
            try:
                yield session
                await anyio.sleep_forever()
                yield ""  # it could go on
            finally:
                trace.append("finally")

        async with EventClient(app) as client, client.stream("GET", "/") as stream:
            assert (await stream.next()).json() == "session"
            await stream.disconnect()
            assert trace == ["open", "finally", "close"]

    @pytest.mark.parametrize(
        ("declared", "given", "set_by_dependency", "expected"),
        [
            (None, None, None, 200),
            (202, None, None, 202),
            (202, 201, None, 201),
            (202, 201, 203, 203),
        ],
    )
    async def test_the_status_nearest_to_the_call_is_that_of_the_stream(
        self, declared: int | None, given: int | None, set_by_dependency: int | None, expected: int
    ) -> None:
        app = FastAPI()

        def dependency(response: Response) -> None:
            if set_by_dependency is not None:
                response.status_code = set_by_dependency
                response.headers["x-set"] = "dependency"

        @app.get("/", status_code=declared, dependencies=[Depends(dependency)])
        @event_stream(status_code=given, headers={"x-tag": "tag"})
        async def events() -> AsyncIterator[int]:
            yield 1

        response = await response_of(app)
        assert response.status_code == expected
        assert response.headers["x-tag"] == "tag"
        assert ("x-set" in response.headers) == (set_by_dependency is not None)

    async def test_background_tasks_run_after_the_stream(self) -> None:
        app = fastapi_app()
        trace = Trace()

        async def later() -> None:
            trace.append("background")

        @app.get("/")
        @event_stream
        async def events(tasks: BackgroundTasks) -> AsyncIterator[int]:
            tasks.add_task(later)
            yield 1
            trace.append("end")

        await body_of(app)
        assert trace == ["end", "background"]

    def test_the_openapi_document_can_be_made(self) -> None:
        app = fastapi_app()

        @app.get("/")
        @event_stream
        async def events(limit: int = 3) -> AsyncIterator[Item]:
            yield Item(name=str(limit))

        operation = app.openapi()["paths"]["/"]["get"]
        assert [parameter["name"] for parameter in operation["parameters"]] == ["limit"]

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_any_method(self, method: str) -> None:
        app = fastapi_app()

        @app.api_route("/", methods=[method])
        @event_stream
        async def events() -> AsyncIterator[int]:
            yield 1

        assert await body_of(app, method=method) == b"data: 1\n\n"


@tagged_by_class
class TestFastAPIResponseClass:
    async def test_every_kind_of_item(self) -> None:
        app = fastapi_app()

        @app.get("/", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[Any]:
            yield Item(name="a")
            yield {"value": 1}
            yield ServerSentEvent(event="m", data={"v": 2}, id="17", retry=3000, comment="hi")
            yield ServerSentEvent(raw_data="[DONE]")
            yield None

        assert await body_of(app) == (
            b'data: {"name":"a","price":1.0}\n\n'
            b'data: {"value":1}\n\n'
            b': hi\nevent: m\ndata: {"v":2}\nid: 17\nretry: 3000\n\n'
            b"data: [DONE]\n\n"
            b": ping\n"
        )

    async def test_the_declared_type_filters(self) -> None:
        app = fastapi_app()

        @app.get("/", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[Item]:
            yield {"name": "a", "secret": 1}  # type: ignore[misc]

        assert await body_of(app) == b'data: {"name":"a","price":1.0}\n\n'

    async def test_a_synchronous_generator(self) -> None:
        app = fastapi_app()

        @app.get("/", response_class=EventSourceResponse)
        def events() -> Iterator[Item]:
            yield Item(name="a")

        assert await body_of(app) == b'data: {"name":"a","price":1.0}\n\n'

    async def test_as_the_default_of_a_router_with_a_status(self) -> None:
        app = fastapi_app()
        router = APIRouter(default_response_class=EventSourceResponse)

        @router.post("/", status_code=201)
        async def events() -> AsyncIterator[int]:
            yield 1

        app.include_router(router)
        response = await response_of(app, method="POST")
        assert response.status_code == 201
        assert response.content == b"data: 1\n\n"

    async def test_a_cancelled_generator_cleans_up_in_its_own_task(self) -> None:
        app = fastapi_app()
        tasks = []

        @app.get("/", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[str]:
            tasks.append(anyio.get_current_task().id)
            try:
                while True:
                    yield "x" * 100_000  # is at the yield when the client leaves
            finally:
                await anyio.sleep(1)
                tasks.append(anyio.get_current_task().id)

        async with EventClient(app, window=1) as client:
            async with client.http.stream("GET", "/") as response:
                await anyio.wait_all_tasks_blocked()
                await response.aclose()
            assert len(tasks) == 2
            assert tasks[0] == tasks[1]

    async def test_an_error_before_the_first_item_gets_its_status(self) -> None:
        app = fastapi_app()

        @app.get("/", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[int]:
            raise HTTPException(404)
            yield 1

        assert (await response_of(app)).status_code == 404

    async def test_without_the_middleware_it_streams_too(self) -> None:
        app = FastAPI()

        @app.get("/", response_class=EventSourceResponse)
        async def events() -> AsyncIterator[int]:
            yield 1

        assert await body_of(app) == b"data: 1\n\n"
