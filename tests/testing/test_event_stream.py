"""`EventClient` and `EventStream`: a stream as a browser sees it, and more."""

import zlib
from collections.abc import AsyncIterator, Callable
from inspect import signature
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware import EventSourceResponse, ServerSentEvent, event_stream
from sse_middleware.testing import EventClient, EventStream, NoEventError, UsageError
from sse_middleware.testing.event_stream import READ_AHEAD, READ_AT_MOST
from tests.e2e.servers import KINDS, WHOLE_LIFE, running
from tests.testing.messages import END, body, start

pytestmark = pytest.mark.anyio

LONG = "x" * 1000


def sends(*chunks: bytes, error: Exception | None = None) -> ASGIApp:
    """Return an application that sends these chunks, and stays until its client leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        for chunk in chunks:
            await send(body(chunk))
        while (await receive())["type"] != "http.disconnect":
            pass
        if error is not None:
            raise error

    return app


def yields(function: Callable[..., Any]) -> ASGIApp:
    """Return an application whose only endpoint yields what `function` does."""

    @event_stream
    async def endpoint(request: Request) -> Any:
        return function(request) if signature(function).parameters else function()

    return Starlette(routes=[Route("/", endpoint, methods=["GET", "POST"])])


def client_of(app: ASGIApp | str, **options: Any) -> EventClient:
    """Return a client of an application without a lifespan."""
    return EventClient(app, run_lifespan=False, **options)


async def complaint(events: EventStream) -> str:
    with pytest.raises(NoEventError) as caught:
        await events.next()
    return str(caught.value)


class TestEvents:
    async def test_are_what_a_browser_sees(self) -> None:
        app = sends(
            b"data: plain\n\n",
            b": a comment\nevent: tick\nid: 7\nretry: 50\ndata: one\ndata: two\n\n",
            b'data: {"a": 1}\n\n',
        )
        async with client_of(app) as client, client.stream("GET", "/") as events:
            plain, full, json = await events.take(3)
            assert plain == ServerSentEvent(raw_data="plain")
            assert full == ServerSentEvent(raw_data="one\ntwo", event="tick", id="7", retry=50)
            assert (json.id, json.retry) == ("7", None)
            assert json.json() == {"a": 1}
            assert events.received == [plain, full, json]
            assert events.last_event_id == "7"
            assert events.reconnection_time == 50
            assert events.comments == ["a comment"]
            assert events.body.startswith(b"data: plain\n\n: a comment\n")

    async def test_are_not_changed_although_a_browser_would_ignore_them(self) -> None:
        app = sends(b"event: a\0b\ndata: x\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).event == "a\0b"

    async def test_are_read_ahead_for_an_hour(self) -> None:
        async def ticks() -> AsyncIterator[int]:
            for number in range(1000):
                await anyio.sleep(50)
                yield number

        async with client_of(yields(ticks)) as client, client.stream("GET", "/") as events:
            await anyio.sleep(3600 + 1)
            assert len(events.received) == 72
            assert len(events.comments) == 72 * 3  # between two ticks
            assert [event.json() for event in await events.take(72)] == [*range(72)]
            assert (await events.next(timeout=60)).json() == 72

    async def test_can_be_iterated_over_to_the_end(self) -> None:
        async def numbers() -> AsyncIterator[int]:
            for number in range(3):
                yield number

        async with client_of(yields(numbers)) as client, client.stream("GET", "/") as events:
            assert [event.json() async for event in events] == [0, 1, 2]
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    async def test_come_through_a_compression(self) -> None:
        packer = zlib.compressobj(wbits=31)
        first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start(200, (b"content-encoding", b"gzip")))
            await send(body(first))
            await anyio.sleep(1)
            await send(body(packer.compress(b"data: 2\n\n") + packer.flush()))
            await send(END)

        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == 1
            assert (await events.next()).json() == 2
            assert events.body == b"data: 1\n\ndata: 2\n\n"

    async def test_may_be_larger_than_the_read_ahead(self) -> None:
        piece = b"x" * 1000
        count = 2 * READ_AHEAD // len(piece)
        app = sends(b"data: ", *[piece] * count, b"\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert len((await events.next()).raw_data or "") == count * len(piece)


class TestComments:
    async def test_are_returned_in_their_order_and_events_are_kept(self) -> None:
        app = sends(b": one\n\ndata: 1\n\n", b": two\n\ndata: 2\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert [await events.next_comment() for _ in range(2)] == ["one", "two"]
            assert [event.json() for event in await events.take(2)] == [1, 2]

    async def test_may_come_after_more_events_than_the_read_ahead(self) -> None:
        event = b"data: %s\n\n" % LONG.encode()
        app = sends(*[event] * 200, b": here\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert await events.next_comment() == "here"
            assert len(await events.take(200)) == 200

    async def test_keep_an_idle_stream_open(self) -> None:
        async def silence() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        app = yields(silence)
        async with client_of(app, timeout=20) as client, client.stream("GET", "/") as events:
            began = anyio.current_time()
            assert [await events.next_comment() for _ in range(4)] == ["ping"] * 4
            assert anyio.current_time() - began == pytest.approx(60)

    async def test_the_end_of_the_stream_is_an_error(self) -> None:
        async def nothing() -> AsyncIterator[int]:
            return
            yield 1

        async with client_of(yields(nothing)) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError, match="the stream has ended"):
                await events.next_comment()

    async def test_none_within_the_timeout_is_an_error(self) -> None:
        async with client_of(sends()) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError, match=r"^no comment within 3 s; so far: status 200"):
                await events.next_comment(timeout=3)


class TestIds:
    async def test_an_id_without_an_event_is_waited_for(self) -> None:
        app = sends(b": hello\n\nid: 7\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert await events.next_id() == "7"
            assert events.last_event_id == "7"

    async def test_an_event_that_was_not_taken_keeps_its_id(self) -> None:
        app = sends(b"id: 7\n\nid: 8\ndata: x\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next_id()
            assert events.last_event_id != "8"
            assert (await events.next()).id == "8"
            assert events.last_event_id == "8"

    async def test_the_end_of_the_stream_is_an_error(self) -> None:
        async def nothing() -> AsyncIterator[int]:
            return
            yield 1

        async with client_of(yields(nothing)) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError, match="the stream has ended"):
                await events.next_id()


class TestReadingAhead:
    async def test_stops_at_its_bound(self) -> None:
        sent = []

        async def burst() -> AsyncIterator[str]:
            while True:
                sent.append(1)
                yield LONG

        async with client_of(yields(burst)) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            assert READ_AHEAD <= len(events.body) < 3 * READ_AHEAD
            assert len(sent) < 1000

    async def test_goes_on_once_a_call_finds_no_event(self) -> None:
        async def burst() -> AsyncIterator[str]:
            while True:
                yield LONG

        async with client_of(yields(burst)) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            before = len(events.body)
            await events.take(len(events.received))
            await anyio.wait_all_tasks_blocked()
            assert len(events.body) == before
            await events.next()
            await anyio.wait_all_tasks_blocked()
            assert before < len(events.body) < 4 * before

    async def test_for_one_call_stops_at_a_bound_too(self) -> None:
        async def burst() -> AsyncIterator[str]:
            while True:
                yield LONG * 10

        async with client_of(yields(burst)) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError, match=f"^no comment within {READ_AT_MOST} bytes;"):
                await events.next_comment()
            assert len(events.body) < 2 * READ_AT_MOST


class TestFailures:
    async def test_show_what_has_arrived(self) -> None:
        chunks = [b": hello\n\n", *[b"event: tick\ndata: %d\n\n" % n for n in range(7)]]
        async with client_of(sends(*chunks)) as client, client.stream("GET", "/") as events:
            await events.take(7)
            said = await complaint(events)
        assert said == (
            "no event within 5 s; so far: status 200, 156 bytes, 1 comments, 7 events, "
            "the last of them:"
            "\n  {'raw_data': '2', 'event': 'tick'}"
            "\n  {'raw_data': '3', 'event': 'tick'}"
            "\n  {'raw_data': '4', 'event': 'tick'}"
            "\n  {'raw_data': '5', 'event': 'tick'}"
            "\n  {'raw_data': '6', 'event': 'tick'}"
        )

    async def test_show_the_beginning_of_a_long_event(self) -> None:
        app = sends(b"data: %s\n\n" % (b"x" * 5000))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            said = await complaint(events)
        assert said.endswith("xxx...")
        assert len(said) < 700

    async def test_show_a_response_of_another_type(self) -> None:
        app = JSONResponse({"detail": "Not Found"}, 404)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            said = await complaint(events)
            assert events.response.status_code == 404
        assert said == (
            "the stream has ended; so far: status 404, 22 bytes, application/json, "
            'which is not an event stream: b\'{"detail":"Not Found"}\''
        )

    async def test_show_a_response_without_a_type(self) -> None:
        app = Response(b"data: 1\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            said = await complaint(events)
        assert "of no content-type, which is not an event stream: b'data: 1" in said

    @pytest.mark.parametrize("media_type", ["text/event-stream;charset=utf-8", "TEXT/Event-Stream"])
    async def test_are_not_about_the_spelling_of_the_type(self, media_type: str) -> None:
        app = Response(b"data: 1\n\n", media_type=media_type)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == 1

    @pytest.mark.parametrize("given", [None, 30])
    async def test_come_after_the_timeout(self, given: float | None) -> None:
        async with client_of(sends(), timeout=8) as client, client.stream("GET", "/") as events:
            began = anyio.current_time()
            with pytest.raises(NoEventError, match=f"^no event within {given or 8} s; "):
                await events.next(timeout=given)
            assert anyio.current_time() - began == pytest.approx(given or 8)

    async def test_come_in_an_iteration_too(self) -> None:
        app = sends(b"data: 1\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await anext(events)).json() == 1
            with pytest.raises(NoEventError, match=r"^no event within 5 s; "):
                await anext(events)

    async def test_do_not_end_the_stream(self) -> None:
        async def late() -> AsyncIterator[int]:
            await anyio.sleep(7)
            yield 1

        async with client_of(yields(late)) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError):
                await events.next()
            assert (await events.next()).json() == 1

    async def test_look_like_the_repr_of_a_stream(self) -> None:
        app = sends(b"data: 1\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            assert repr(events).startswith("<EventStream: so far: status 200, 9 bytes, 0 comments")

    async def test_of_a_request_that_was_never_sent(self) -> None:
        async def request(last_event_id: str) -> Any:
            raise AssertionError("not sent")

        async with anyio.create_task_group() as tasks:
            events = EventStream(request, tasks, 1)
        assert repr(events) == "<EventStream: nothing was sent>"
        with pytest.raises(UsageError, match="nothing has been sent"):
            _ = events.response
        with pytest.raises(UsageError, match="read after the disconnect; nothing was sent"):
            await events.next()


class TestErrorsOfTheApplication:
    async def test_before_the_head_are_raised_by_the_request(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise LookupError("early")

        async with client_of(app) as client:
            with pytest.raises(LookupError, match="early"):
                async with client.stream("GET", "/"):
                    pytest.fail("it answered")

    async def test_after_an_answer_of_the_framework_are_raised_by_the_next_call(self) -> None:
        async def fails() -> AsyncIterator[int]:
            raise LookupError("early")
            yield 1

        async with client_of(yields(fails)) as client, client.stream("GET", "/") as events:
            assert events.response.status_code == 500
            with pytest.raises(LookupError, match="early"):
                await events.next()

    async def test_after_events_are_raised_once_they_have_been_read(self) -> None:
        async def breaks() -> AsyncIterator[int]:
            yield 1
            raise LookupError("late")

        async with client_of(yields(breaks)) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == 1
            with pytest.raises(LookupError, match="late"):
                await events.next()
            with pytest.raises(NoEventError, match="the stream has ended"):
                await events.next()

    async def test_that_no_call_has_raised_are_raised_by_the_disconnect(self) -> None:
        async def breaks() -> AsyncIterator[int]:
            yield 1
            raise LookupError("late")

        async with client_of(yields(breaks)) as client:
            with pytest.raises(LookupError, match="late"):
                async with client.stream("GET", "/"):
                    await anyio.wait_all_tasks_blocked()

    async def test_of_a_cleanup_are_raised_by_the_disconnect(self) -> None:
        app = sends(error=LookupError("cleanup"))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            with pytest.raises(LookupError, match="cleanup"):
                await events.disconnect()

    async def test_of_a_background_task_are_raised_at_the_end(self) -> None:
        async def fail() -> None:
            raise LookupError("in the background")

        async def numbers() -> AsyncIterator[int]:
            yield 1

        app = EventSourceResponse(numbers(), background=BackgroundTask(fail))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == 1
            with pytest.raises(LookupError, match="in the background"):
                await events.next()

    async def test_after_an_error_of_the_test_are_its_notes(self) -> None:
        app = sends(error=LookupError("later"))
        with pytest.raises(AssertionError, match="of the test") as caught:
            async with client_of(app) as client, client.stream("GET", "/"):
                raise AssertionError("of the test")
        assert type(caught.value) is AssertionError
        assert caught.value.__notes__ == ["afterwards: LookupError('later')"]


class TestDisconnect:
    async def test_returns_when_the_application_has_cleaned_up(self) -> None:
        log = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(1)
                log.append("finally")

        async with client_of(yields(numbers)) as client, client.stream("GET", "/") as events:
            assert events.connected
            await events.disconnect()
            assert log == ["finally"]
            assert not events.connected
            await events.disconnect()

    async def test_keeps_what_was_received_and_refuses_to_wait(self) -> None:
        app = sends(b"data: 1\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
        assert [event.json() for event in events.received] == [1]
        for wait in (events.next, events.next_comment, events.__anext__):
            with pytest.raises(UsageError, match=r"^read after the disconnect; so far: status 200"):
                await wait()

    @pytest.mark.parametrize("reading", ["ahead", "for a call"])
    async def test_leaves_no_generator_open(self, reading: str, recwarn: Any) -> None:
        async def burst() -> AsyncIterator[str]:
            while True:
                yield LONG
                await anyio.sleep(0.01)

        async with client_of(yields(burst)) as client, client.stream("GET", "/") as events:
            await (anyio.sleep(3600) if reading == "ahead" else events.next())
        assert not recwarn.list

    async def test_comes_with_the_end_of_the_client(self) -> None:
        log = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                log.append("finally")

        client = client_of(yields(numbers))
        async with client:
            block = client.stream("GET", "/")
            await block.__aenter__()
        assert log == ["finally"]
        await block.__aexit__(None, None, None)

    async def test_comes_with_a_cancellation_of_the_test(self) -> None:
        log = []

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
                await anyio.sleep_forever()
            finally:
                log.append("finally")

        with anyio.move_on_after(60) as scope:
            async with client_of(yields(numbers)) as client, client.stream("GET", "/"):
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        assert log == ["finally"]


class TestReconnect:
    async def test_waits_for_the_reconnection_time_and_sends_the_last_id(self) -> None:
        seen = []

        async def numbers(request: Request) -> AsyncIterator[ServerSentEvent]:
            last = request.headers.get("last-event-id")
            seen.append(last)
            number = int(last or 0) + 1
            while True:
                yield ServerSentEvent(data=number, id=str(number), retry=3000)
                await anyio.sleep_forever()

        async with client_of(yields(numbers)) as client, client.stream("GET", "/") as events:
            first = await events.next()
            began, response = anyio.current_time(), events.response
            await events.reconnect()
            assert anyio.current_time() - began == pytest.approx(3)
            assert events.connected
            assert events.response is not response
            second = await events.next()
            assert events.received == [first, second]
            assert second.json() == 2
        assert seen == [None, "1"]

    async def test_does_not_wait_by_default(self) -> None:
        app = sends(b"data: 1\n\ndata: unfinished")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            began = anyio.current_time()
            await events.reconnect()
            assert anyio.current_time() == pytest.approx(began)
            assert (await events.next()).raw_data == "1"

    async def test_does_not_wait_for_what_was_read_ahead(self) -> None:
        app = sends(b"data: %s\n\n" % (b"x" * READ_AHEAD))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            await events.reconnect()
            await anyio.wait_all_tasks_blocked()
            assert len(events.received) == 2

    async def test_may_begin_with_an_id(self) -> None:
        async def echo(request: Request) -> AsyncIterator[str]:
            yield request.headers["last-event-id"]

        app = yields(echo)
        async with (
            client_of(app) as client,
            client.stream("GET", "/", last_event_id="7") as events,
        ):
            assert (await events.next()).json() == "7"
            assert events.last_event_id == "7"
            await events.reconnect()
            assert (await events.next()).json() == "7"

    async def test_raises_the_error_of_the_application(self) -> None:
        app = sends(error=LookupError("cleanup"))
        async with client_of(app) as client, client.stream("GET", "/") as events:
            with pytest.raises(LookupError, match="cleanup"):
                await events.reconnect()
            assert not events.connected


class TestUse:
    async def test_two_tasks_may_not_wait_for_one_stream(self) -> None:
        app = sends()
        async with (
            client_of(app) as client,
            client.stream("GET", "/") as events,
            anyio.create_task_group() as tasks,
        ):

            async def first() -> None:
                with pytest.raises(NoEventError):
                    await events.next()

            tasks.start_soon(first)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(UsageError, match="two tasks wait for events"):
                await events.next_comment()

    async def test_outside_of_the_block_is_refused(self) -> None:
        client = client_of(sends())
        with pytest.raises(UsageError, match="async with EventClient"):
            async with client.stream("GET", "/"):
                pytest.fail("it was sent")
        await client.__aexit__()

    async def test_options_of_the_transport_are_refused_for_a_url(self) -> None:
        with pytest.raises(UsageError, match=r"^patience, window: only for an application"):
            EventClient("http://127.0.0.1", patience=1, window=2)

    async def test_a_server_may_have_a_url(self) -> None:
        client = EventClient("http://example.org/api")
        assert client.http.base_url == "http://example.org/api/"

    async def test_requests_send_their_arguments(self) -> None:
        async def echo(request: Request) -> AsyncIterator[Any]:
            body = await request.json()
            yield [request.method, request.url.hostname, request.url.query]
            yield [request.headers[name] for name in ("accept", "x-all", "x-one")]
            yield body

        app = yields(echo)
        async with (
            client_of(app, headers={"x-all": "1"}, base_url="http://example.org") as client,
            client.stream(
                "POST", "/", headers={"x-one": "2"}, params={"q": 3}, json={"a": 4}
            ) as events,
        ):
            assert [event.json() async for event in events] == [
                ["POST", "example.org", "q=3"],
                ["text/event-stream", "1", "2"],
                {"a": 4},
            ]

    @pytest.mark.parametrize("given", ["*/*", "application/json"])
    async def test_another_accept_may_be_set(self, given: str) -> None:
        async def echo(request: Request) -> AsyncIterator[str]:
            yield request.headers["accept"]

        headers = {"accept": given}
        async with (
            client_of(yields(echo)) as client,
            client.stream("GET", "/", headers=headers) as events,
        ):
            expected = "text/event-stream" if given == "*/*" else given
            assert (await events.next()).json() == expected

    async def test_options_of_httpx_are_passed_to_it(self) -> None:
        async def echo(request: Request) -> AsyncIterator[str]:
            yield request.headers["authorization"]

        async def away(request: Request) -> Response:
            return RedirectResponse("/there")

        routes = [Route("/", away), Route("/there", event_stream(echo))]
        async with (
            client_of(Starlette(routes=routes)) as client,
            client.stream("GET", "/", auth=("a", "b"), follow_redirects=True) as events,
        ):
            assert (await events.next()).json() == "Basic YTpi"

    async def test_other_responses_are_read_by_the_httpx_client(self) -> None:
        async with client_of(JSONResponse({"a": 1})) as client:
            assert (await client.http.post("/", json=1)).json() == {"a": 1}


@pytest.mark.e2e
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
class TestRealServer:
    async def test_sends_events_and_sees_the_disconnect(self, tmp_path: Path) -> None:
        with running(KINDS[0], tmp_path / "output") as server:
            url = f"http://127.0.0.1:{server.port}"
            async with EventClient(url) as client:
                async with client.stream("GET", "/idle?name=kit") as events:
                    assert (await events.next()).json() == "first"
                    assert events.connected
                journal = await client.http.get("/journal/kit?count=3")
            assert journal.json() == WHOLE_LIFE

    async def test_a_burst_waits_and_a_large_part_can_be_read(self, tmp_path: Path) -> None:
        with running(KINDS[0], tmp_path / "output") as server:
            url = f"http://127.0.0.1:{server.port}"
            async with EventClient(url) as client:
                async with client.stream("GET", "/flow?name=kit") as events:
                    assert len(await events.take(2000)) == 2000
                    await events.reconnect()
                    await events.take(10)
                journal = await client.http.get("/journal/kit?count=6")
            assert sorted(journal.json()) == sorted(WHOLE_LIFE * 2)
