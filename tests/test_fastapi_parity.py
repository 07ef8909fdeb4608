"""What FastAPI documents of events, with its own `fastapi.sse` and with only the import changed.

Each application is made in every way that there is to stream events with FastAPI, and has to answer
every request with the same status, headers and events. Where FastAPI has no events of its own, the
expected ones stand alone. JSON is compared by its meaning: FastAPI writes spaces into it.
"""

import json
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple

import anyio
import fastapi
import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Depends,
    FastAPI,
    Header,
    HTTPException,
    Path,
    Request,
    Response,
)
from pydantic import BaseModel, Field

import sse_middleware
import sse_middleware.events
from sse_middleware import EncodingError, SSEMiddleware, event_stream
from tests.served import OopsError, client_of

pytestmark = pytest.mark.anyio

FASTAPI = tuple(map(int, fastapi.__version__.split(".")[:2]))
HAS_SSE = FASTAPI >= (0, 135)
closes_late = pytest.mark.skipif(
    FASTAPI < (0, 118), reason="this FastAPI closes dependencies before the response"
)


class Item(BaseModel):
    name: str
    price: float | None = None


class Prompt(BaseModel):
    text: str


ITEMS = [Item(name="Plumbus", price=32.99), Item(name="Portal Gun", price=999.99)]
AS_EVENTS = (
    b'data: {"name":"Plumbus","price":32.99}\n\ndata: {"name":"Portal Gun","price":999.99}\n\n'
)


class Way:
    """One way to stream events.

    Args:
        library: where the names come from.
        decorated: whether by `event_stream` in place of ``response_class``.
        middleware: whether under `SSEMiddleware`.
    """

    def __init__(self, library: Any, *, decorated: bool = False, middleware: bool = False) -> None:
        self.middleware = middleware
        self.event = library.ServerSentEvent
        self.response_class = library.EventSourceResponse
        self._decorated = decorated

    def get(self, app: Any, path: str, **options: Any) -> Callable[[Any], Any]:
        return self.route(app, path, methods=["GET"], **options)

    def post(self, app: Any, path: str, **options: Any) -> Callable[[Any], Any]:
        return self.route(app, path, methods=["POST"], **options)

    def route(self, app: Any, path: str, **options: Any) -> Callable[[Any], Any]:
        if self._decorated:
            return lambda function: app.api_route(path, **options)(event_stream(function))
        route: Callable[[Any], Any] = app.api_route(
            path, response_class=self.response_class, **options
        )
        return route


def _theirs() -> Iterator[Any]:
    if FASTAPI >= (0, 165):  # the first versions ignored the status
        import fastapi.sse  # noqa: PLC0415 - not every version has it

        yield pytest.param(Way(fastapi.sse), id="fastapi.sse")


def _ours() -> Iterator[Any]:
    for middleware in (True, False):
        suffix = "" if middleware else "-alone"
        if HAS_SSE:
            yield pytest.param(
                Way(sse_middleware, middleware=middleware), id=f"response_class{suffix}"
            )
        yield pytest.param(
            Way(sse_middleware, decorated=True, middleware=middleware), id=f"event_stream{suffix}"
        )


THEIRS, OURS = list(_theirs()), list(_ours())
only_ours = pytest.mark.parametrize("way", OURS, indirect=True)


@pytest.fixture(params=[*THEIRS, *OURS])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
def app(way: Way) -> FastAPI:
    app = FastAPI()
    if way.middleware:
        app.add_middleware(SSEMiddleware)
    return app


def compact(body: bytes) -> bytes:
    """Write JSON without spaces and escapes."""
    return b"\n".join(
        b"data: " + _compact(line[6:]) if line.startswith(b"data: ") else line
        for line in body.split(b"\n")
    )


def _compact(text: bytes) -> bytes:
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError:
        return text


async def response_of(app: Any, path: str = "/", method: str = "GET", **request: Any) -> Any:
    async with client_of(app) as client:
        return await client.http.request(method, path, **request)


