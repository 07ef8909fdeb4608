"""Time limits close a stream: on a send, on its duration, and on its silence.

Observers are told the reason, and the generator is always closed with its cleanup done.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import nullcontext, suppress
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.types import Message

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    ServerSentEvent,
)
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.time_limits import TimeLimits
from sse_middleware.testing import ProtocolError
from tests.served import OopsError, body_of, call, chunks_of, client_of, events_of, observed
from tests.stream.traces import Trace, running_asyncio

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


def stalling(at: Callable[[Message], bool]) -> Callable[[Message], Awaitable[None]]:
    """Return the `send` of a server whose client stops reading at a message."""

    async def send(message: Message) -> None:
        if at(message):
            await anyio.sleep_forever()
        await checkpoint()

    return send


def is_last(message: Message) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body")


def says(text: bytes) -> Callable[[Message], bool]:
    return lambda message: text in message.get("body", b"")


class TestSendTimeout:
    async def test_gives_up_a_client_that_does_not_read(self) -> None:
        trace = Trace()
        app, closed_streams = observed(EventSourceResponse(trace.endless()), send_timeout=5)
        async with chunks_of(app, window=1) as chunks:
            begin = anyio.current_time()
            assert await closed_streams.wait_for(1) == [CloseReason.SEND_TIMEOUT]
            # At its `yield` a generator is closed, not cancelled, so its cleanup completes on trio.
            assert anyio.current_time() - begin == pytest.approx(6, abs=0.01)
            assert trace.was_cleaned_up(cancelled=False)
            await anext(chunks)
            with pytest.raises(ProtocolError, match="without its last"):
                await anext(chunks)

    async def test_cancels_a_generator_that_waits(self) -> None:
        trace = Trace()
        app, closed_streams = observed(EventSourceResponse(trace.idle()), send_timeout=5)
        begin = anyio.current_time()
        await call(app, send=stalling(says(b"data")))
        assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]
        assert trace.was_cleaned_up()
        assert anyio.current_time() - begin == pytest.approx(6 if running_asyncio() else 5)

    @pytest.mark.parametrize(
        ("at", "seconds"),
        [
            (lambda message: message["type"] == "http.response.start", 5),
            (says(b": ping"), 15),
            (is_last, 105),
        ],
        ids=["start", "ping", "last"],
    )
    async def test_applies_to_every_message(
        self, at: Callable[[Message], bool], seconds: float
    ) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(100)
            yield 2

        app, closed_streams = observed(
            EventSourceResponse(items()), send_timeout=5, ping_interval=10
        )
        begin = anyio.current_time()
        await call(app, send=stalling(at))
        assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]
        assert anyio.current_time() - begin == pytest.approx(seconds, abs=0.01)

    @pytest.mark.parametrize("fails", [False, True])
    async def test_goes_on_where_the_generator_ends_meanwhile(self, fails: bool) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(1)
            if fails:
                raise OopsError

        app, closed_streams = observed(EventSourceResponse(items()), send_timeout=5)
        begin = anyio.current_time()
        with anyio.fail_after(1000), pytest.raises(OopsError) if fails else nullcontext():
            await call(app, send=stalling(says(b"data")))
        reason = CloseReason.ERROR if fails else CloseReason.SEND_TIMEOUT
        assert closed_streams.reasons == [reason]
        assert anyio.current_time() - begin == pytest.approx(5, abs=0.01)

    async def test_closes_the_generator_although_the_server_goes_on_sending(self) -> None:
        read_on, trace = anyio.Event(), Trace()

        async def send(message: Message) -> None:
            while message.get("body") and not read_on.is_set():
                # hypercorn has such a shield on trio. asyncio's own `cancel` passes through it.
                with suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
                    await read_on.wait()

        app, closed_streams = observed(EventSourceResponse(trace.endless()), send_timeout=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(call, app, send=send))
            await anyio.sleep(10)
            assert trace.was_cleaned_up(cancelled=False)
            assert closed_streams.reasons == []
            read_on.set()
        assert closed_streams.reasons == [CloseReason.SEND_TIMEOUT]

    async def test_leaves_out_of_the_counts_what_was_not_sent(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(1)
            yield 2
            await anyio.sleep_forever()
            yield 0  # it could go on

        app, closed_streams = observed(EventSourceResponse(items()), send_timeout=5)
        await call(app, send=stalling(says(b"data: 2")))
        (closed,) = closed_streams.records
        assert (closed.events, closed.size) == (1, len(b"data: 1\n\n"))

    async def test_does_not_affect_a_slow_client_that_reads(self) -> None:
        trace = Trace()
        app, closed_streams = observed(EventSourceResponse(trace.endless()), send_timeout=5)
        async with chunks_of(app, window=1) as chunks:
            for _ in range(20):
                await anyio.sleep(4.9)
                assert await anext(chunks)
            assert closed_streams.reasons == []
        assert closed_streams.reasons == [CloseReason.CLIENT_DISCONNECTED]

    async def test_does_not_limit_silence(self) -> None:
        app, closed_streams = observed(
            EventSourceResponse(Trace().idle()), send_timeout=5, ping_interval=None
        )
        async with events_of(app) as events:
            await events.next()
            await anyio.sleep(1_000)
            assert closed_streams.reasons == []

    async def test_can_be_switched_off(self) -> None:
        trace = Trace()
        app, closed_streams = observed(EventSourceResponse(trace.endless()), send_timeout=None)
        async with chunks_of(app, window=1) as chunks:
            await anyio.sleep(10_000)
            assert await anext(chunks)
            assert closed_streams.reasons == []

    async def test_gives_up_an_adopted_application(self) -> None:
        trace = Trace()
        app, closed_streams = observed(trace.application(b'"x"\n' * 30_000), send_timeout=5)
        wants_events = {"accept": "text/event-stream"}
        async with client_of(app, window=1) as client:
            async with client.http.stream("GET", "/", headers=wants_events):
                assert await closed_streams.wait_for(1) == [CloseReason.SEND_TIMEOUT]
            assert trace.was_cleaned_up()

    @pytest.mark.parametrize("size", [64 * 1024, 3_000_000])
    async def test_is_not_spent_by_compressing(self, size: int) -> None:
        app, closed_streams = observed(
            EventSourceResponse(["x" * size] * 5),
            send_timeout=0.05,
            compression=["gzip"],
        )
        async with client_of(app) as client:
            response = await client.http.get("/", headers={"accept-encoding": "gzip"})
        assert len(response.content) == 5 * (size + len('data: ""\n\n'))
        assert closed_streams.reasons == [CloseReason.FINISHED]

    @pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
    async def test_leaves_no_timer_where_nothing_was_sent(self) -> None:
        app = EventSourceResponse(Trace().silent(), commit_after=1000)
        await call(app, leave=partial(anyio.sleep, 1))
        loop: Any = asyncio.get_running_loop()
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


# When each limit ends a stream, in seconds after its start: at the earliest and at the latest.
each_limit = pytest.mark.parametrize(
    ("limit", "earliest", "latest", "reason"),
    [
        ({"max_duration": 5}, 4.5, 5, CloseReason.MAX_DURATION),
        ({"idle_timeout": 5}, 5, 5, CloseReason.IDLE_TIMEOUT),
    ],
    ids=["max_duration", "idle_timeout"],
)


@each_limit
class TestEachLimit:
    async def test_ends_the_stream_in_good_order(
        self, limit: dict[str, float], earliest: float, latest: float, reason: CloseReason
    ) -> None:
        trace, cleanup = Trace(), running_asyncio()
        app, closed_streams = observed(EventSourceResponse(trace.idle()), **limit)
        async with events_of(app) as events:
            begin = anyio.current_time()
            assert [event.json() async for event in events] == [0]
            took = anyio.current_time() - begin - cleanup
            assert earliest - 0.01 <= took <= latest + 0.01
        assert closed_streams.reasons == [reason]
        assert trace.was_cleaned_up()

    async def test_ends_a_stream_before_its_first_item(
        self, limit: dict[str, float], earliest: float, latest: float, reason: CloseReason
    ) -> None:
        trace, cleanup = Trace(), running_asyncio()
        app, closed_streams = observed(
            EventSourceResponse(trace.silent()), commit_after=1000, **limit
        )
        begin = anyio.current_time()
        assert await body_of(app) == b""
        took = anyio.current_time() - begin - cleanup
        assert earliest - 0.01 <= took <= latest + 0.01
        assert closed_streams.reasons == [reason]

    async def test_ends_an_adopted_application(
        self, limit: dict[str, float], earliest: float, latest: float, reason: CloseReason
    ) -> None:
        trace = Trace()
        app, closed_streams = observed(trace.application(), **limit)
        async with events_of(app) as events:
            assert [event.json() async for event in events] == [1]
        assert closed_streams.reasons == [reason]
        assert trace.was_cleaned_up()


class TestMaxDuration:
    async def test_may_send_a_farewell(self) -> None:
        def farewell(reason: CloseReason) -> ServerSentEvent:
            return ServerSentEvent(event="bye", data=reason.value)

        app = EventSourceResponse(Trace().idle(), max_duration=10, farewell=farewell)
        whole = b'data: 0\n\nevent: bye\ndata: "max_duration"\n\n'
        assert await body_of(app) == whole

    async def test_sends_nothing_between_the_last_event_and_the_farewell(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            finally:
                yield 1  # is dropped

        app = EventSourceResponse(
            items(), max_duration=10, farewell=lambda _: ServerSentEvent(raw_data="bye")
        )
        assert await body_of(app) == b"data: 0\n\ndata: bye\n\n"

    async def test_ends_a_generator_that_goes_on_yielding(self) -> None:
        async def items() -> AsyncIterator[int]:
            while True:
                yield 1
                await anyio.sleep(0.5)

        app, closed_streams = observed(EventSourceResponse(items()), max_duration=10)
        await body_of(app)
        assert closed_streams.reasons == [CloseReason.MAX_DURATION]

    async def test_ends_a_synchronous_generator(self) -> None:
        closed = []

        def items() -> Iterator[str]:
            try:
                while True:
                    yield "x" * 1000
            finally:
                closed.append(True)

        app, closed_streams = observed(
            EventSourceResponse(items()), max_duration=2, send_timeout=None
        )
        async with chunks_of(app, window=10_000) as chunks:
            while not closed_streams.reasons:
                await anyio.sleep(0.1)
                await anext(chunks, None)
        assert closed_streams.reasons == [CloseReason.MAX_DURATION]
        assert closed == [True]

    async def test_is_up_to_a_tenth_shorter_at_random(self) -> None:
        settings = StreamSettings(max_duration=100)
        ages = [TimeLimits(settings, 1000).end - 1000 for _ in range(1000)]
        assert 90 <= min(ages) < 91
        assert 99 < max(ages) <= 100

    async def test_is_reached_once_whatever_comes_later(self) -> None:
        limits = TimeLimits(StreamSettings(max_duration=100, idle_timeout=10), 1000)
        assert limits.end == 1010
        limits.note_event(1200)
        assert limits.reach() == CloseReason.MAX_DURATION
        limits.note_event(1201)
        assert limits.end == math.inf


class TestIdleTimeout:
    async def test_does_not_count_keep_alives(self) -> None:
        app = EventSourceResponse(
            Trace().idle(), idle_timeout=10, ping_interval=3, ping=ServerSentEvent(event="ping")
        )
        assert await body_of(app) == b"data: 0\n\n" + b"event: ping\n\n" * 3

    async def test_does_not_count_yielded_keep_alives(self) -> None:
        trace = Trace()
        app, closed_streams = observed(EventSourceResponse(trace.ticking(4)), idle_timeout=10)
        assert await body_of(app) == b": ping\n\n" * 3
        assert closed_streams.reasons == [CloseReason.IDLE_TIMEOUT]

    async def test_begins_again_with_each_event(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(10):
                yield number
                await anyio.sleep(9.9)
            await anyio.sleep_forever()
            yield 0  # it could go on

        app = EventSourceResponse(items(), idle_timeout=10, ping_interval=None)
        begin = anyio.current_time()
        assert (await body_of(app)).count(b"data") == 10
        assert anyio.current_time() - begin == pytest.approx(9 * 9.9 + 10, abs=0.01)

    @pytest.mark.parametrize(
        ("idle", "duration", "reason"),
        [(10, 20, CloseReason.IDLE_TIMEOUT), (20, 10, CloseReason.MAX_DURATION)],
    )
    async def test_is_distinguished_from_the_duration(
        self, idle: float, duration: float, reason: CloseReason
    ) -> None:
        app, closed_streams = observed(
            EventSourceResponse(Trace().idle()), idle_timeout=idle, max_duration=duration
        )
        await body_of(app)
        assert closed_streams.reasons == [reason]
