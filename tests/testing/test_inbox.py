"""What a test has taken of a stream decides what a reconnect sends, not what was read ahead."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware.testing import EventClient, EventStream, NoEventError
from sse_middleware.testing.event_stream import READ_AHEAD
from sse_middleware.testing.inbox import Inbox
from tests.testing.messages import END, body, start

BURST = b"".join(b"id: %d\ndata: %d\n\n" % (number, number) for number in range(1, 6))

# Each symbol of a script is one call, and what `last_event_id` is after it.
STREAMS = {
    "events": (BURST, "e1 e2 e3 e4 e5 end5"),
    "ids without events": (
        b"id: 1\n\nid: 2\ndata: a\n\nid: 3\n\nid: 4\n\ndata: b\n\nid: 5\n\n",
        "e2 e4 end5",
    ),
    "an id without an event, and then nothing": (b"data: a\n\nid: 2\n\n", "e end2"),
    "an id alone": (b"id: 2\n\n", "end2"),
    "an id that is taken back": (b"id: 1\ndata: a\n\nid\n\ndata: b\n\n", "e1 e end"),
    "an id that is taken back at the end": (b"id: 1\ndata: a\n\nid:\n\n", "e1 end"),
    "an id with NUL": (b"id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n", "e1 e1 end1"),
    "an event that is not finished": (b"id: 1\ndata: a\n\nid: 2\ndata: b\n", "e1 end1"),
    "a comment that follows": (b"id: 1\ndata: a\n\nid: 2\n\n: c\n\nid: 3\n\n", "e1 c2 end3"),
    "a comment that was taken first": (b"id: 1\ndata: a\n\nid: 2\n\n: c\n\n", "c e2 end2"),
    "a comment that nobody takes": (b": c\n\nid: 1\ndata: a\n\nid: 2\n\n: c\n\n", "e1 end2"),
    "a comment within an event": (b"id: 1\n: c\ndata: a\n\n", "c e1 end1"),
    "a comment before an event": (b"id: 1\n\n: c\nid: 2\ndata: a\n\n", "c1 e2 end2"),
    "comments in front of events": (
        b": c\n\nid: 1\ndata: a\n\n: c\n\nid: 2\ndata: b\n\nid: 3\n\n: c\n\n",
        "c c c e1 e3 end3",
    ),
    "comments after events": (
        b": c\n\nid: 1\ndata: a\n\n: c\n\nid: 2\ndata: b\n\nid: 3\n\n: c\n\n",
        "e1 e2 c2 c2 c3 end3",
    ),
    "lines that end in all ways": (
        b"\xef\xbb\xbfid: 1\r\ndata: a\r\n\r\nid: 2\r\r: c\r\rid: \xc3\xa9\ndata: b\r\n\n",
        "e1 c2 e\u00e9 end\u00e9",
    ),
}
each_stream = pytest.mark.parametrize(("stream", "script"), STREAMS.values(), ids=STREAMS)


def sends(*chunks: bytes, end: bool = False, seen: list[bytes] | None = None) -> ASGIApp:
    """Return an application that sends these chunks and ends, or stays until its client leaves."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if seen is not None:
            seen.append(dict(scope["headers"]).get(b"last-event-id", b""))
        await send(start())
        for chunk in chunks:
            await send(body(chunk))
        if end:
            await send(END)
        while (await receive())["type"] != "http.disconnect":
            pass

    return app


def client_of(app: ASGIApp, **options: Any) -> EventClient:
    return EventClient(app, run_lifespan=False, **options)


async def to_the_end(events: EventStream) -> None:
    with pytest.raises(NoEventError):
        await events.next()


CALLS: dict[str, Callable[[EventStream], Awaitable[object]]] = {
    "e": EventStream.next,
    "c": EventStream.next_comment,
    "end": to_the_end,
}


STEPS: dict[str, Callable[[Inbox], object]] = {
    "e": Inbox.take_event,
    "c": Inbox.take_comment,
    "end": Inbox.take_rest,
}


async def follow(events: EventStream, script: str) -> None:
    """Make the calls of a script, and look at the id after each."""
    for step in script.split():
        call = "end" if step.startswith("end") else step[0]
        await CALLS[call](events)
        assert events.last_event_id == step.removeprefix(call), step


@each_stream
def test_an_inbox_goes_by_what_was_taken_wherever_the_bytes_are_cut(
    stream: bytes, script: str
) -> None:
    for cut in range(len(stream)):
        for second in (cut, len(stream) - 1):
            inbox = Inbox()
            for chunk in (stream[:cut], stream[cut:second], stream[second:]):
                inbox.feed(chunk)
            for step in script.split():
                call = "end" if step.startswith("end") else step[0]
                STEPS[call](inbox)
                assert inbox.last_event_id == step.removeprefix(call), step
            assert not inbox.has_event


