"""A broken upstream never looks like a complete one, wherever it breaks."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sse_middleware import EventSourceResponse, ServerSentEvent, UpstreamError, presets, relay
from sse_middleware.errors import BodyError, ConfigurationError
from sse_middleware.relaying.whole_events import WholeEvents
from tests.relaying.upstreams import Upstream, answer_of, answering
from tests.served import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

FAILED = b'data: {"failed":true}\n\n'


def failed(error: Exception) -> dict[str, bool]:
    assert isinstance(error, UpstreamError)
    return {"failed": True}


def whole(body: bytes) -> tuple[bytes, bool]:
    """Return the whole events of a stream, and whether it ends between two of them."""
    events = WholeEvents(None)
    found = b"".join(block for block, _ in events.feed(body))
    try:
        return found + b"".join(block for block, _ in events.end()), True
    except BodyError:
        return found, False


STREAMS = {
    "LF": b"event: a\nid: 1\ndata: 1\n\n: c\n\ndata: x\ndata\n\ndata: [DONE]\n\n",
    "CRLF": b"id: 1\r\ndata: 1\r\n\r\n: c\r\ndata: x\r\n\r\ndata: [DONE]\r\n\r\n",
    "CR": b"data: 1\r\r: c\rdata: x\r\rdata: [DONE]\r\r",
}

ENDS: dict[str, Callable[[], tuple[Exception, ...]]] = {
    "clean end": lambda: (),
    "reset": lambda: (httpx.ReadError("reset"),),
    "incomplete body": lambda: (httpx.RemoteProtocolError("incomplete chunked read"),),
}


@pytest.mark.parametrize("end", [None, "[DONE]"])
@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("lines", STREAMS)
async def test_cut_at_each_byte_a_stream_is_complete_or_ends_with_an_error(
    lines: str, way: str, end: str | None
) -> None:
    body = STREAMS[lines]
    for at in range(len(body) + 1):
        upstream = Upstream(*([body[:at]] if at else []), *ENDS[way]())
        response = EventSourceResponse(
            relay(upstream.response(), end=end), error_event=failed, ping_interval=None
        )
        answer = await answer_of(response)
        passed, ends_well = whole(body[:at])
        came = b"data: [DONE]" in passed
        if came if end else (ends_well and way == "clean end"):
            assert (answer.body, answer.complete, answer.error) == (body[:at], True, None)
        else:
            assert isinstance(answer.error, UpstreamError)
            assert not answer.complete
            assert bool(answer.head) is bool(passed)
            assert answer.body == (passed + FAILED if passed else b"")
        assert upstream.closed.is_set()


async def test_what_was_held_back_passes_where_the_end_makes_it_whole() -> None:
    body = b"data: 1\r\n\r\ndata: [DONE]\r\n\r"  # the last CR may have been half of a CRLF
    answer = await answer_of(EventSourceResponse(relay(answering(body), end="[DONE]")))
    assert (answer.body, answer.complete) == (body, True)


@pytest.mark.parametrize(
    ("end", "last", "complete"),
    [
        ("[DONE]", b"data: [DONE]\n\n", True),
        ("[DONE]", b"event: x\ndata: [DONE]\n\n: c\n\n", True),
        ("[DONE]", b"data: [DONE]\n\ndata: more\n\n", False),
        ("[DONE]", b": [DONE]\n\n", False),
        (ServerSentEvent(event="stop"), b"event: stop\ndata: {}\n\n", True),
        (ServerSentEvent(event="stop"), b"data: {}\n\n", False),
        (ServerSentEvent(event="message"), b"data: {}\n\n", True),
        (ServerSentEvent(event="stop", raw_data="1"), b"event: stop\ndata: 2\n\n", False),
        (ServerSentEvent(event="stop", data={"a": 1}), b'event: stop\ndata: {"a":1}\n\n', True),
        (None, b"data: x\n\n", True),
    ],
)
async def test_the_last_event_that_is_announced_must_come(
    end: Any, last: bytes, complete: bool
) -> None:
    response = EventSourceResponse(relay(answering(b"data: 1\n\n", last), end=end))
    answer = await answer_of(response)
    assert answer.complete is complete
    assert answer.body == b"data: 1\n\n" + last
    assert complete or answer.reason.endswith("its stream ended without its last event")


async def test_a_preset_says_how_a_stream_ends_and_adds_nothing_to_it() -> None:
    chunks, done = b'data: {"x":1}\n\n', b"data: [DONE]\n\n"
    whole = EventSourceResponse(relay(answering(chunks, done)), preset=presets.OPENAI)
    answer = await answer_of(whole)
    assert (answer.body, answer.complete) == (chunks + done, True)
    broken = EventSourceResponse(relay(answering(chunks)), preset=presets.OPENAI)
    answer = await answer_of(broken)
    assert answer.body.startswith(chunks + b'data: {"error":{"message"')
    assert not answer.complete
    unasked = EventSourceResponse(relay(answering(chunks), end=None), preset=presets.OPENAI)
    assert (await answer_of(unasked)).complete
    first = presets.Preset(first=ServerSentEvent(data="first"))
    answer = await answer_of(EventSourceResponse(relay(answering(chunks)), preset=first))
    assert (answer.body, answer.complete) == (chunks, True)


async def test_an_empty_stream_is_complete_unless_its_end_is_known() -> None:
    assert (await answer_of(EventSourceResponse(relay(answering())))).complete
    answer = await answer_of(EventSourceResponse(relay(answering(), end="[DONE]")))
    assert not answer.head  # so it can still be answered by a status
    assert isinstance(answer.error, UpstreamError)


@pytest.mark.parametrize(
    ("end", "said"), [(1, "got 1"), (ServerSentEvent(id="1"), "with an event or data")]
)
async def test_an_end_that_says_nothing_is_refused(end: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        relay(answering(), end=end)


async def test_an_error_event_may_complete_the_body() -> None:
    response = EventSourceResponse(
        relay(answering(b"data: 1\n\nda")), error_event=failed, complete_after_error=True
    )
    answer = await answer_of(response)
    assert answer.body == b"data: 1\n\n" + FAILED
    assert answer.complete
    assert isinstance(answer.error, UpstreamError)


async def test_an_event_that_is_too_large_breaks_the_stream_after_what_came_before() -> None:
    body = b"data: 1\n\ndata: 2\n\ndata: 3 is larger than that\n\ndata: 4\n\n"
    response = EventSourceResponse(relay(answering(body)), max_event_size=25, error_event=failed)
    answer = await answer_of(response)
    assert answer.body == b"data: 1\n\ndata: 2\n\n" + FAILED
    assert "max_event_size=25" in answer.reason


async def test_a_timeout_breaks_the_stream_and_is_told_to_the_server() -> None:
    upstream = Upstream(b"data: 1\n\nda", 1, httpx.ReadTimeout("slow"))
    response = EventSourceResponse(relay(upstream.response()), error_event=failed)
    answer = await answer_of(response)
    assert answer.body == b"data: 1\n\n" + FAILED
    assert not answer.complete
    assert answer.reason == "the upstream broke: ReadTimeout: slow"
    assert isinstance(answer.error, UpstreamError)
    assert isinstance(answer.error.__cause__, httpx.ReadTimeout)
    assert answer.error.status_code == 504


async def test_no_byte_order_mark_comes_after_a_keep_alive() -> None:
    upstream = Upstream(b"\xef\xbb", 20, b"\xbfdata: 1\n\n")
    async with events_of(EventSourceResponse(relay(upstream.response()))) as events:
        assert (await events.next()).raw_data == "1"
        assert events.body == b": ping\n\ndata: 1\n\n"


async def test_keep_alives_come_while_an_event_is_on_its_way() -> None:
    upstream = Upstream(b"id: 1\nda", 20, b"ta: 1\n\nid", 20, b": 2\ndata: 2\n\n", 20)
    async with events_of(EventSourceResponse(relay(upstream.response()))) as events:
        assert [event.raw_data async for event in events] == ["1", "2"]
        first, second = b"id: 1\ndata: 1\n\n", b"id: 2\ndata: 2\n\n"
        assert events.body == b": ping\n\n" + first + b": ping\n" + second + b": ping\n"
