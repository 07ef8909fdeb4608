"""Mistakes that items give away are reported once for an endpoint, and change nothing."""

import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from functools import partial
from typing import Annotated, Any

import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.routing import Route
from typing_extensions import TypedDict  # as Pydantic wants it before Python 3.12

from sse_middleware import (
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    event_stream,
    presets,
)
from sse_middleware.items.hints import DICTS_LOOKED_AT
from tests.served import OopsError, client_of

pytestmark = pytest.mark.anyio


class Fields(TypedDict):
    event: str
    data: str


class Failure(SSEModel, event="error"):
    code: int = 1


class Reading(BaseModel):
    data: int


def endpoint_of(*items: Any) -> Callable[..., Any]:
    async def events(_request: Request) -> Any:
        for item in items:
            yield item

    return events


async def bodies_of(app: Any, count: int = 1, method: str = "GET") -> list[bytes]:
    async with client_of(app) as client:
        return [(await client.http.request(method, "/")).content for _ in range(count)]


async def reported(
    caplog: pytest.LogCaptureFixture, endpoint: Any, *, method: str = "GET", **settings: Any
) -> list[str]:
    """Serve an endpoint three times, and return what was reported."""
    routes = [Route("/", event_stream(**settings)(endpoint), methods=[method])]
    app = Starlette(routes=routes)
    app.add_middleware(SSEMiddleware)
    with caplog.at_level(logging.WARNING, "sse_middleware.items"):
        await bodies_of(app, 3, method)
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "item",
    [
        {"event": "a", "data": "x", "id": "1", "retry": 5},
        {"event": "a", "data": "x"},
        {"data": {"n": 1}, "id": 7},
        {"data": None},
        {"event": "ping"},
        {"retry": 3000},
        {"event": "a", "comment": "c"},
        OrderedDict(event="a", data="x"),
    ],
)
async def test_a_dict_of_fields_is_reported_once_and_sent_as_json(
    caplog: pytest.LogCaptureFixture, item: dict[str, Any]
) -> None:
    (message,) = await reported(caplog, endpoint_of(item, item))
    assert message.startswith(f"{__name__}.endpoint_of.<locals>.events sends a dict with the keys")
    assert ", ".join(item) in message
    assert "use ServerSentEvent(" in message
    assert "sse_middleware.compat.sse_starlette" in message


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"id": 1},
        {"comment": "x"},
        {"id": 1, "comment": "x"},
        {"event": "a", "data": "x", "user": 1},
        {1: 2},
        {None: 1, "data": 2},
        {"Data": 1},
        ["event", "data"],
        "data",
        Reading(data=1),
        [{"event": "a", "data": "x"}],
    ],
)
async def test_other_data_is_not_reported(caplog: pytest.LogCaptureFixture, item: Any) -> None:
    assert await reported(caplog, endpoint_of(item)) == []


async def test_a_report_changes_nothing() -> None:
    app = SSEMiddleware(EventSourceResponse([{"event": "a", "data": "x"}] * 2))
    assert await bodies_of(app) == [b'data: {"event":"a","data":"x"}\n\n' * 2]


async def test_each_endpoint_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    async def one(_request: Request) -> AsyncIterator[Any]:
        yield {"data": 1}

    def other(_request: Request) -> Iterator[Any]:
        yield {"data": 1}

    await reported(caplog, one)
    messages = await reported(caplog, other)
    assert [message.partition(" sends ")[0].rpartition(".")[2] for message in messages] == [
        "one",
        "other",
    ]


@pytest.mark.parametrize(
    "before", [0, 1, DICTS_LOOKED_AT - 1, DICTS_LOOKED_AT, DICTS_LOOKED_AT + 1]
)
async def test_only_the_first_dicts_are_looked_at(
    caplog: pytest.LogCaptureFixture, before: int
) -> None:
    messages = await reported(caplog, endpoint_of(*[{"n": 1}] * before, {"data": 1}))
    assert len(messages) == (before < DICTS_LOOKED_AT)


