"""Events that a function changes, and events that an endpoint reads one by one."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import (
    EventSourceResponse,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    UpstreamError,
    event_stream,
    presets,
    relay,
)
from sse_middleware.errors import EncodingError
from tests.relaying.upstreams import Upstream, answer_of, answering
from tests.served import OopsError, body_of, call, client_of, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

STREAM = (
    b": hi\n\nid:1\r\nevent:a\r\ndata:1\r\ndata\r\n\r\nid: 2\n\nretry: 5\n\ndata: x\nfoo\n\n: bye\n"
)


def unchanged(event: ServerSentEvent) -> ServerSentEvent:
    return event


async def unchanged_later(event: ServerSentEvent) -> ServerSentEvent:
    await checkpoint()
    return event


@pytest.mark.parametrize("function", [unchanged, unchanged_later])
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_event_that_is_returned_passes_byte_for_byte(function: Any, size: int) -> None:
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert await body_of(EventSourceResponse(relay(answering(*chunks), map=function))) == STREAM


async def test_a_function_gets_each_event_with_its_fields() -> None:
    found: list[ServerSentEvent] = []
    body = (
        b"id: 1\nevent: a\nretry: 7\nretry: x\n: c\ndata: 1\n\nid: 1\ndata\n\ndata: y\n\n"
        b"id: 2\n\ndata: z\n\nid\ndata: 0\n\nid: a\0b\ndata: 1\n\n"
    )
    await body_of(EventSourceResponse(relay(answering(body), map=found.append)))
    assert found == [
        ServerSentEvent(raw_data="1", event="a", id="1", retry=7),
        ServerSentEvent(raw_data="", id="1"),
        ServerSentEvent(raw_data="y"),
        ServerSentEvent(raw_data="z", id="2"),
        ServerSentEvent(raw_data="0", id=""),
        ServerSentEvent(raw_data="1"),
    ]


class Named(SSEModel, event="named"):
    text: str


async def test_what_a_function_returns_is_sent_as_an_endpoint_sends_it() -> None:
    answers: dict[str, Any] = {
        "drop": None,
        "data": {"a": 1},
        "text": "x",
        "event": ServerSentEvent(raw_data="y", event="e"),
        "model": Named(text="z"),
    }
    body = b"".join(b"id: 1\ndata: %b\n\n" % name.encode() for name in answers)
    response = EventSourceResponse(
        relay(answering(body), map=lambda event: answers[event.raw_data or ""])
    )
    assert await body_of(response) == (
        b'data: {"a":1}\n\ndata: "x"\n\nevent: e\ndata: y\n\nevent: named\ndata: {"text":"z"}\n\n'
    )


async def test_a_changed_copy_keeps_the_other_fields() -> None:
    def shout(event: ServerSentEvent) -> ServerSentEvent:
        return event.model_copy(update={"raw_data": str(event.raw_data).upper()})

    body = b"id: 1\nevent: e\ndata: a\n\ndata: b\n\n"
    response = EventSourceResponse(relay(answering(body), map=shout))
    assert await body_of(response) == b"event: e\ndata: A\nid: 1\n\ndata: B\n\n"


DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("options", "settings", "body"),
    [
        ({}, {"preset": presets.OPENAI}, b'data: {"n":2}\n\n' + DONE),
        ({"end": "[DONE]"}, {}, b'data: {"n":2}\n\n' + DONE),
        ({"end": "[DONE]"}, {"preset": presets.AI_SDK}, b'data: {"n":2}\n\n' + DONE),
        (
            {"end": "[DONE]"},
            {"preset": presets.ANTHROPIC},
            b'event: n\ndata: {"n":2,"type":"n"}\n\n',
        ),
    ],
)
async def test_the_last_event_is_not_changed_and_a_preset_has_its_own(
    options: Any, settings: Any, body: bytes
) -> None:
    def doubled(event: ServerSentEvent) -> dict[str, Any]:
        item = {"n": event.json()["n"] * 2}
        return {**item, "type": "n"} if settings.get("preset") is presets.ANTHROPIC else item

    upstream = answering(b'data: {"n":1}\n\n', DONE)
    answer = await answer_of(
        EventSourceResponse(relay(upstream, map=doubled, **options), **settings)
    )
    assert (answer.body, answer.complete) == (body, True)


async def test_a_mapped_stream_that_breaks_is_no_complete_one() -> None:
    upstream = answering(b'data: {"n":1}\n\n')
    response = EventSourceResponse(relay(upstream, map=unchanged), preset=presets.OPENAI)
    answer = await answer_of(response)
    assert answer.body.startswith(b'data: {"n":1}\n\ndata: {"error"')
    assert not answer.complete
    assert isinstance(answer.error, UpstreamError)


async def test_an_error_of_the_function_is_the_applications_own() -> None:
    def fail(event: ServerSentEvent) -> ServerSentEvent:
        if event.raw_data == "2":
            raise OopsError
        return event

    upstream = Upstream(b"data: 1\n\n", b"data: 2\n\ndata: 3\n\n", ends=False)
    response = EventSourceResponse(
        relay(upstream.response(), map=fail), error_event=lambda error: type(error).__name__
    )
    answer = await answer_of(response)
    assert answer.body == b'data: 1\n\ndata: "OopsError"\n\n'
    assert isinstance(answer.error, OopsError)
    assert upstream.closed.is_set()


async def test_what_can_not_be_sent_names_the_endpoint() -> None:
    async def endpoint(_request: Request) -> Any:
        return relay(answering(b"data: 1\n\n"), map=lambda _: object())

    app = Starlette(routes=[Route("/", event_stream(endpoint))])
    with pytest.raises(EncodingError, match=r"endpoint gave an item of type object"):
        await body_of(app)


async def test_a_name_that_can_not_be_sent_on_breaks_the_stream() -> None:
    upstream = answering(b"event: a\0b\ndata: 1\n\n")
    answer = await answer_of(EventSourceResponse(relay(upstream, map=unchanged)))
    assert "sent an event with a wrong name" in answer.reason


async def soon() -> None:
    """Return after some passes of the event loop. Time stands still while it is busy."""
    for _ in range(10):
        await checkpoint()


async def test_events_that_are_left_out_let_others_run() -> None:
    class Endless:
        def __aiter__(self) -> "Endless":
            return self

        async def __anext__(self) -> bytes:
            return b"data: 1\n\n"

    response = EventSourceResponse(relay(Endless(), map=lambda _: None))
    with anyio.fail_after(5):
        await call(response, leave=soon)


async def test_a_chunk_that_completes_nothing_lets_others_run() -> None:
    class Endless:
        def __aiter__(self) -> "Endless":
            return self

        async def __anext__(self) -> bytes:
            return b""

    for relayed in (relay(Endless()), aiter(relay(Endless()))):
        with anyio.fail_after(5):
            await call(EventSourceResponse(relayed), leave=soon)


async def test_a_slow_client_stops_a_mapped_stream_within_a_chunk() -> None:
    mapped = []

    def note(event: ServerSentEvent) -> ServerSentEvent:
        mapped.append(event)
        return event

    upstream = answering(b"data: %b\n\n" % (b"x" * 1000) * 50)
    response = EventSourceResponse(relay(upstream, map=note), max_buffer=5000)

    async def send(message: Any) -> None:
        if message["type"] != "http.response.start":
            await anyio.sleep(10)

    with anyio.fail_after(100):
        await call(response, leave=lambda: anyio.sleep(15), send=send)
    assert 5 <= len(mapped) <= 20


async def test_an_id_of_a_mapped_stream_ends_the_blank_lines_after_keep_alives() -> None:
    def with_id(event: ServerSentEvent) -> ServerSentEvent:
        return event.model_copy(update={"id": "7"})

    upstream = Upstream(16, b"data: 1\n\n", 16)
    response = EventSourceResponse(relay(upstream.response(), map=with_id))
    assert await body_of(response) == b": ping\n\ndata: 1\nid: 7\n\n: ping\n"


async def test_an_endpoint_may_read_the_events_one_by_one() -> None:
    upstream = Upstream(b"id: 1\ndata: 1\n\n: c\n\nda", b"ta: 2\n\ndata: [DONE]\n\n")

    async def endpoint(_request: Request) -> AsyncIterator[Any]:
        yield "first"
        async for event in relay(upstream.response(), end="[DONE]"):
            yield event
        yield "last"

    app = Starlette(routes=[Route("/", event_stream(preset=presets.OPENAI)(endpoint))])
    app.add_middleware(SSEMiddleware)
    assert await body_of(app) == (
        b'data: "first"\n\ndata: 1\nid: 1\n\ndata: 2\n\ndata: "last"\n\ndata: [DONE]\n\n'
    )
    assert upstream.closed.is_set()


async def test_an_endpoint_may_read_what_a_function_makes_of_the_events() -> None:
    async def number(event: ServerSentEvent) -> int | None:
        await checkpoint()
        return None if event.raw_data == "2" else int(event.json())

    upstream = Upstream(b"data: 1\n\ndata: 2\n\ndata: 3\n\n")
    assert [item async for item in relay(upstream.response(), map=number)] == [1, 3]
    assert upstream.closed.is_set()


async def test_an_endpoint_that_reads_a_broken_upstream_gets_the_error() -> None:
    upstream = Upstream(b"data: 1\n\ndata: 2\n\nda")
    events = aiter(relay(upstream.response()))
    assert [(await anext(events)).raw_data for _ in range(2)] == ["1", "2"]
    with pytest.raises(UpstreamError, match="in the middle of an event"):
        await anext(events)
    assert upstream.closed.is_set()


async def test_an_endpoint_that_is_cancelled_closes_its_upstream() -> None:
    upstream = Upstream(b"data: 1\n\n", ends=False)

    async def endpoint(_request: Request) -> AsyncIterator[Any]:
        async for event in relay(upstream.response()):
            yield event

    app = Starlette(routes=[Route("/", event_stream(endpoint))])
    async with events_of(app) as events:
        assert (await events.next()).raw_data == "1"
    assert upstream.closed.is_set()


async def test_the_compatible_response_reads_the_events() -> None:
    from sse_middleware.compat.sse_starlette import (  # noqa: PLC0415 - only here
        EventSourceResponse as CompatibleResponse,
    )

    upstream = Upstream(b"data: 1\n\n")
    async with client_of(CompatibleResponse(relay(upstream.response()))) as client:
        assert (await client.http.get("/")).text == "data: 1\n\n"
    assert upstream.closed.is_set()