async def events_from(app: Any, path: str = "/", method: str = "GET", **request: Any) -> bytes:
    response = await response_of(app, path, method, **request)
    assert response.status_code == 200, response.content
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"].removesuffix(", no-transform") == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    return compact(response.content)


class Kind(NamedTuple):
    """A function that yields, and what its client reads."""

    make: Callable[[Way], Any]
    expected: bytes


def asynchronous(way: Way) -> Any:
    async def events() -> AsyncIterable[Item]:
        for item in ITEMS:
            yield item

    return events


def synchronous(way: Way) -> Any:
    def events() -> Iterable[Item]:
        yield from ITEMS

    return events


def without_a_type(way: Way) -> Any:
    async def events():  # type: ignore[no-untyped-def]
        for item in ITEMS:
            yield item

    return events


def synchronous_without_a_type(way: Way) -> Any:
    def events():  # type: ignore[no-untyped-def]
        yield from ITEMS

    return events


def dicts(way: Way) -> Any:
    async def events():  # type: ignore[no-untyped-def]
        for item in ITEMS:
            yield item.model_dump()

    return events


def dicts_with_a_type(way: Way) -> Any:
    async def events() -> AsyncIterable[Item]:
        for item in ITEMS:
            yield {**item.model_dump(), "secret": "x"}  # type: ignore[misc]

    return events


def annotated_as_a_string(way: Way) -> Any:
    async def events() -> "AsyncIterable[Item]":
        yield {"name": "a", "secret": "x"}  # type: ignore[misc]

    return events


def plain_values(way: Way) -> Any:
    async def events() -> AsyncIterator[Any]:
        for value in ("text", 7, 1.5, True, [1], {"a": None}, float("nan"), "two\nlines", "ü"):
            yield value

    return events


def fields(way: Way) -> Any:
    async def events() -> AsyncIterable[Any]:
        yield way.event(data="hello", event="greeting", id="1")
        yield way.event(data={"key": "value"}, event="json", id="2", retry=5000)
        yield way.event(comment="two\nlines")
        yield way.event(data=ITEMS[0], comment="hi")
        yield way.event(data=ITEMS)

    return events


def raw_data(way: Way) -> Any:
    async def events() -> AsyncIterable[Any]:
        yield way.event(raw_data="<b>html</b>", event="html")
        yield way.event(raw_data="cpu,87.3\ncpu,1")
        yield way.event(raw_data="[DONE]")

    return events


def mixed(way: Way) -> Any:
    async def events() -> AsyncIterable[Item]:
        yield ITEMS[0]
        yield way.event(data="not an item", event="special")
        yield ITEMS[1]

    return events


KINDS = [
    Kind(asynchronous, AS_EVENTS),
    Kind(synchronous, AS_EVENTS),
    Kind(without_a_type, AS_EVENTS),
    Kind(synchronous_without_a_type, AS_EVENTS),
    Kind(dicts, AS_EVENTS),
    Kind(dicts_with_a_type, AS_EVENTS),
    Kind(annotated_as_a_string, b'data: {"name":"a","price":null}\n\n'),
    Kind(
        plain_values,
        b'data: "text"\n\ndata: 7\n\ndata: 1.5\n\ndata: true\n\ndata: [1]\n\ndata: {"a":null}\n\n'
        b'data: null\n\ndata: "two\\nlines"\n\ndata: "\xc3\xbc"\n\n',
    ),
    Kind(
        fields,
        b'event: greeting\ndata: "hello"\nid: 1\n\n'
        b'event: json\ndata: {"key":"value"}\nid: 2\nretry: 5000\n\n'
        b": two\n: lines\n\n"
        b': hi\ndata: {"name":"Plumbus","price":32.99}\n\n'
        b'data: [{"name":"Plumbus","price":32.99},{"name":"Portal Gun","price":999.99}]\n\n',
    ),
    Kind(
        raw_data,
        b"event: html\ndata: <b>html</b>\n\ndata: cpu,87.3\ndata: cpu,1\n\ndata: [DONE]\n\n",
    ),
    Kind(
        mixed,
        b'data: {"name":"Plumbus","price":32.99}\n\n'
        b'event: special\ndata: "not an item"\n\n'
        b'data: {"name":"Portal Gun","price":999.99}\n\n',
    ),
]


