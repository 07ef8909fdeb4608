"""What the client is told of each stream: its request, its silence, its last event and its gaps."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route

from sse_middleware import ConfigurationError, Hub, ServerSentEvent, SSEMiddleware, event_stream
from sse_middleware.cli.targets import streams_of_application
from sse_middleware.cli.typescript import typescript_of
from sse_middleware.hub.subscription import Subscription
from sse_middleware.presets import AI_SDK, HTMX, Preset
from tests.cli.shop import app as shop

REQUESTS = """\
export interface Requests {
  "/orders/{number}": {
    params: {
      number: number;
    };
    query: {
      since: string;
      kinds?: Array<string>;
    };
  };
  "POST /orders": {
    json: OrderInput;
  };
  "POST /chat": {
    json?: Question | null;
  };
  "POST /photos": {
    body: BodyInit;
  };
  "/rooms/{room}": {
    params: {
      room: string;
    };
  };
  "POST /answers/{key}": {
    params: {
      key: string;
    };
    json: Question;
  };
  "/inner/{tenant}/numbers": {
    params: {
      tenant: string | number | boolean;
    };
    query?: {
      limit?: number;
    };
  };
  "/plain/": {
    query?: StreamInit["query"];
  };
  "PUT /plain/{a}/{b}": {
    params: {
      a: string | number | boolean;
      b: string | number | boolean;
    };
    query?: StreamInit["query"];
    json?: unknown;
    body?: StreamInit["body"];
  };
}
"""


def test_the_requests_of_an_application() -> None:
    text = typescript_of(streams_of_application(shop))
    assert REQUESTS in text
    assert "interface OrderInput {\n  symbol: string;\n  shares?: number;\n" in text
    assert "interface Order {\n  symbol: string;\n  shares: number;\n" in text
    assert "interface Question {\n  said?: Array<SaidInput>;\n  then?: Question | null;\n" in text


def test_the_applications_own_document_is_not_made() -> None:
    streams_of_application(shop)
    assert shop.openapi_schema is None


class Leaf(BaseModel):
    value: int


class Pair(BaseModel):
    left: Leaf
    right: Leaf


class Other(BaseModel):
    leaf: Leaf
    text: str = ""


class Wrapped(BaseModel):
    other: Other


def test_a_model_that_events_and_requests_have_in_common_is_written_once() -> None:
    app = FastAPI()

    @app.post("/same")
    @event_stream
    async def same(pair: Pair, wrapped: Wrapped) -> AsyncIterator[Pair | Wrapped]:
        yield pair
        yield wrapped

    text = typescript_of(streams_of_application(app))
    assert text.count("interface Leaf {") == text.count("interface Pair {") == 1
    assert "LeafInput" not in text
    assert "PairInput" not in text
    # Wrapped refers to another model that isn't the same.
    assert "interface WrappedInput {\n  other: OtherInput;\n}" in text
    assert "interface OtherInput {\n  leaf: Leaf;\n  text?: string;\n}" in text


def test_a_route_that_the_document_does_not_show_is_open() -> None:
    app = FastAPI()

    @app.post("/hidden/{number}", include_in_schema=False)
    @event_stream
    async def hidden(number: int) -> AsyncIterator[int]:
        yield number

    [stream] = streams_of_application(app).values()
    assert stream.operation is None


def test_a_document_that_fails_is_an_error() -> None:
    app = FastAPI()
    app.get("/numbers")(event_stream(numbers))

    @app.get("/broken")
    async def broken(value: Any) -> Any:
        return value

    app.routes[-1].response_field = object()  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match="the OpenAPI document can't be made"):
        streams_of_application(app)


# Settings


async def numbers(_request: Any = None) -> AsyncIterator[int]:
    yield 1


def told(app: Any) -> dict[str, tuple[float | None, tuple[str, str] | None, bool]]:
    return {
        name: (one.idle_timeout, one.last, one.tells_gaps)
        for name, one in streams_of_application(app).items()
    }


def middleware(**options: Any) -> Middleware:
    return Middleware(SSEMiddleware, **options)


def test_the_settings_of_the_tag_are_over_those_of_the_middleware() -> None:
    class Endpoint(HTTPEndpoint):
        get = event_stream(numbers)
        post = event_stream(ping_interval=2, preset=AI_SDK)(numbers)

    routes = [
        Route("/default", event_stream(numbers)),
        Route("/own", event_stream(ping_interval=1)(numbers)),
        Route("/none", event_stream(ping_interval=None)(numbers)),
        Route("/class", Endpoint),
    ]
    expected = {
        "/default": (45, None, False),
        "/own": (3, None, False),
        "/none": (None, None, False),
        "/class": (45, None, False),
        "POST /class": (6, ("message", "[DONE]"), False),
    }
    assert told(Starlette(routes=routes)) == expected
    others = {
        "/default": (30, ("close", "close"), False),
        "/class": (30, ("close", "close"), False),
    }
    for app in (
        Starlette(routes=routes, middleware=[middleware(ping_interval=10, preset=HTMX)]),
        SSEMiddleware(Starlette(routes=routes), ping_interval=10, preset=HTMX),
    ):
        found = told(app)
        assert {name: found[name] for name in others} == others
        assert found["/own"][0] == 3


def test_the_innermost_middleware_decides() -> None:
    def inner(**options: Any) -> Starlette:
        routes = [Route("/", event_stream(numbers))]
        return Starlette(routes=routes, middleware=[middleware(**options)] if options else [])

    app = SSEMiddleware(
        Starlette(
            routes=[
                Mount("/plain", inner()),
                Mount("/own", inner(ping_interval=2)),
                Mount("/wrapped", SSEMiddleware(inner(ping_interval=4), ping_interval=3)),
                Mount("/around", SSEMiddleware(inner(), ping_interval=3)),
            ],
            middleware=[
                middleware(ping_interval=7),
                middleware(ping_interval=5),
                Middleware(CORSMiddleware),
            ],
        ),
        ping_interval=6,
    )
    assert {name: idle for name, (idle, _, _) in told(app).items()} == {
        "/plain/": 15,
        "/own/": 6,
        "/wrapped/": 12,
        "/around/": 9,
    }


def test_the_last_event_is_as_the_client_reads_it() -> None:
    def last_of(event: ServerSentEvent) -> Any:
        endpoint = event_stream(preset=Preset(last=event))(numbers)
        return told(Starlette(routes=[Route("/", endpoint)]))["/"][1]

    assert last_of(ServerSentEvent(data={"done": True}, event="end")) == ("end", '{"done":true}')
    assert last_of(ServerSentEvent(raw_data="bye")) == ("message", "bye")
    assert last_of(ServerSentEvent(id="1")) is None  # nothing that a client gets


# Gaps

hub = Hub()


async def subscribed(_request: Any) -> Subscription:
    return hub.subscribe("a")


def subscribed_later(_request: Any) -> Awaitable[Subscription] | None:
    return None


async def unknown(_request: Any) -> "Missing":  # type: ignore[name-defined] # noqa: F821 - so it is
    return hub.subscribe("a")


async def iterated(_request: Any) -> AsyncIterator[int]:
    return numbers()


@pytest.mark.parametrize(
    ("function", "without_hub", "with_hub"),
    [
        (subscribed, True, True),
        (subscribed_later, True, True),
        (unknown, False, True),
        (iterated, False, True),
        (numbers, False, False),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_only_what_may_return_a_subscription_tells_gaps(
    function: Any, without_hub: bool, with_hub: bool
) -> None:
    routes = [Route("/", event_stream(item_type=int)(function))]
    assert told(Starlette(routes=routes))["/"][2] is without_hub
    assert told(Starlette(routes=routes, middleware=[middleware(hub=hub)]))["/"][2] is with_hub
    outer = Starlette(routes=[Mount("/", SSEMiddleware(Starlette(routes=routes)))])
    assert told(SSEMiddleware(outer, hub=hub))["/"][2] is with_hub


def test_a_gap_is_an_event_of_the_stream() -> None:
    app = Starlette(routes=[Route("/", event_stream(item_type=int)(subscribed))])
    text = typescript_of(streams_of_application(app))
    assert '"/": {\n    message: number;\n    gap: Gap;\n  };' in text
    assert 'reason: "expired" | "lost" | "reset";' in text
