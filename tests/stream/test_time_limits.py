"""What ends a stream early: a client that doesn't read, its age, and its silence.

Each end is told to observers, and whatever it is, the generator is closed with its cleanup done.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.types import Message

from sse_middleware import (
    CloseReason,
    EncodingError,
    EventSourceResponse,
    LegacyRoute,
    ServerSentEvent,
    SSEMiddleware,
)
from sse_middleware.errors import BodyError
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.time_limits import TimeLimits
from sse_middleware.testing import EventClient, ProtocolError
from tests.served import Ends, OopsError, body_of, call, chunks_of, client_of, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

LARGE = "x" * 100_000


class Trace:
    """How the cleanup of a generator went."""

    def __init__(self) -> None:
        self.log: list[str] = []

    async def clean_up(self) -> None:
        self.log.append("begin")
        await anyio.sleep(1)
        self.log.append("end")

    def was_cleaned_up(self, *, cancelled: bool = True) -> bool:
        """Whether it went as promised: on trio, no `await` of a cancelled block completes."""
        whole = not cancelled or running_asyncio()
        return self.log == (["begin", "end"] if whole else ["begin"])

    async def idle(self) -> AsyncIterator[int]:
        try:
            yield 0
            await anyio.sleep_forever()
        finally:
            await self.clean_up()

    async def silent(self) -> AsyncIterator[int]:
        try:
            await anyio.sleep_forever()
            yield 0
        finally:
            await self.clean_up()

    async def endless(self) -> AsyncIterator[str]:
        try:
            while True:
                yield LARGE
        finally:
            await self.clean_up()

    async def ticking(self, pause: float) -> AsyncIterator[None]:
        try:
            while True:
                yield None
                await anyio.sleep(pause)
        finally:
            await self.clean_up()


def running_asyncio() -> bool:
    return anyio.get_cancelled_exc_class() is asyncio.CancelledError


def observed(app: Any, ends: Ends, **settings: Any) -> SSEMiddleware:
    return SSEMiddleware(app, observers=[ends], **settings)


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
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.endless()), ends, send_timeout=5)
        async with chunks_of(app, window=1) as chunks:
            begin = anyio.current_time()
            assert await ends.until() == [CloseReason.SEND_TIMEOUT]
            # the generator stood at its `yield`, so also on trio its cleanup took its second
            assert anyio.current_time() - begin == pytest.approx(6, abs=0.01)
            assert trace.was_cleaned_up(cancelled=False)
            await anext(chunks)
            with pytest.raises(ProtocolError, match="without its last"):
                await anext(chunks)

    async def test_cancels_a_generator_that_is_busy_elsewhere(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.idle()), ends, send_timeout=5)
        begin = anyio.current_time()
        await call(app, send=stalling(says(b"data")))
        assert ends.reasons == [CloseReason.SEND_TIMEOUT]
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
    async def test_counts_for_every_message(
        self, at: Callable[[Message], bool], seconds: float
    ) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(100)

        ends = Ends()
        app = observed(EventSourceResponse(items()), ends, send_timeout=5, ping_interval=10)
        begin = anyio.current_time()
        await call(app, send=stalling(at))
        assert ends.reasons == [CloseReason.SEND_TIMEOUT]
        assert anyio.current_time() - begin == pytest.approx(seconds, abs=0.01)

    async def test_counts_on_where_the_generator_ends_meanwhile(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(1)

        ends = Ends()
        app = observed(EventSourceResponse(items()), ends, send_timeout=5)
        begin = anyio.current_time()
        with anyio.fail_after(1000):
            await call(app, send=stalling(says(b"data")))
        assert ends.reasons == [CloseReason.SEND_TIMEOUT]
        assert anyio.current_time() - begin == pytest.approx(5, abs=0.01)

    async def test_counts_on_where_the_generator_fails_meanwhile(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(1)
            raise OopsError

        ends = Ends()
        app = observed(EventSourceResponse(items()), ends, send_timeout=5)
        begin = anyio.current_time()
        with anyio.fail_after(1000), pytest.raises(OopsError):
            await call(app, send=stalling(says(b"data")))
        assert ends.reasons == [CloseReason.ERROR]
        assert anyio.current_time() - begin == pytest.approx(5, abs=0.01)

    async def test_closes_the_generator_also_where_the_server_goes_on_sending(self) -> None:
        read_on, ends, trace = anyio.Event(), Ends(), Trace()

        async def send(message: Message) -> None:
            while message.get("body") and not read_on.is_set():
                # A shield, as hypercorn has one on trio, is none against asyncio's own `cancel`.
                with suppress(asyncio.CancelledError), anyio.CancelScope(shield=True):
                    await read_on.wait()

        app = observed(EventSourceResponse(trace.endless()), ends, send_timeout=5)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(call, app, send=send))
            await anyio.sleep(10)
            assert trace.was_cleaned_up(cancelled=False)
            assert ends.reasons == []
            read_on.set()
        assert ends.reasons == [CloseReason.SEND_TIMEOUT]

    async def test_does_not_count_what_was_not_sent(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            await anyio.sleep(1)
            yield 2
            await anyio.sleep_forever()

        ends = Ends()
        await call(
            observed(EventSourceResponse(items()), ends, send_timeout=5),
            send=stalling(says(b"data: 2")),
        )
        (closed,) = ends.records
        assert (closed.events, closed.size) == (1, len(b"data: 1\n\n"))

    async def test_never_strikes_a_slow_client_that_reads(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.endless()), ends, send_timeout=5)
        async with chunks_of(app, window=1) as chunks:
            for _ in range(20):
                await anyio.sleep(4.9)
                assert await anext(chunks)
            assert ends.reasons == []
        assert ends.reasons == [CloseReason.CLIENT_DISCONNECTED]

    async def test_is_no_limit_on_silence(self) -> None:
        ends = Ends()
        app = observed(
            EventSourceResponse(Trace().idle()), ends, send_timeout=5, ping_interval=None
        )
        async with events_of(app) as events:
            await events.next()
            await anyio.sleep(10_000)
            assert ends.reasons == []

    async def test_can_be_switched_off(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.endless()), ends, send_timeout=None)
        async with chunks_of(app, window=1) as chunks:
            await anyio.sleep(10_000)
            assert await anext(chunks)
            assert ends.reasons == []

    async def test_gives_up_an_adopted_application(self) -> None:
        trace, ends = Trace(), Ends()
        app = observed(adoptable(trace, b'"x"\n' * 30_000), ends, send_timeout=5)
        async with events_chunks(app) as client:
            async with client.http.stream("GET", "/", headers=WANTS_EVENTS):
                assert await ends.until() == [CloseReason.SEND_TIMEOUT]
            assert trace.was_cleaned_up()

    @pytest.mark.parametrize("size", [64 * 1024, 3_000_000])
    async def test_is_not_spent_by_compressing(self, size: int) -> None:
        ends = Ends()
        app = observed(
            EventSourceResponse(["x" * size] * 5), ends, send_timeout=0.05, compression=["gzip"]
        )
        async with client_of(app) as client:
            response = await client.http.get("/", headers={"accept-encoding": "gzip"})
        assert len(response.content) == 5 * (size + len('data: ""\n\n'))
        assert ends.reasons == [CloseReason.FINISHED]

    async def test_leaves_no_timer_behind_where_nobody_was_answered(
        self, anyio_backend_name: str
    ) -> None:
        if anyio_backend_name != "asyncio":
            pytest.skip("trio has no timers without a task")
        app = EventSourceResponse(Trace().silent(), commit_after=1000)
        await call(app, leave=partial(anyio.sleep, 1))
        loop: Any = asyncio.get_running_loop()
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []


WANTS_EVENTS = {"accept": "text/event-stream"}


def events_chunks(app: Any) -> EventClient:
    return client_of(app, window=1)


def adoptable(trace: Trace, body: bytes = b"1\n") -> Any:
    """Return an application that sends lines of JSON, and then does something else."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        try:
            headers = [(b"content-type", b"application/x-ndjson")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": body, "more_body": True})
            await anyio.sleep_forever()
        finally:
            await trace.clean_up()

    return app


class TestMaxDuration:
    async def test_ends_the_stream_in_good_order(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.idle()), ends, max_duration=100)
        async with events_of(app) as events:
            begin = anyio.current_time()
            assert [event.json() async for event in events] == [0]
            assert 90 <= anyio.current_time() - begin <= 101.01  # with a second of cleanup
        assert ends.reasons == [CloseReason.MAX_DURATION]
        assert trace.was_cleaned_up()

    async def test_counts_before_the_first_item_too(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.silent()), ends, max_duration=5, commit_after=1000)
        begin = anyio.current_time()
        assert await body_of(app) == b""
        assert anyio.current_time() - begin <= 6.01  # and a second of cleanup
        assert ends.reasons == [CloseReason.MAX_DURATION]

    async def test_says_farewell_of_ones_own(self) -> None:
        def farewell(reason: CloseReason) -> ServerSentEvent:
            return ServerSentEvent(event="bye", data=reason.value)

        app = EventSourceResponse(Trace().idle(), max_duration=10, farewell=farewell)
        whole = b'data: 0\n\nevent: bye\ndata: "max_duration"\n\n'
        assert await body_of(app) == whole

    async def test_delivers_what_waits_before_the_farewell(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 0
            try:
                await anyio.sleep_forever()
            finally:
                yield 1  # nobody will have it

        app = EventSourceResponse(
            items(), max_duration=10, farewell=lambda _: ServerSentEvent(raw_data="bye")
        )
        assert await body_of(app) == b"data: 0\n\ndata: bye\n\n"

    async def test_ends_a_generator_that_never_waits(self) -> None:
        async def items() -> AsyncIterator[int]:
            while True:
                yield 1
                await anyio.sleep(0.5)

        ends = Ends()
        await body_of(observed(EventSourceResponse(items()), ends, max_duration=10))
        assert ends.reasons == [CloseReason.MAX_DURATION]

    async def test_ends_a_synchronous_generator(self) -> None:
        closed = []

        def items() -> Iterator[str]:
            try:
                while True:
                    yield "x" * 1000
            finally:
                closed.append(True)

        ends = Ends()
        app = observed(EventSourceResponse(items()), ends, max_duration=2, send_timeout=None)
        async with chunks_of(app, window=10_000) as chunks:
            while not ends.reasons:
                await anyio.sleep(0.1)
                await anext(chunks, None)
        assert ends.reasons == [CloseReason.MAX_DURATION]
        assert closed == [True]

    async def test_differs_from_stream_to_stream_by_a_tenth_at_most(self) -> None:
        settings = StreamSettings(max_duration=100)
        ages = [TimeLimits(settings, 1000).end - 1000 for _ in range(1000)]
        assert 90 <= min(ages) < 91
        assert 99 < max(ages) <= 100


class TestIdleTimeout:
    async def test_ends_the_stream_in_good_order(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.idle()), ends, idle_timeout=10)
        async with events_of(app) as events:
            begin = anyio.current_time()
            assert [event.json() async for event in events] == [0]
            taken = 11 if running_asyncio() else 10  # with the cleanup
            assert anyio.current_time() - begin == pytest.approx(taken, abs=0.01)
        assert ends.reasons == [CloseReason.IDLE_TIMEOUT]
        assert trace.was_cleaned_up()

    async def test_counts_no_keep_alives(self) -> None:
        app = EventSourceResponse(
            Trace().idle(), idle_timeout=10, ping_interval=3, ping=ServerSentEvent(event="ping")
        )
        assert await body_of(app) == b"data: 0\n\n" + b"event: ping\n\n" * 3

    async def test_counts_no_ticks(self) -> None:
        ends, trace = Ends(), Trace()
        app = observed(EventSourceResponse(trace.ticking(4)), ends, idle_timeout=10)
        assert await body_of(app) == b": ping\n\n" * 3
        assert ends.reasons == [CloseReason.IDLE_TIMEOUT]

    async def test_counts_from_the_last_event(self) -> None:
        async def items() -> AsyncIterator[int]:
            for number in range(10):
                yield number
                await anyio.sleep(9.9)
            await anyio.sleep_forever()

        app = EventSourceResponse(items(), idle_timeout=10, ping_interval=None)
        begin = anyio.current_time()
        assert (await body_of(app)).count(b"data") == 10
        assert anyio.current_time() - begin == pytest.approx(9 * 9.9 + 10, abs=0.01)

    async def test_ends_before_the_first_item_too(self) -> None:
        ends = Ends()
        app = observed(
            EventSourceResponse(Trace().silent()), ends, idle_timeout=5, commit_after=1000
        )
        assert await body_of(app) == b""
        assert ends.reasons == [CloseReason.IDLE_TIMEOUT]

    async def test_is_told_apart_from_the_age(self) -> None:
        ends = Ends()
        app = observed(Trace().idle(), ends)
        for idle_timeout, max_duration in ((10, 20), (20, 10)):
            app = observed(
                EventSourceResponse(Trace().idle()),
                ends,
                idle_timeout=idle_timeout,
                max_duration=max_duration,
            )
            await body_of(app)
        assert ends.reasons == [CloseReason.IDLE_TIMEOUT, CloseReason.MAX_DURATION]

    async def test_ends_an_adopted_application(self) -> None:
        ends, trace = Ends(), Trace()
        async with events_of(observed(adoptable(trace), ends, idle_timeout=10)) as events:
            assert [event.json() async for event in events] == [1]
        assert ends.reasons == [CloseReason.IDLE_TIMEOUT]
        assert trace.was_cleaned_up()