@pytest.mark.parametrize("kind", KINDS, ids=[kind.make.__name__ for kind in KINDS])
async def test_items(app: FastAPI, way: Way, kind: Kind) -> None:
    way.get(app, "/")(kind.make(way))
    assert await events_from(app) == kind.expected


class TestRoutes:
    async def test_resuming_with_last_event_id(self, app: FastAPI, way: Way) -> None:
        @way.get(app, "/items")
        async def resume(
            last_event_id: Annotated[int | None, Header()] = None,
        ) -> AsyncIterable[Any]:
            start = 0 if last_event_id is None else last_event_id + 1
            for number, item in enumerate(ITEMS[start:], start):
                yield way.event(data=item, id=str(number))

        second = b'data: {"name":"Portal Gun","price":999.99}\nid: 1\n\n'
        first = b'data: {"name":"Plumbus","price":32.99}\nid: 0\n\n'
        assert await events_from(app, "/items") == first + second
        assert await events_from(app, "/items", headers={"last-event-id": "0"}) == second
        bad = await response_of(app, "/items", headers={"last-event-id": "x"})
        assert bad.status_code == 422
        assert bad.json()["detail"][0]["loc"] == ["header", "last-event-id"]

    async def test_post_with_a_body(self, app: FastAPI, way: Way) -> None:
        @way.post(app, "/chat")
        async def chat(prompt: Prompt) -> AsyncIterable[Any]:
            for word in prompt.text.split():
                yield way.event(data=word, event="token")
            yield way.event(raw_data="[DONE]", event="done")

        assert await events_from(app, "/chat", "POST", json={"text": "a b"}) == (
            b'event: token\ndata: "a"\n\nevent: token\ndata: "b"\n\nevent: done\ndata: [DONE]\n\n'
        )
        assert (await response_of(app, "/chat", "POST", json={})).status_code == 422

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
    async def test_any_method(self, app: FastAPI, way: Way, method: str) -> None:
        way.route(app, "/", methods=[method])(asynchronous(way))
        assert await events_from(app, "/", method) == AS_EVENTS

    async def test_routers_with_prefixes_and_dependencies(self, app: FastAPI, way: Way) -> None:
        async def check(x_key: Annotated[str, Header()]) -> None:
            if x_key != "right":
                raise HTTPException(403)

        inner, outer = APIRouter(), APIRouter(prefix="/outer", dependencies=[Depends(check)])

        @way.get(inner, "/{room}/events")
        async def events(room: Annotated[int, Path(ge=1)], limit: int = 2) -> AsyncIterable[Any]:
            for _ in range(limit):
                yield room

        outer.include_router(inner, prefix="/inner")
        app.include_router(outer)
        path, headers = "/outer/inner/7/events", {"x-key": "right"}
        assert await events_from(app, path, headers=headers) == b"data: 7\n\ndata: 7\n\n"
        assert await events_from(app, f"{path}?limit=1", headers=headers) == b"data: 7\n\n"
        assert (await response_of(app, path, headers={"x-key": "wrong"})).status_code == 403
        assert (await response_of(app, "/outer/inner/0/events", headers=headers)).status_code == 422

    @pytest.mark.skipif(not HAS_SSE, reason="this FastAPI doesn't call endpoints that yield")
    async def test_a_default_response_class(self, app: FastAPI, way: Way) -> None:
        router = APIRouter(default_response_class=way.response_class)
        router.get("/")(
            asynchronous(way) if not way._decorated else event_stream(asynchronous(way))
        )
        app.include_router(router)
        assert await events_from(app) == AS_EVENTS

    async def test_a_mounted_application(self, app: FastAPI, way: Way) -> None:
        below = FastAPI()
        way.get(below, "/events")(asynchronous(way))
        app.mount("/below", below)
        assert await events_from(app, "/below/events") == AS_EVENTS