async def test_the_dicts_of_all_streams_count(caplog: pytest.LogCaptureFixture) -> None:
    plain: list[Any] = [{"n": 1}] * (DICTS_LOOKED_AT // 2)
    visits = iter([plain, plain, [{"data": 1}]])

    async def events(_request: Request) -> AsyncIterator[Any]:
        for item in next(visits):
            yield item

    assert await reported(caplog, events) == []


@pytest.mark.parametrize(
    "declared",
    [
        str | dict[str, str],
        Annotated[dict[str, str], "documented"],
        MutableMapping[str, Any],
    ],
)
async def test_a_declared_dict_is_reported(caplog: pytest.LogCaptureFixture, declared: Any) -> None:
    messages = await reported(caplog, endpoint_of({"event": "a", "data": "x"}), item_type=declared)
    assert len(messages) == 1


async def test_a_declared_form_is_meant(caplog: pytest.LogCaptureFixture) -> None:
    async def events(_request: Request) -> AsyncIterator[Fields]:
        yield {"event": "a", "data": "x"}

    async def models(_request: Request) -> AsyncIterator[Reading]:
        yield {"data": 1}  # type: ignore[misc]

    assert await reported(caplog, events) == []
    assert await reported(caplog, models) == []


async def test_a_preset_says_what_becomes_of_dicts(caplog: pytest.LogCaptureFixture) -> None:
    item = {"event": "a", "data": "x", "type": "t"}
    assert await reported(caplog, endpoint_of(item), preset=presets.ANTHROPIC) == []


async def test_without_the_middleware_an_endpoint_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Starlette(routes=[Route("/", event_stream(endpoint_of({"data": 1})))])
    with caplog.at_level(logging.WARNING, "sse_middleware.items"):
        await bodies_of(app, 3)
    assert len(caplog.records) == 1


def a_function() -> Any:
    async def events(_request: Request) -> EventSourceResponse:
        return EventSourceResponse([{"data": 1}])

    return events


def a_class() -> Any:
    class Events(HTTPEndpoint):
        async def get(self, _request: Request) -> EventSourceResponse:
            return EventSourceResponse([{"data": 1}])

    return Events


def a_method() -> Any:
    class Owner:
        async def events(self, _request: Request) -> EventSourceResponse:
            return EventSourceResponse([{"data": 1}])

    return Owner().events


def a_partial() -> Any:
    return partial(a_function())


@pytest.mark.parametrize("make", [a_function, a_class, a_method, a_partial])
async def test_without_the_middleware_an_endpoint_that_returns_is_reported_once(
    caplog: pytest.LogCaptureFixture, make: Callable[[], Any]
) -> None:
    app = Starlette(routes=[Route("/", make())])
    with caplog.at_level(logging.WARNING, "sse_middleware.items"):
        await bodies_of(app, 3)
    assert len(caplog.records) == 1


async def test_without_an_endpoint_each_stream_is_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "sse_middleware.items"):
        await bodies_of(EventSourceResponse([{"data": 1}]), 2)
    assert len(caplog.records) == 2


class TestTheNameError:
    @pytest.mark.parametrize(
        "item",
        [
            ServerSentEvent(event="error", data=1),
            ServerSentEvent(event="an error".removeprefix("an "), data=1),  # another object
            ServerSentEvent(event="error", raw_data="1"),
            ServerSentEvent(data=Failure()),
            Failure(),
        ],
    )
    async def test_is_reported_once(self, caplog: pytest.LogCaptureFixture, item: Any) -> None:
        (message,) = await reported(caplog, endpoint_of(item, item))
        assert message.startswith(f"{__name__}.endpoint_of.<locals>.events sends an event named")
        assert "give the event another name" in message

    async def test_of_a_declared_type_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        async def events(_request: Request) -> AsyncIterator[ServerSentEvent[Failure]]:
            yield ServerSentEvent(data=Failure())

        (message,) = await reported(caplog, events)
        assert "sends an event named 'error'" in message

    async def test_of_an_error_event_is_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        async def events(_request: Request) -> AsyncIterator[int]:
            yield 1
            raise OopsError

        def error_event(_: Exception) -> ServerSentEvent:
            return ServerSentEvent(event="error", data="oops")

        app = Starlette(routes=[Route("/", event_stream(error_event=error_event)(events))])
        for _ in range(2):
            with pytest.raises(OopsError):
                await bodies_of(app)
        messages = [one.getMessage() for one in caplog.records if "named 'error'" in one.message]
        assert len(messages) == 1

    @pytest.mark.parametrize("name", [None, "", "Error", "errors", "failed", "gap"])
    async def test_alone_is_reported(
        self, caplog: pytest.LogCaptureFixture, name: str | None
    ) -> None:
        event = ServerSentEvent(event=name, data="error")
        assert await reported(caplog, endpoint_of(event)) == []

    async def test_is_fine_where_the_client_is_no_event_source(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        event = ServerSentEvent(event="error", data=1)
        assert await reported(caplog, endpoint_of(event), method="POST") == []
        assert await reported(caplog, endpoint_of(event), preset=presets.ANTHROPIC) == []
