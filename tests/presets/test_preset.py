"""`Preset`: what it may hold, and which settings it gives way to."""

from collections.abc import AsyncIterator
from dataclasses import FrozenInstanceError, replace
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import (
    ConfigurationError,
    EncodingError,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    presets,
)
from sse_middleware.presets import Preset
from sse_middleware.settings import StreamSettings
from tests.presets.items import endless, failing
from tests.served import OopsError, body_of, client_of, events_of

pytestmark = pytest.mark.anyio


def test_a_preset_is_frozen() -> None:
    given = {"x-a": "1"}
    preset = Preset(headers=given)
    given["x-b"] = "2"
    assert dict(preset.headers) == {"x-a": "1"}
    with pytest.raises(FrozenInstanceError):
        preset.last = None  # type: ignore[misc]
    assert replace(presets.AI_SDK, last=None).headers == presets.AI_SDK.headers


async def coroutine(*_: Any) -> None: ...


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to_event", 5),
        ("to_event", coroutine),
        ("first", "text"),
        ("first", coroutine),
        ("last", "[DONE]"),
        ("last", lambda: None),
        ("ping", 5),
        ("ping", "\ud800"),
        ("ping_blank_line", None),
        ("ping_blank_line", 0),
        ("error_event", 5),
        ("farewell", coroutine),
        ("headers", [("a", "b")]),
        ("headers", {"a": 5}),
        ("headers", {5: "a"}),
        ("headers", {"a b": "c"}),
        ("headers", {"a": "b\r\nc: d"}),
        ("headers", {"a": "\u20ac"}),
        ("headers", {"Content-Type": "text/plain"}),
        ("headers", {"connection": "keep-alive"}),
    ],
)
def test_an_invalid_field_is_refused_by_name(name: str, value: Any) -> None:
    options: Any = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        Preset(**options)


def test_a_name_is_not_a_preset() -> None:
    options: Any = {"preset": "openai"}
    with pytest.raises(ConfigurationError, match=r"presets.*got 'openai'"):
        StreamSettings(**options)


async def test_a_function_that_returns_something_else_is_refused() -> None:
    preset = Preset(to_event=str)  # type: ignore[arg-type, unused-ignore]
    with pytest.raises(EncodingError, match="to_event must return a ServerSentEvent, got '5'"):
        await body_of(EventSourceResponse([5], preset=preset))


async def test_a_function_makes_the_first_event_of_each_stream() -> None:
    numbers = iter("12")
    preset = Preset(first=lambda: ServerSentEvent(id=next(numbers)))
    for number in (b"1", b"2"):
        assert await body_of(EventSourceResponse([], preset=preset)) == b"id: %b\n\n" % number


async def test_a_first_event_that_fails_closes_the_generator() -> None:
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    def fail() -> ServerSentEvent:
        raise OopsError

    generator = items()
    with pytest.raises(OopsError):
        await body_of(EventSourceResponse(generator, preset=Preset(first=fail)))
    with pytest.raises(StopAsyncIteration):
        await anext(generator)
    assert not closed  # it never ran


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("where", ["middleware", "response"])
async def test_headers(method: str, where: str) -> None:
    preset = Preset(headers={"X-Protocol": "v1", "Cache-Control": "no-store", "x-own": "preset"})
    options: Any = {"preset": preset}
    response = EventSourceResponse(
        [], headers={"x-own": "mine"}, **(options if where == "response" else {})
    )
    app = SSEMiddleware(response, **(options if where == "middleware" else {}))
    async with client_of(app) as client:
        headers = (await client.http.request(method, "/")).headers
    assert headers["x-protocol"] == "v1"
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-own") == ["mine"]
    assert headers["x-accel-buffering"] == "no"


# What a preset and the settings both set

PING = ServerSentEvent(event="mine")


@pytest.mark.parametrize(
    ("outer", "inner", "ping"),
    [
        ({"preset": presets.ANTHROPIC}, {}, presets.ANTHROPIC.ping),
        ({"ping": "outer"}, {"preset": presets.ANTHROPIC}, presets.ANTHROPIC.ping),
        ({"ping": "outer"}, {"preset": presets.OPENAI}, "outer"),
        ({"preset": presets.ANTHROPIC}, {"ping": PING}, PING),
        ({"preset": presets.ANTHROPIC, "ping": "outer"}, {}, "outer"),
        ({"ping": "outer"}, {"preset": presets.ANTHROPIC, "ping": PING}, PING),
        ({"preset": presets.ANTHROPIC}, {"preset": None}, "ping"),
        ({"preset": presets.ANTHROPIC}, {"preset": presets.OPENAI}, "ping"),
        ({"ping": "outer"}, {"preset": None}, "outer"),
    ],
)
async def test_the_ping_that_is_set_last_is_sent(outer: Any, inner: Any, ping: Any) -> None:
    app = SSEMiddleware(EventSourceResponse([None], **inner), **outer)
    bare = {**outer, **inner}.get("preset") is presets.OPENAI
    expected = await body_of(EventSourceResponse([None], ping=ping, ping_blank_line=not bare))
    assert (await body_of(app)).removesuffix(b"data: [DONE]\n\n") == expected


@pytest.mark.parametrize("error_event", [None, lambda _: {"type": "mine"}])
async def test_the_setting_of_the_error_event_comes_first(error_event: Any) -> None:
    app = EventSourceResponse(
        failing({"type": "x"}), preset=presets.ANTHROPIC, error_event=error_event
    )
    async with events_of(app) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        mine = b'event: mine\ndata: {"type":"mine"}\n\n' if error_event else b""
        assert events.body == b'event: x\ndata: {"type":"x"}\n\n' + mine


async def test_the_setting_of_the_farewell_comes_first() -> None:
    app = EventSourceResponse(endless({}), preset=presets.OPENAI, farewell=None, idle_timeout=1)
    assert await body_of(app) == b"data: {}\n\n"


async def test_an_adopted_stream_has_the_ping_of_the_preset() -> None:
    async def legacy(_: Request) -> Response:
        async def frames() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            await anyio.sleep(20)
            yield b"data: 2\n\n"

        return StreamingResponse(frames(), media_type="text/event-stream")

    app = SSEMiddleware(Starlette(routes=[Route("/", legacy)]), preset=presets.ANTHROPIC)
    body = await body_of(app, headers={"accept": "text/event-stream"})
    assert body == b'data: 1\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: 2\n\n'