class TestInjected:
    """What endpoints and dependencies are given, and set."""

    async def test_the_request(self, app: FastAPI, way: Way) -> None:
        @way.get(app, "/events/{name}")
        async def events(request: Request) -> AsyncIterable[Any]:
            yield [request.url.path, request.path_params]

        assert await events_from(app, "/events/a") == b'data: ["/events/a",{"name":"a"}]\n\n'

    async def test_status_and_headers_that_a_dependency_sets(self, app: FastAPI, way: Way) -> None:
        async def mark(response: Response) -> None:
            response.status_code = 203
            response.headers["x-mark"] = "here"
            response.set_cookie("a", "1")
            response.set_cookie("b", "2")

        way.get(app, "/", dependencies=[Depends(mark)])(asynchronous(way))
        response = await response_of(app)
        assert response.status_code == 203
        assert response.headers["x-mark"] == "here"
        assert len(response.headers.get_list("set-cookie")) == 2
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert "content-length" not in response.headers
        assert compact(response.content) == AS_EVENTS

    @pytest.mark.parametrize("as_text", [False, True])
    async def test_the_response_of_an_endpoint(self, app: FastAPI, way: Way, as_text: bool) -> None:
        async def mark(response: Response) -> str:
            response.headers["x-mark"] = "here"
            return "marked"

        async def events(
            response: Response, marked: Annotated[str, Depends(mark)]
        ) -> AsyncIterable[Any]:
            yield [marked, response.headers["x-mark"]]

        async def events_by_text(
            response: "Response", marked: str = Depends(mark)
        ) -> "AsyncIterable[Any]":
            yield [marked, response.headers["x-mark"]]

        way.get(app, "/")(events_by_text if as_text else events)
        response = await response_of(app)
        assert response.headers["x-mark"] == "here"
        assert compact(response.content) == b'data: ["marked","here"]\n\n'

    async def test_a_declared_status(self, app: FastAPI, way: Way) -> None:
        way.post(app, "/", status_code=201)(asynchronous(way))
        response = await response_of(app, "/", "POST")
        assert response.status_code == 201
        assert compact(response.content) == AS_EVENTS

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"exclude": {"price"}}, {"title": "a", "stock": 1}),
            ({"include": {"price"}}, {"price": None}),
            ({"by_alias": False}, {"name": "a", "price": None, "stock": 1}),
            ({"exclude_unset": True}, {"title": "a", "price": None}),
            ({"exclude_defaults": True}, {"title": "a"}),
            ({"exclude_none": True}, {"title": "a", "stock": 1}),
        ],
        ids=lambda options: next(iter(options)),
    )
    async def test_fields_that_a_route_excludes(
        self, app: FastAPI, way: Way, options: dict[str, Any], expected: dict[str, Any]
    ) -> None:
        class Named(BaseModel):
            name: str = Field(alias="title")
            price: float | None = None
            stock: int = 1

        @way.get(app, "/", **{f"response_model_{name}": said for name, said in options.items()})
        async def events() -> AsyncIterable[Named]:
            yield Named(title="a", price=None)

        assert json.loads((await events_from(app)).removeprefix(b"data: ")) == expected

    async def test_a_status_that_is_set_overrides_the_declared_one(
        self, app: FastAPI, way: Way
    ) -> None:
        async def accept(response: Response) -> None:
            response.status_code = 202

        way.post(app, "/", status_code=201, dependencies=[Depends(accept)])(asynchronous(way))
        assert (await response_of(app, "/", "POST")).status_code == 202

    async def test_background_tasks(self, app: FastAPI, way: Way) -> None:
        log: list[str] = []

        async def by_dependency(tasks: BackgroundTasks) -> None:
            tasks.add_task(log.append, "of the dependency")

        @way.get(app, "/", dependencies=[Depends(by_dependency)])
        async def events(tasks: BackgroundTasks) -> AsyncIterable[Any]:
            yield 1
            tasks.add_task(log.append, "of the endpoint")
            log.append("end")

        await events_from(app)
        assert log == ["end", "of the dependency", "of the endpoint"]

    @closes_late
    async def test_dependencies_with_yield_end_after_the_stream(
        self, app: FastAPI, way: Way
    ) -> None:
        log: list[str] = []

        async def session() -> AsyncIterator[str]:
            log.append("open")
            yield "session"
            log.append("close")

        @way.get(app, "/")
        async def events(session: Annotated[str, Depends(session)]) -> AsyncIterable[str]:
            yield session
            await anyio.sleep(1)
            log.append("end")

        assert await events_from(app) == b'data: "session"\n\n'
        assert log == ["open", "end", "close"]

    async def test_overrides_of_dependencies(self, app: FastAPI, way: Way) -> None:
        async def user() -> str:
            return "real"

        @way.get(app, "/")
        async def events(user: Annotated[str, Depends(user)]) -> AsyncIterable[str]:
            yield user

        app.dependency_overrides[user] = lambda: "fake"
        assert await events_from(app) == b'data: "fake"\n\n'