class TestMaxEventSize:
    @pytest.mark.parametrize(
        "item",
        ["x" * 90, ServerSentEvent(data="x" * 90), ServerSentEvent(comment="x" * 96)],
        ids=["data", "fields", "comment"],
    )
    async def test_is_refused_at_the_yield(self, item: Any) -> None:
        async def items() -> AsyncIterator[Any]:
            yield item
            try:
                yield "x" * 91 if isinstance(item, str) else item.model_copy(update={"event": "e"})
            except EncodingError as error:
                yield str(error)[-47:]

        text = (await body_of(EventSourceResponse(items(), max_event_size=100))).decode()
        assert "max_event_size is 100" in text
        assert "x" * 90 in text

    @pytest.mark.parametrize("kind", ["async", "sync", "list"])
    async def test_ends_a_stream_that_does_not_catch_it(self, kind: str) -> None:
        async def items() -> AsyncIterator[str]:
            yield "small"
            yield "x" * 1000

        def sync_items() -> Iterator[str]:
            yield "small"
            yield "x" * 1000

        content: Any = {"async": items, "sync": sync_items, "list": lambda: ["small", "x" * 1000]}
        ends = Ends()
        app = observed(EventSourceResponse(content[kind]()), ends, max_event_size=100)
        async with events_of(app) as events:
            assert (await events.next()).json() == "small"
            with pytest.raises(EncodingError, match="max_event_size is 100"):
                await events.next()
        (closed,) = ends.records
        assert closed.reason == CloseReason.ERROR
        assert isinstance(closed.error, EncodingError)

    @pytest.mark.parametrize(
        ("kind", "small", "large"),
        [
            ("application/x-ndjson", b'"small"\n', b'"' + b"x" * 1000 + b'"\n'),
            ("text/event-stream", b'data: "small"\n\n', b"data: " + b"x" * 1000 + b"\n\n"),
            ("text/event-stream", b'data: "small"\n\n', b"data: " + b"x" * 1000),
        ],
    )
    @pytest.mark.parametrize("together", [True, False])
    async def test_of_an_adopted_body_fails_where_it_is_sent(
        self, kind: str, small: bytes, large: bytes, together: bool
    ) -> None:
        caught: list[Exception] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            headers = [(b"content-type", kind.encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            try:
                for body in [small + large] if together else [small, large]:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
            except BodyError as error:
                caught.append(error)
                raise

        ends = Ends()
        async with events_of(observed(app, ends, max_event_size=100)) as events:
            assert (await events.next()).json() == "small"
            with pytest.raises(BodyError, match="100"):
                await events.next()
        assert len(caught) == 1
        assert ends.reasons == [CloseReason.ERROR]

    async def test_of_a_route_narrows_what_the_route_allows(self) -> None:
        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            headers = [(b"content-type", b"text/plain")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"x" * 60 + b"\n"})

        route = LegacyRoute("/", body="lines", max_piece=1000, max_event_size=50)
        with pytest.raises(BodyError, match="50"):
            async with events_of(SSEMiddleware(app, legacy=[route])) as events:
                await events.next()