@pytest.mark.anyio
class TestId:
    @each_stream
    @pytest.mark.parametrize("end", [True, False], ids=["ends", "goes on"])
    async def test_is_the_last_of_what_was_taken(
        self, stream: bytes, script: str, end: bool
    ) -> None:
        app = sends(stream, end=end)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            assert events.last_event_id == ""
            await follow(events, script)

    async def test_does_not_depend_on_how_events_are_taken(self) -> None:
        async with client_of(sends(BURST, end=True)) as client:
            async with client.stream("GET", "/") as events:
                await events.take(3)
                assert events.last_event_id == "3"
                assert [event.id async for event in events] == ["4", "5"]
                assert events.last_event_id == "5"
            assert events.last_event_id == "5"

    async def test_after_an_iteration_is_the_last_of_all(self) -> None:
        app = sends(b"data: a\n\nid: 7\n\n", end=True)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            assert len([event async for event in events]) == 1
            assert events.last_event_id == "7"

    async def test_does_not_depend_on_when_it_is_looked_at(self) -> None:
        app = sends(b"id: 1\ndata: a\n\n", b"id: 2\n\n", b"id: 3\ndata: b\n\n", b"id: 4\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            for _ in range(20):
                assert events.last_event_id == "1"
                await anyio.sleep(60)

    async def test_a_wait_that_the_test_gives_up_has_taken_what_came(self) -> None:
        app = sends(b"data: a\n\nid: 7\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            with anyio.move_on_after(1):
                await events.next()
            assert events.last_event_id == "7"

    async def test_a_comment_that_does_not_come_takes_no_event(self) -> None:
        app = sends(BURST + b"id: 6\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            with pytest.raises(NoEventError):
                await events.next_comment()
            assert events.last_event_id == ""
            await events.take(4)
            assert events.last_event_id == "4"
            await events.next()
            assert events.last_event_id == "6"

    async def test_an_error_of_the_application_comes_after_all_that_was_sent(self) -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await send(start())
            await send(body(b"data: a\n\nid: 7\n\n"))
            raise LookupError("late")

        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            with pytest.raises(LookupError, match="late"):
                await events.next()
            assert events.last_event_id == "7"


@pytest.mark.anyio
class TestReconnect:
    @pytest.mark.parametrize("taken", range(6))
    async def test_sends_the_id_of_what_was_taken(self, taken: int) -> None:
        seen: list[bytes] = []
        async with (
            client_of(sends(BURST, seen=seen)) as client,
            client.stream("GET", "/", last_event_id="first") as events,
        ):
            await anyio.wait_all_tasks_blocked()
            await events.take(taken)
            assert [event.id for event in events.received] == ["1", "2", "3", "4", "5"]
            await events.reconnect()
        assert seen == [b"first", str(taken).encode() if taken else b"first"]

    async def test_returns_events_of_the_new_connection_alone(self) -> None:
        async with (
            client_of(sends(b": c1\n\n: c2\n\n", BURST)) as client,
            client.stream("GET", "/") as events,
        ):
            await anyio.wait_all_tasks_blocked()
            assert await events.next_comment() == "c1"
            await events.take(3)
            await events.reconnect()
            await anyio.wait_all_tasks_blocked()
            assert await events.next_comment() == "c1"
            assert [event.id for event in await events.take(5)] == ["1", "2", "3", "4", "5"]
            assert len(events.received) == 10
            assert events.comments == ["c1", "c2"] * 2

    async def test_twice_without_an_event_sends_the_same_id(self) -> None:
        seen: list[bytes] = []
        async with (
            client_of(sends(BURST, seen=seen)) as client,
            client.stream("GET", "/") as events,
        ):
            await events.take(2)
            await events.reconnect()
            await anyio.wait_all_tasks_blocked()
            await events.reconnect()
        assert seen == [b"", b"2", b"2"]

    async def test_keeps_nothing_of_an_unfinished_event(self) -> None:
        seen: list[bytes] = []
        chunks = (b"id: 1\ndata: a\n\n", b"id: 2\nretry: 5\ndata: unfini")
        app = sends(*chunks, seen=seen)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            await anyio.wait_all_tasks_blocked()
            await events.reconnect()
            event = await events.next()
            assert (event.id, event.retry, event.raw_data) == ("1", None, "a")
        assert seen == [b"", b"1"]

    async def test_of_a_stream_that_has_read_ahead_to_its_bound(self) -> None:
        seen: list[bytes] = []
        event = b"id: %d\ndata: " + b"x" * 1000 + b"\n\n"
        app = sends(*[event % number for number in range(200)], seen=seen)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            assert len(events.body) >= READ_AHEAD
            await events.take(3)
            await events.reconnect()
            assert (await events.next()).id == "0"
        assert seen == [b"", b"2"]


@pytest.mark.anyio
class TestReconnectionTime:
    @pytest.mark.parametrize(("taken", "expected"), [(0, None), (1, 1000), (2, 1000), (3, 3000)])
    async def test_is_the_last_of_what_was_taken(self, taken: int, expected: int | None) -> None:
        stream = (
            b"retry: 1000\ndata: a\n\ndata: b\n\nretry: 2000\n\nretry: 3000\ndata: c\n\n"
            b"retry: 4000\n\n"
        )
        async with client_of(sends(stream)) as client, client.stream("GET", "/") as events:
            await anyio.wait_all_tasks_blocked()
            await events.take(taken)
            assert events.reconnection_time == expected
            began = anyio.current_time()
            await events.reconnect()
            assert anyio.current_time() - began == pytest.approx((expected or 0) / 1000)

    async def test_at_the_end_is_the_last_of_all(self) -> None:
        app = sends(b"data: a\n\nretry: 2000\n\n", end=True)
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            assert events.reconnection_time is None
            await to_the_end(events)
            assert events.reconnection_time == 2000

    async def test_outlives_a_reconnect(self) -> None:
        app = sends(b"retry: 2000\ndata: a\n\n")
        async with client_of(app) as client, client.stream("GET", "/") as events:
            await events.next()
            for _ in range(2):
                await events.reconnect()
                assert events.reconnection_time == 2000
