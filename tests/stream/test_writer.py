"""What the writer sends, and when, as a client sees it."""

import threading
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware
from tests.served import OopsError, body_of, call, chunks_of, events_of

pytestmark = pytest.mark.anyio


async def idle() -> AsyncIterator[int]:
    yield 0
    await anyio.sleep_forever()
    yield 0  # it could go on


async def test_all_that_is_ready_goes_out_as_one_message() -> None:
    async def three() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    async with chunks_of(EventSourceResponse(three())) as chunks:
        assert [chunk async for chunk in chunks] == [b"data: 0\n\ndata: 1\n\ndata: 2\n\n"]


async def test_a_single_event_goes_out_at_once() -> None:
    async def one_a_second() -> AsyncIterator[int]:
        for number in range(3):
            yield number
            await anyio.sleep(1)

    async with chunks_of(EventSourceResponse(one_a_second())) as chunks:
        begin = anyio.current_time()
        for number in range(3):
            assert await anext(chunks) == b"data: %d\n\n" % number
            assert anyio.current_time() - begin == pytest.approx(number, abs=0.001)


async def test_events_in_quick_succession_share_messages() -> None:
    async def one_a_pass() -> AsyncIterator[int]:
        for number in range(300):
            yield number
            await checkpoint()

    async with chunks_of(EventSourceResponse(one_a_pass())) as chunks:
        messages = [chunk async for chunk in chunks]
    assert b"".join(messages) == b"".join(b"data: %d\n\n" % number for number in range(300))
    assert len(messages) < 200, "most messages carry more than one"


class TestKeepAlive:
    async def test_comes_after_silence(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(3):
                await anyio.sleep(10)
                yield number
            await anyio.sleep(40)

        begin = anyio.current_time()
        async with chunks_of(EventSourceResponse(items(), ping_interval=15)) as chunks:
            seen = [(round(anyio.current_time() - begin), chunk) async for chunk in chunks]
        assert seen == [
            (10, b"data: 0\n\n"),
            (20, b"data: 1\n\n"),
            (30, b"data: 2\n\n"),
            (45, b": ping\n\n"),
            (60, b": ping\n\n"),
        ]

    async def test_goes_on_for_an_hour(self) -> None:
        async with events_of(EventSourceResponse(idle())) as events:
            await events.next()
            await anyio.sleep(3601)
            assert events.comments == ["ping"] * 240
            assert events.body == b"data: 0\n\n" + b": ping\n\n" * 240

    async def test_reads_the_default_interval_when_a_stream_starts(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = SSEMiddleware(EventSourceResponse(idle()))
        monkeypatch.setattr("sse_middleware.events._PING_INTERVAL", 3.0)
        async with events_of(app) as events:
            await events.next()
            begin = anyio.current_time()
            assert await events.next_comment() == "ping"
            assert anyio.current_time() - begin == pytest.approx(3, abs=0.1)

    @pytest.mark.parametrize(
        ("ping", "expected"),
        [
            ("still here", b": still here\n\n"),
            (ServerSentEvent(event="ping", data={}), b"event: ping\ndata: {}\n\n"),
            (lambda: ServerSentEvent(event="tick"), b"event: tick\n\n"),
            (lambda: "made", b": made\n\n"),
        ],
    )
    async def test_may_be_a_comment_an_event_or_made_by_a_function(
        self, ping: Any, expected: bytes
    ) -> None:
        async with chunks_of(EventSourceResponse(idle(), ping=ping)) as chunks:
            assert [await anext(chunks), await anext(chunks)] == [b"data: 0\n\n", expected]

    async def test_is_sent_for_a_yielded_none(self) -> None:
        app = EventSourceResponse([1, None, 2], ping="tick")
        assert await body_of(app) == b"data: 1\n\n: tick\n\ndata: 2\n\n"

    async def test_can_be_switched_off(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(5_000)
            yield 1

        begin = anyio.current_time()
        assert await body_of(EventSourceResponse(items(), ping_interval=None)) == b"data: 1\n\n"
        assert anyio.current_time() - begin > 4_900

    async def test_goes_on_while_a_synchronous_generator_blocks_its_thread(self) -> None:
        release = threading.Event()

        def items() -> Iterator[int]:
            yield 1
            release.wait()
            yield 2

        async with chunks_of(EventSourceResponse(items())) as chunks:
            seen = b""
            while b": ping" not in seen:
                seen += await anext(chunks)
            release.set()
            async for chunk in chunks:
                seen += chunk
        assert seen.replace(b": ping\n\n", b"") == b"data: 1\n\ndata: 2\n\n"


class TestCommitAfter:
    async def test_waits_for_the_first_item(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(0.4)
            yield 1

        begin = anyio.current_time()
        async with events_of(EventSourceResponse(items(), commit_after=0.5)):
            assert anyio.current_time() - begin == pytest.approx(0.4, abs=0.05)

    async def test_does_not_wait_longer(self) -> None:
        async def items() -> AsyncIterator[int]:
            await anyio.sleep(100)
            raise OopsError
            yield 1

        begin = anyio.current_time()
        async with events_of(EventSourceResponse(items(), commit_after=0.5)) as events:
            assert anyio.current_time() - begin == pytest.approx(0.5, abs=0.05)
            with pytest.raises(OopsError):
                await events.next()

    async def test_is_followed_by_an_empty_body_where_no_item_has_come(self) -> None:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def items() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        app = EventSourceResponse(items(), commit_after=0.5)
        await call(app, leave=partial(anyio.sleep, 1), send=send)
        start, body = sent
        assert start["type"] == "http.response.start"
        assert body == {"type": "http.response.body", "body": b"", "more_body": True}