class TestKeepAlive:
    async def test_an_interval_that_is_monkeypatched(
        self, app: FastAPI, way: Way, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sse_middleware.events, "_PING_INTERVAL", 5.0)
        monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 5.0, raising=False)

        @way.get(app, "/")
        async def events() -> AsyncIterable[Any]:
            yield 1
            await anyio.sleep(12)
            yield 2

        assert await events_from(app) == b"data: 1\n\n: ping\n\n: ping\n\ndata: 2\n\n"

    async def test_is_not_sent_where_events_come_in_time(self, app: FastAPI, way: Way) -> None:
        @way.get(app, "/")
        async def events() -> AsyncIterable[Any]:
            for number in range(4):
                yield number
                await anyio.sleep(10)

        assert b"ping" not in await events_from(app)


@only_ours
class TestErrors:
    """Here FastAPI differs: its status line is out before the endpoint begins."""

    async def test_before_the_first_event_an_http_exception_is_answered(
        self, app: FastAPI, way: Way
    ) -> None:
        @way.get(app, "/")
        async def events() -> AsyncIterable[Any]:
            raise HTTPException(404, detail="no such room")
            yield 1

        response = await response_of(app)
        assert response.status_code == 404
        assert response.json() == {"detail": "no such room"}

    async def test_an_exception_handler_of_the_application(self, app: FastAPI, way: Way) -> None:
        @app.exception_handler(OopsError)
        async def handle(_request: Request, _error: Exception) -> Response:
            return Response("handled", status_code=418)

        @way.get(app, "/")
        async def events() -> AsyncIterable[Any]:
            raise OopsError
            yield 1

        response = await response_of(app)
        assert (response.status_code, response.text) == (418, "handled")

    async def test_an_item_of_another_type_before_the_first_event(
        self, app: FastAPI, way: Way
    ) -> None:
        @app.exception_handler(EncodingError)
        async def handle(_request: Request, error: Exception) -> Response:
            return Response(str(error), status_code=500)

        @way.get(app, "/")
        async def events() -> AsyncIterable[Item]:
            yield {"price": 1}  # type: ignore[misc]

        response = await response_of(app)
        assert response.status_code == 500
        assert "events" in response.text
        assert "name" in response.text

    async def test_an_item_of_another_type_after_an_event(self, app: FastAPI, way: Way) -> None:
        @way.get(app, "/")
        async def events() -> AsyncIterable[Item]:
            yield ITEMS[0]
            await anyio.sleep(1)
            yield {"price": 1}  # type: ignore[misc]

        with pytest.raises(EncodingError, match="name"):
            await response_of(app)


class Decorated(BaseModel):
    number: int = Field(alias="theNumber")


async def test_a_model_is_sent_by_its_aliases(app: FastAPI, way: Way) -> None:
    @way.get(app, "/")
    async def events() -> AsyncIterable[Decorated]:
        yield Decorated(theNumber=1)

    assert await events_from(app) == b'data: {"theNumber":1}\n\n'


def test_the_parameter_for_the_shared_response_is_not_documented(
    app: FastAPI, way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        way.get(app, "/", status_code=201)(asynchronous(way))
        operation = app.openapi()["paths"]["/"]["get"]
    assert "parameters" not in operation
    assert "requestBody" not in operation
    assert list(operation["responses"]) == ["201"]
