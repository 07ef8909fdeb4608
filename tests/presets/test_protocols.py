"""The bytes that the preset of each protocol sends, whatever ends a stream."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    EncodingError,
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    accepts_events,
    event_stream,
    presets,
)
from sse_middleware.presets import Preset
from tests.presets.items import endless, failing, finite, finite_sync
from tests.served import OopsError, body_of, chunks_of, client_of, events_of, observed

pytestmark = pytest.mark.anyio

FAILED = b"The server failed to complete the response."
STOPPING = b"The server is stopping. Try again."
TIMED_OUT = b"The response took too long."


def openai_error(message: bytes) -> bytes:
    return (
        b'data: {"error":{"message":"%b","type":"server_error","param":null,"code":null}}\n\n'
        % message
    )


def anthropic_error(type_: bytes, message: bytes) -> bytes:
    error = b'{"type":"error","error":{"type":"%b","message":"%b"}}' % (type_, message)
    return b"event: error\ndata: %b\n\n" % error


def ai_sdk_error(message: bytes) -> bytes:
    return b'data: {"type":"error","errorText":"%b"}\n\n' % message


class Case:
    """What a preset makes of a stream of one item."""

    def __init__(
        self,
        preset: Preset,
        item: Any,
        frame: bytes,
        last: bytes = b"",
        ping: bytes = b": ping\n\n",
        failed: bytes = b"",
        drained: bytes | None = None,
        timed_out: bytes = b"",
    ) -> None:
        self.preset, self.item, self.frame, self.last = preset, item, frame, last
        self.ping, self.failed, self.drained, self.timed_out = ping, failed, drained, timed_out


CASES = {
    "openai": Case(
        presets.OPENAI,
        {"choices": []},
        b'data: {"choices":[]}\n\n',
        last=b"data: [DONE]\n\n",
        ping=b": ping\n",
        failed=openai_error(FAILED),
        drained=openai_error(STOPPING),
        timed_out=openai_error(TIMED_OUT),
    ),
    "anthropic": Case(
        presets.ANTHROPIC,
        {"type": "message_stop"},
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ping=b'event: ping\ndata: {"type": "ping"}\n\n',
        failed=anthropic_error(b"api_error", FAILED),
        drained=anthropic_error(b"overloaded_error", STOPPING),
        timed_out=anthropic_error(b"api_error", TIMED_OUT),
    ),
    "ai-sdk": Case(
        presets.AI_SDK,
        {"type": "start"},
        b'data: {"type":"start"}\n\n',
        last=b"data: [DONE]\n\n",
        failed=ai_sdk_error(FAILED),
        drained=ai_sdk_error(STOPPING),
        timed_out=ai_sdk_error(TIMED_OUT),
    ),
    "mcp": Case(
        presets.mcp("1"),
        {"jsonrpc": "2.0", "id": "1", "result": {}},
        b'data: {"jsonrpc":"2.0","id":"1","result":{}}\n\n',
        failed=b'data: {"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"%b"}}\n\n'
        % FAILED,
        timed_out=b"retry: ",
    ),
    "htmx": Case(
        presets.HTMX,
        "<li>\n1</li>",
        b"data: <li>\ndata: 1</li>\n\n",
        last=b"event: close\ndata: close\n\n",
    ),
    "datastar": Case(
        presets.DATASTAR,
        '<p id="a">\n1</p>',
        b'event: datastar-patch-elements\ndata: elements <p id="a">\ndata: elements 1</p>\n\n',
    ),
}

each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@each_case
@pytest.mark.parametrize("make", [finite, finite_sync], ids=["async", "sync"])
async def test_a_stream_that_ends_by_itself(case: Case, make: Any) -> None:
    body = await body_of(EventSourceResponse(make(case.item, case.item), preset=case.preset))
    assert body == 2 * case.frame + case.last


@each_case
async def test_a_silent_stream(case: Case) -> None:
    async with events_of(EventSourceResponse(endless(case.item), preset=case.preset)) as events:
        await events.next()
        await anyio.sleep(15.1)
        assert events.body == case.frame + case.ping


@each_case
async def test_a_yielded_none_is_the_keep_alive(case: Case) -> None:
    body = await body_of(EventSourceResponse(finite(None), preset=case.preset))
    assert body == case.ping + case.last


@each_case
async def test_a_stream_that_fails(case: Case) -> None:
    async with events_of(EventSourceResponse(failing(case.item), preset=case.preset)) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        assert events.body == case.frame + case.failed


@each_case
async def test_a_stream_that_fails_before_its_first_item_is_a_status(case: Case) -> None:
    app = Starlette(routes=[Route("/", event_stream(preset=case.preset)(failing))])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/")).status_code == 500


@each_case
async def test_a_stream_that_is_drained(case: Case) -> None:
    middleware = SSEMiddleware(EventSourceResponse(endless(case.item), preset=case.preset))
    async with events_of(middleware) as events, anyio.create_task_group() as tasks:
        await events.next()
        tasks.start_soon(middleware.drain)
        async for _ in events:
            pass
        check_end(events.body, case, case.drained)


@each_case
async def test_a_stream_that_reaches_a_limit(case: Case) -> None:
    app = EventSourceResponse(endless(case.item), preset=case.preset, idle_timeout=5)
    async with events_of(app) as events:
        async for _ in events:
            pass
        check_end(events.body, case, case.timed_out)


def check_end(body: bytes, case: Case, end: bytes | None) -> None:
    rest = body.removeprefix(case.frame)
    if end is None or end == b"retry: ":
        assert rest.startswith(b"retry: ")
        assert 1000 <= int(rest.removeprefix(b"retry: ")) <= 4000
    else:
        assert rest == end


async def test_a_client_that_leaves_gets_no_farewell() -> None:
    app, closed_streams = observed(EventSourceResponse(endless({}), preset=presets.OPENAI))
    async with events_of(app) as events:
        await events.next()
        await events.disconnect()
        assert events.body == b"data: {}\n\n"
    assert await closed_streams.wait_for(1) == [CloseReason.CLIENT_DISCONNECTED]


# Items


class Delta(BaseModel):
    type: str = "delta"
    text: str = Field(alias="theText")


class Markup:
    def __html__(self) -> str:
        return "<b>bold</b>"


@pytest.mark.parametrize(
    ("preset", "item", "frame"),
    [
        (
            presets.ANTHROPIC,
            Delta(theText="a"),
            b'event: delta\ndata: {"type":"delta","theText":"a"}\n\n',
        ),
        (
            presets.ANTHROPIC,
            OrderedDict(type="x"),
            b'event: x\ndata: {"type":"x"}\n\n',
        ),
        (presets.ANTHROPIC, ServerSentEvent(data=1, id="1"), b"data: 1\nid: 1\n\n"),
        (presets.HTMX, Markup(), b"data: <b>bold</b>\n\n"),
        (presets.HTMX, {"a": 1}, b'data: {"a":1}\n\n'),
        (
            presets.HTMX,
            ServerSentEvent(event="news", raw_data="<b>"),
            b"event: news\ndata: <b>\n\n",
        ),
        (
            presets.DATASTAR,
            Markup(),
            b"event: datastar-patch-elements\ndata: elements <b>bold</b>\n\n",
        ),
        (
            presets.DATASTAR,
            {"a": 1},
            b'event: datastar-patch-signals\ndata: signals {"a":1}\n\n',
        ),
        (
            presets.DATASTAR,
            Delta(theText="a"),
            b'event: datastar-patch-signals\ndata: signals {"type":"delta","theText":"a"}\n\n',
        ),
        (presets.OPENAI, "[DONE]", b'data: "[DONE]"\n\n'),
    ],
)
async def test_an_item_becomes_an_event(preset: Preset, item: Any, frame: bytes) -> None:
    body = await body_of(EventSourceResponse([item], preset=replace(preset, last=None)))
    assert body == frame


async def test_an_item_type_is_applied_first() -> None:
    async def items(_: Request) -> AsyncIterator[Delta]:
        yield {"type": "delta", "theText": "a", "secret": 1}  # type: ignore[misc]

    app = Starlette(routes=[Route("/", event_stream(preset=presets.ANTHROPIC)(items))])
    assert await body_of(app) == b'event: delta\ndata: {"type":"delta","theText":"a"}\n\n'


async def test_a_serializer_writes_the_data() -> None:
    settings: Any = {"preset": presets.ANTHROPIC, "serializer": repr}
    body = await body_of(EventSourceResponse([{"type": "x"}], **settings))
    assert body == b"event: x\ndata: {'type': 'x'}\n\n"


@pytest.mark.parametrize(
    ("preset", "item", "message"),
    [
        (presets.ANTHROPIC, {"no": "type"}, "its type must be a string"),
        (presets.ANTHROPIC, {"type": "two\nlines"}, "single line"),
        (presets.ANTHROPIC, 5, "its type must be a string"),
        (presets.DATASTAR, [1], "signals must be a JSON object, got \\[1\\]"),
        (presets.DATASTAR, "", "elements must be HTML, or be empty with a selector, got ''"),
    ],
)
async def test_an_item_outside_of_the_protocol_is_refused(
    preset: Preset, item: Any, message: str
) -> None:
    with pytest.raises(EncodingError, match=message):
        await body_of(EventSourceResponse([item], preset=preset))


async def test_the_events_of_a_preset_have_a_bound_too() -> None:
    settings: Any = {"preset": presets.HTMX, "max_event_size": 30}
    assert (
        await body_of(EventSourceResponse(["<b>"], **settings))
        == b"data: <b>\n\nevent: close\ndata: close\n\n"
    )
    with pytest.raises(EncodingError, match="max_event_size"):
        await body_of(EventSourceResponse(["<b>" * 10], **settings))


# The first event


async def test_a_first_event_does_not_wait_for_an_item() -> None:
    preset = presets.mcp(7, cursor="s/0", retry=500)
    async with chunks_of(EventSourceResponse(endless(), preset=preset)) as chunks:
        assert await anext(chunks) == b"data: \nid: s/0\nretry: 500\n\n"


async def test_a_failure_after_a_first_event_is_an_error_event() -> None:
    preset = presets.mcp(7, cursor="s/0")
    async with events_of(EventSourceResponse(failing(), preset=preset)) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        error = b'{"code":-32603,"message":"%b"}' % FAILED
        answered = b'data: {"jsonrpc":"2.0","id":7,"error":%b}\n\n' % error
        assert events.body == b"data: \nid: s/0\n\n" + answered


async def test_the_ai_sdk_gets_its_header() -> None:
    async with client_of(EventSourceResponse([], preset=presets.AI_SDK)) as client:
        response = await client.http.get("/")
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"


# Endpoints that answer with JSON or events


@pytest.mark.parametrize(
    ("accept", "events"),
    [
        (None, True),
        ("*/*", True),
        ("text/*", True),
        ("application/json, text/event-stream", True),
        ("application/json", False),
        ("text/event-stream;q=0", False),
        ("", False),
    ],
)
async def test_an_endpoint_may_follow_what_its_client_accepts(
    accept: str | None, events: bool
) -> None:
    @event_stream(preset=presets.mcp(1))
    async def answers(request: Request) -> Any:
        if not accepts_events(request.headers.get("accept")):
            return JSONResponse({"id": 1})
        return [{"id": 1}]

    assert accepts_events(accept) is events
    if accept is not None:
        app = Starlette(routes=[Route("/", answers, methods=["POST"])])
        body = await body_of(app, "POST", headers={"accept": accept})
        assert body == (b'data: {"id":1}\n\n' if events else b'{"id":1}')
