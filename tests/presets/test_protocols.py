"""What presets put on the wire, to the byte, however a stream ends."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import anyio
import httpx
import pytest
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    ConfigurationError,
    EncodingError,
    EventSourceResponse,
    FieldError,
    ServerSentEvent,
    SSEMiddleware,
    accepts_events,
    event_stream,
    presets,
)
from sse_middleware.presets import Preset
from sse_middleware.presets.datastar import patch_elements, patch_signals
from sse_middleware.settings import StreamSettings
from tests.served import Ends, OopsError, body_of, chunks_of, client_of, events_of

pytestmark = pytest.mark.anyio

FAILED = b"The server failed to complete the response."
STOPPING = b"The server is stopping. Try again."
OVERDUE = b"The response took too long."


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
        overdue: bytes = b"",
    ) -> None:
        self.preset, self.item, self.frame, self.last = preset, item, frame, last
        self.ping, self.failed, self.drained, self.overdue = ping, failed, drained, overdue


CASES = {
    "openai": Case(
        presets.OPENAI,
        {"choices": []},
        b'data: {"choices":[]}\n\n',
        last=b"data: [DONE]\n\n",
        failed=openai_error(FAILED),
        drained=openai_error(STOPPING),
        overdue=openai_error(OVERDUE),
    ),
    "anthropic": Case(
        presets.ANTHROPIC,
        {"type": "message_stop"},
        b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        ping=b'event: ping\ndata: {"type": "ping"}\n\n',
        failed=anthropic_error(b"api_error", FAILED),
        drained=anthropic_error(b"overloaded_error", STOPPING),
        overdue=anthropic_error(b"api_error", OVERDUE),
    ),
    "ai-sdk": Case(
        presets.AI_SDK,
        {"type": "start"},
        b'data: {"type":"start"}\n\n',
        last=b"data: [DONE]\n\n",
        failed=ai_sdk_error(FAILED),
        drained=ai_sdk_error(STOPPING),
        overdue=ai_sdk_error(OVERDUE),
    ),
    "mcp": Case(
        presets.mcp("1"),
        {"jsonrpc": "2.0", "id": "1", "result": {}},
        b'data: {"jsonrpc":"2.0","id":"1","result":{}}\n\n',
        failed=b'data: {"jsonrpc":"2.0","id":"1","error":{"code":-32603,"message":"%b"}}\n\n'
        % FAILED,
        overdue=b"retry: ",
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


def answer(items: Any, **settings: Any) -> EventSourceResponse:
    return EventSourceResponse(items, **settings)


async def only(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def endless(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item
    await anyio.sleep_forever()


async def failing(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item
    raise OopsError


@each_case
async def test_a_stream_that_ends_by_itself(case: Case) -> None:
    body = await body_of(answer(only(case.item, case.item), preset=case.preset))
    assert body == 2 * case.frame + case.last


@each_case
async def test_a_plain_generator_has_the_same_frames(case: Case) -> None:
    def items() -> Iterator[Any]:
        yield case.item
        yield case.item

    body = await body_of(answer(items(), preset=case.preset))
    assert body == 2 * case.frame + case.last


@each_case
async def test_silence(case: Case) -> None:
    async with events_of(answer(endless(case.item), preset=case.preset)) as events:
        await events.next()
        await anyio.sleep(15.1)
        assert events.body == case.frame + case.ping


@each_case
async def test_a_tick_is_the_keep_alive(case: Case) -> None:
    body = await body_of(answer(only(None), preset=case.preset))
    assert body == case.ping + case.last


@each_case
async def test_a_stream_that_fails(case: Case) -> None:
    async with events_of(answer(failing(case.item), preset=case.preset)) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        assert events.body == case.frame + case.failed


@each_case
async def test_what_fails_before_the_first_item_is_a_status(case: Case) -> None:
    app = Starlette(routes=[Route("/", event_stream(preset=case.preset)(failing))])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/")).status_code == 500


@each_case
async def test_a_drain_is_no_success(case: Case) -> None:
    middleware = SSEMiddleware(answer(endless(case.item), preset=case.preset))
    async with events_of(middleware) as events, anyio.create_task_group() as tasks:
        await events.next()
        tasks.start_soon(middleware.drain)
        async for _ in events:
            pass
        check_end(events.body, case, case.drained)


@each_case
async def test_a_limit_is_no_success(case: Case) -> None:
    app = answer(endless(case.item), preset=case.preset, idle_timeout=5)
    async with events_of(app) as events:
        async for _ in events:
            pass
        check_end(events.body, case, case.overdue)


def check_end(body: bytes, case: Case, end: bytes | None) -> None:
    rest = body.removeprefix(case.frame)
    if end is None or end == b"retry: ":
        assert rest.startswith(b"retry: ")
        assert 1000 <= int(rest.removeprefix(b"retry: ")) <= 4000
    else:
        assert rest == end


async def test_who_leaves_is_told_nothing() -> None:
    ends = Ends()
    response = answer(endless({}), preset=presets.OPENAI)
    app = SSEMiddleware(response, observers=[ends])
    async with events_of(app) as events:
        await events.next()
        await events.disconnect()
        assert events.body == b"data: {}\n\n"
    assert await ends.until() == [CloseReason.CLIENT_DISCONNECTED]


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
async def test_items(preset: Preset, item: Any, frame: bytes) -> None:
    body = await body_of(answer([item], preset=replace(preset, last=None)))
    assert body == frame


async def test_an_item_type_comes_first() -> None:
    async def items(_: Request) -> AsyncIterator[Delta]:
        yield {"type": "delta", "theText": "a", "secret": 1}  # type: ignore[misc]

    app = Starlette(routes=[Route("/", event_stream(preset=presets.ANTHROPIC)(items))])
    assert await body_of(app) == b'event: delta\ndata: {"type":"delta","theText":"a"}\n\n'


async def test_a_serializer_writes_the_data() -> None:
    settings: Any = {"preset": presets.ANTHROPIC, "serializer": repr}
    body = await body_of(answer([{"type": "x"}], **settings))
    assert body == b"event: x\ndata: {'type': 'x'}\n\n"


@pytest.mark.parametrize(
    ("preset", "item", "message"),
    [
        (presets.ANTHROPIC, {"no": "type"}, "its type must be a string"),
        (presets.ANTHROPIC, {"type": "two\nlines"}, "single line"),
        (presets.ANTHROPIC, 5, "its type must be a string"),
        (presets.DATASTAR, [1], "signals must be an object in JSON, got \\[1\\]"),
        (presets.DATASTAR, "", "elements must be HTML or be left to a selector, got ''"),
        (Preset(to_event=str), 5, "to_event must return a ServerSentEvent, got '5'"),  # type: ignore[arg-type, unused-ignore]
    ],
)
async def test_what_is_no_item_of_the_protocol(preset: Preset, item: Any, message: str) -> None:
    with pytest.raises(EncodingError, match=message):
        await body_of(answer([item], preset=preset))


async def test_the_size_of_what_a_preset_makes_is_bounded() -> None:
    settings: Any = {"preset": presets.HTMX, "max_event_size": 30}
    assert (
        await body_of(answer(["<b>"], **settings)) == b"data: <b>\n\nevent: close\ndata: close\n\n"
    )
    with pytest.raises(EncodingError, match="max_event_size"):
        await body_of(answer(["<b>" * 10], **settings))


# How a stream begins


async def test_a_first_event_does_not_wait_for_an_item() -> None:
    preset = presets.mcp(7, cursor="s/0", retry=500)
    async with chunks_of(answer(endless(), preset=preset)) as chunks:
        assert await anext(chunks) == b"data: \nid: s/0\nretry: 500\n\n"


async def test_what_fails_behind_a_first_event_is_an_error_event() -> None:
    preset = presets.mcp(7, cursor="s/0")
    async with events_of(answer(failing(), preset=preset)) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        error = b'{"code":-32603,"message":"%b"}' % FAILED
        answered = b'data: {"jsonrpc":"2.0","id":7,"error":%b}\n\n' % error
        assert events.body == b"data: \nid: s/0\n\n" + answered


async def test_a_function_makes_the_first_event_of_each_stream() -> None:
    numbers = iter("12")
    preset = Preset(first=lambda: ServerSentEvent(id=next(numbers)))
    for number in (b"1", b"2"):
        assert await body_of(answer([], preset=preset)) == b"id: %b\n\n" % number


async def test_a_first_event_that_fails_closes_the_source() -> None:
    closed = []

    async def items() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            closed.append(True)

    def fail() -> ServerSentEvent:
        raise OopsError

    source = items()
    with pytest.raises(OopsError):
        await body_of(answer(source, preset=Preset(first=fail)))
    with pytest.raises(StopAsyncIteration):
        await anext(source)
    assert not closed  # it was never entered


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("where", ["middleware", "response"])
async def test_headers(method: str, where: str) -> None:
    preset = Preset(headers={"X-Protocol": "v1", "Cache-Control": "no-store", "x-own": "preset"})
    options: Any = {"preset": preset}
    response = answer([], headers={"x-own": "mine"}, **(options if where == "response" else {}))
    app = SSEMiddleware(response, **(options if where == "middleware" else {}))
    async with client_of(app) as client:
        headers = (await client.http.request(method, "/")).headers
    assert headers["x-protocol"] == "v1"
    assert headers.get_list("cache-control") == ["no-store"]
    assert headers.get_list("x-own") == ["mine"]
    assert headers["x-accel-buffering"] == "no"


async def test_the_ai_sdk_knows_its_streams_by_a_header() -> None:
    async with client_of(answer([], preset=presets.AI_SDK)) as client:
        response = await client.http.get("/")
    assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"


# Whose word counts


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
async def test_whose_ping_is_sent(outer: Any, inner: Any, ping: Any) -> None:
    app = SSEMiddleware(answer([None], **inner), **outer)
    expected = await body_of(answer([None], ping=ping))
    assert (await body_of(app)).removesuffix(b"data: [DONE]\n\n") == expected


@pytest.mark.parametrize("said", [None, lambda _: {"type": "mine"}])
async def test_an_error_event_of_ones_own(said: Any) -> None:
    app = answer(failing({"type": "x"}), preset=presets.ANTHROPIC, error_event=said)
    async with events_of(app) as events:
        with pytest.raises(OopsError):
            async for _ in events:
                pass
        mine = b'event: mine\ndata: {"type":"mine"}\n\n' if said else b""
        assert events.body == b'event: x\ndata: {"type":"x"}\n\n' + mine


async def test_a_farewell_of_ones_own() -> None:
    app = answer(endless({}), preset=presets.OPENAI, farewell=None, idle_timeout=1)
    assert await body_of(app) == b"data: {}\n\n"


async def test_a_stream_that_is_adopted_has_what_is_said_of_its_own_accord() -> None:
    async def legacy(_: Request) -> Response:
        async def frames() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            await anyio.sleep(20)
            yield b"data: 2\n\n"

        return StreamingResponse(frames(), media_type="text/event-stream")

    app = SSEMiddleware(Starlette(routes=[Route("/", legacy)]), preset=presets.ANTHROPIC)
    body = await body_of(app, headers={"accept": "text/event-stream"})
    assert body == b'data: 1\n\nevent: ping\ndata: {"type": "ping"}\n\ndata: 2\n\n'


# A preset of one's own


def test_a_preset_never_changes() -> None:
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
def test_what_can_not_work_is_refused(name: str, value: Any) -> None:
    options: Any = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be"):
        Preset(**options)


def test_a_preset_is_no_name() -> None:
    options: Any = {"preset": "openai"}
    with pytest.raises(ConfigurationError, match=r"presets.*got 'openai'"):
        StreamSettings(**options)


# Datastar


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (patch_elements("<p>\r\n1\r2"), "elements <p>\nelements 1\nelements 2"),
        (patch_elements(selector="#a", mode="remove"), "mode remove\nselector #a"),
        (
            patch_elements("<a/>", mode="inner", use_view_transition=True, namespace="svg"),
            "mode inner\nuseViewTransition true\nnamespace svg\nelements <a/>",
        ),
        (patch_elements("<p>a\u2028b"), "elements <p>a\u2028b"),
        (patch_signals({"a": None}), 'signals {"a":null}'),
        (patch_signals({}, only_if_missing=True), "onlyIfMissing true\nsignals {}"),
    ],
)
def test_patches(event: ServerSentEvent, data: str) -> None:
    assert event.raw_data == data
    assert event.id is None
    assert patch_signals({}, id="1").id == patch_elements("a", id="1").id == "1"


@pytest.mark.parametrize(
    "options",
    [{"elements": 5}, {}, {"elements": "a", "mode": "morph"}, {"elements": "a", "namespace": "x"}],
)
def test_patches_that_datastar_does_not_know(options: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        patch_elements(**options)


def test_a_selector_of_two_lines() -> None:
    with pytest.raises(FieldError, match="selector"):
        patch_elements("a", selector="#a\nelements <script>")


# JSON or events


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
async def test_an_endpoint_answers_by_what_its_client_takes(
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
