"""Streams of subscriptions: everything that holds for a stream holds for these."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    Hub,
    ServerSentEvent,
    SSEMiddleware,
    event_stream,
)
from sse_middleware.errors import HubError
from sse_middleware.hub.subscriber_stream import SubscriptionProducer
from sse_middleware.introspection.generators import Stage
from sse_middleware.observers import EventsSent, FirstEvent, GapTold, PingSent, StreamRecord
from sse_middleware.presets import Preset
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.queue import NoWriter
from sse_middleware.testing import EventClient, EventStream
from tests.hub.subscribers import passed
from tests.served import ClosedStreams, body_of, call, chunks_of, client_of, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

POSITION = re.compile(rb"id: ([0-9A-Z]{15})\n\n")


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as opened:
        yield opened


def subscribing(hub: Hub, *topics: str, **options: Any) -> Any:
    """Return an application that answers each request with a new subscription."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = EventSourceResponse(hub.subscribe(*(topics or ("a",)), **options))
        await response(scope, receive, send)

    return app


def data_of(events: list[ServerSentEvent]) -> list[Any]:
    return [event.json() for event in events]


@asynccontextmanager
async def opened(app: Any, **options: Any) -> AsyncIterator[EventStream]:
    """Open a stream, and wait for its position."""
    async with events_of(app, **options) as events:
        await events.next_id()
        yield events


async def test_what_is_published_comes_with_its_id(hub: Hub) -> None:
    async with opened(SSEMiddleware(subscribing(hub, "a", "b"))) as events:
        ids = [
            await hub.publish("a", {"x": 1}),
            await hub.publish("b", ServerSentEvent(data=[2], event="note", retry=7)),
            await hub.publish("a", "three", event="note"),
        ]
        taken = await events.take(3)
    assert data_of(taken) == [{"x": 1}, [2], "three"]
    assert [event.id for event in taken] == ids
    assert [event.event for event in taken] == [None, "note", "note"]


async def test_without_the_middleware(hub: Hub) -> None:
    async with opened(subscribing(hub)) as events:
        await hub.publish("a", 1)
        assert (await events.next()).json() == 1


async def test_an_endpoint_may_return_a_subscription(hub: Hub) -> None:
    @event_stream
    async def feed(request: Request) -> Any:
        return hub.subscribe(request.query_params["topic"])

    app = SSEMiddleware(Starlette(routes=[Route("/", feed)]))
    async with client_of(app) as client, client.stream("GET", "/?topic=b") as events:
        await events.next_id()
        await hub.publish("b", 1)
        assert (await events.next()).json() == 1


class TestPosition:
    async def test_a_stream_begins_with_one(self, hub: Hub) -> None:
        at = await hub.position()
        async with opened(SSEMiddleware(subscribing(hub))) as events:
            assert events.body == f"id: {at}\n\n".encode()
            assert events.received == []

    async def test_silence_moves_it(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), ping_interval=10)
        async with opened(app) as events:
            last = await hub.publish("other", 1)
            await anyio.sleep(10.5)
            first, second = POSITION.findall(events.body)
            assert first < second == last.encode()
            assert POSITION.sub(b"", events.body) == b""

    async def test_a_client_that_heard_nothing_misses_nothing(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub))
        async with opened(app) as events:
            await events.disconnect()
            await hub.publish("a", 1)
            await events.reconnect()
            assert (await events.next()).json() == 1

    async def test_it_may_come_as_a_parameter(self, hub: Hub) -> None:
        at = await hub.position()
        await hub.publish("a", 1)
        async with (
            client_of(SSEMiddleware(subscribing(hub))) as client,
            client.stream("GET", f"/?last_event_id={at}") as events,
        ):
            assert (await events.next()).json() == 1

    async def test_a_reconnect_continues(self, hub: Hub) -> None:
        async with opened(SSEMiddleware(subscribing(hub))) as events:
            for number in range(3):
                await hub.publish("a", number)
            assert (await events.next()).json() == 0
            await events.reconnect()
            assert data_of(await events.take(2)) == [1, 2]

    async def test_what_is_no_id_of_the_hub_is_a_gap(self, hub: Hub) -> None:
        await hub.publish("a", 1)
        async with opened(
            SSEMiddleware(subscribing(hub)), headers={"last-event-id": "17"}
        ) as events:
            gap, event = await events.take(2)
        assert gap.event == "gap"
        assert gap.json() == {"topics": ["a"], "reason": "reset"}
        assert event.json() == 1

    async def test_a_keep_alive_of_the_application_replaces_it(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), ping_interval=10, ping="here")
        async with opened(app) as events:
            await anyio.sleep(10.5)
            # No blank line, since the client may dispatch at each one.
            assert events.body == POSITION.findall(events.body)[0].join([b"id: ", b"\n\n: here\n"])


class TestEnd:
    async def test_a_client_that_leaves(self, hub: Hub) -> None:
        closed = ClosedStreams()
        app = SSEMiddleware(subscribing(hub), observers=[closed], on_disconnect="finish")
        async with opened(app):
            pass
        assert await closed.wait_for(1) == [CloseReason.CLIENT_DISCONNECTED]
        assert app.stats().open == 0

    async def test_a_drain_sends_the_farewell_after_what_was_published(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), drain_grace=0)
        async with opened(app) as events:
            await hub.publish("a", 1)
            await app.drain()
            assert data_of([event async for event in events]) == [1]
            assert b"retry: " in events.body.rpartition(b"id: ")[2]

    async def test_a_drain_after_silence(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), drain_grace=0)
        async with opened(app) as events:
            await anyio.sleep(1)
            await app.drain()
            assert [event async for event in events] == []
            assert re.fullmatch(rb"id: \w{15}\n\nretry: \d+\n\n", events.body)

    @pytest.mark.parametrize("passes", range(4))
    async def test_a_client_that_leaves_at_once(self, hub: Hub, passes: int) -> None:
        async def leave() -> None:
            for _ in range(passes):
                await checkpoint()

        closed = ClosedStreams()
        app = SSEMiddleware(subscribing(hub), observers=[closed])
        await call(app, leave=leave)
        assert closed.reasons == [CloseReason.CLIENT_DISCONNECTED]

    async def test_the_longest_duration(self, hub: Hub) -> None:
        closed = ClosedStreams()
        app = SSEMiddleware(
            subscribing(hub),
            observers=[closed],
            max_duration=10,
            farewell=lambda reason: ServerSentEvent(data=reason.value),
        )
        async with opened(app) as events:
            assert (await events.next()).json() == "max_duration"
        assert closed.reasons == [CloseReason.MAX_DURATION]

    async def test_silence_of_the_topic(self, hub: Hub) -> None:
        closed = ClosedStreams()
        app = SSEMiddleware(subscribing(hub), observers=[closed], idle_timeout=30)
        async with opened(app) as events:
            await anyio.sleep(20)
            await hub.publish("a", 1)
            assert (await events.next()).json() == 1
            began = anyio.current_time()
            assert await closed.wait_for(1) == [CloseReason.IDLE_TIMEOUT]
            assert anyio.current_time() - began == pytest.approx(30, abs=0.1)

    async def test_a_client_that_does_not_read(self, hub: Hub) -> None:
        closed = ClosedStreams()
        app = SSEMiddleware(
            subscribing(hub), observers=[closed], send_timeout=5, on_disconnect="finish"
        )
        async with chunks_of(app, window=1) as chunks:
            await anext(chunks)
            for number in range(3):
                await hub.publish("a", number)
                await anyio.sleep(0.1)
            assert await closed.wait_for(1) == [CloseReason.SEND_TIMEOUT]

    async def test_a_disconnected_subject(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub, "a", subject="ann"))
        async with opened(app) as events, opened(SSEMiddleware(subscribing(hub))) as others:
            await hub.publish("a", 1)
            assert (await events.next()).json() == 1
            await hub.disconnect("ann")
            assert [event async for event in events] == []
            await hub.publish("a", 2)
            assert data_of(await others.take(2)) == [1, 2]

    async def test_the_end_of_the_hub(self) -> None:
        async def read() -> None:
            async with opened(SSEMiddleware(subscribing(hub))) as events:
                begun.set()
                assert [event async for event in events] == []

        begun = anyio.Event()
        async with anyio.create_task_group() as readers, Hub() as hub:
            readers.start_soon(read)
            await begun.wait()

    async def test_a_hub_that_is_not_open(self) -> None:
        app = SSEMiddleware(subscribing(Hub()))
        with pytest.raises(HubError, match="is not open"):
            await body_of(app)

    async def test_a_request_that_is_cancelled(self, hub: Hub) -> None:
        closed = ClosedStreams()
        app = SSEMiddleware(subscribing(hub), observers=[closed])
        with anyio.move_on_after(5) as scope:
            await call(app)
        assert scope.cancelled_caught
        assert closed.reasons == [CloseReason.CANCELLED]


class TestPolicy:
    async def test_a_stream_that_is_refused(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), max_streams=1)
        async with opened(app), client_of(app) as client:
            assert (await client.http.get("/")).status_code == 503

    async def test_only_the_head(self, hub: Hub) -> None:
        async with client_of(SSEMiddleware(subscribing(hub))) as client:
            response = await client.http.head("/")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.content == b""

    async def test_observers_count_its_events(self, hub: Hub) -> None:
        records: list[StreamRecord] = []
        app = SSEMiddleware(subscribing(hub), observers=[records.append], ping_interval=10)
        async with opened(app) as events:
            await hub.publish("a", 1)
            await events.next()
            await anyio.sleep(10.5)
            stats = app.stats()
            size = len(events.body)
        kinds = [type(record) for record in records]
        assert kinds.count(FirstEvent) == 1
        assert sum(one.events for one in records if isinstance(one, EventsSent)) == 1
        assert kinds.count(PingSent) == 2  # the position at the beginning, and the keep-alive
        assert (stats.events, stats.size) == (1, size)

    async def test_observers_are_told_of_gaps(self, hub: Hub) -> None:
        records: list[StreamRecord] = []
        app = SSEMiddleware(subscribing(hub, "a", "b"), observers=[records.append])
        async with opened(app, headers={"last-event-id": "x"}):
            pass
        assert [(one.topics, one.reason) for one in records if isinstance(one, GapTold)] == [
            (("a", "b"), "reset")
        ]

    async def test_it_is_compressed(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), compression=["gzip"])
        async with (
            client_of(app, headers={"accept-encoding": "gzip"}) as client,
            client.stream("GET", "/") as events,
        ):
            await events.next_id()
            await hub.publish("a", "x" * 1000)
            assert (await events.next()).json() == "x" * 1000
            assert events.response.headers["content-encoding"] == "gzip"

    @pytest.mark.parametrize("subject", [None, "ann"])  # the store is asked about a subject
    async def test_a_preset_begins_the_stream(self, hub: Hub, subject: str | None) -> None:
        preset = Preset(first=ServerSentEvent(event="hello", data=1))
        app = SSEMiddleware(subscribing(hub, subject=subject), preset=preset)
        async with opened(app) as events:
            await hub.publish("a", 2)
            assert data_of(await events.take(2)) == [1, 2]

    async def test_an_id_of_a_preset_replaces_no_keep_alive(self, hub: Hub) -> None:
        preset = Preset(first=ServerSentEvent(data=1, id="x"))
        app = SSEMiddleware(subscribing(hub), preset=preset, ping_interval=10)
        async with opened(app) as events:
            await anyio.sleep(10.5)
            assert len(POSITION.findall(events.body)) == 2

    async def test_a_client_may_want_no_blocks_that_have_only_an_id(self, hub: Hub) -> None:
        """OpenAI's, for example: it takes each blank line after an id for an event."""
        app = SSEMiddleware(
            subscribing(hub, where=lambda event: event.json() % 50 == 0),
            ping_blank_line=False,
            ping_interval=10,
        )
        async with events_of(app) as events:
            await events.next_comment()
            for number in range(101):
                await hub.publish("a", number)
            assert data_of(await events.take(3)) == [0, 50, 100]
            await events.next_comment()
            assert POSITION.findall(events.body) == []
            assert events.body.startswith(b": ping\nid: ")
            assert events.body.endswith(b"data: 100\n\n: ping\n")

    async def test_a_slow_client_delays_nobody(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), send_timeout=None)
        async with chunks_of(app, window=1) as chunks, opened(app) as events:
            await anext(chunks)
            for number in range(50):
                await hub.publish("a", number)
                assert (await events.next()).json() == number
            body = b""
            while body.count(b"data: ") < 50:
                body += await anext(chunks)
        assert re.findall(rb"data: (\d+)", body) == [b"%d" % number for number in range(50)]

    async def test_many_events_at_once(self, hub: Hub) -> None:
        app = SSEMiddleware(subscribing(hub), max_buffer=200)
        async with opened(app) as events:
            for number in range(100):
                await hub.publish("a", number)
            assert data_of(await events.take(100)) == list(range(100))


class TestLifespan:
    async def test_it_opens_the_hub(self) -> None:
        hub = Hub()

        async def feed(_request: Request) -> Response:
            return EventSourceResponse(hub.subscribe("a"))

        app = SSEMiddleware(Starlette(routes=[Route("/", feed)]), hub=hub)
        async with EventClient(app, timeout=1000) as client, client.stream("GET", "/") as events:
            assert hub.is_open
            await events.next_id()
            await hub.publish("a", 1)
            assert (await events.next()).json() == 1
        assert not hub.is_open

    async def test_an_open_hub_stays_open(self, hub: Hub) -> None:
        app = SSEMiddleware(Starlette(), hub=hub)
        async with EventClient(app, timeout=1000):
            pass
        assert hub.is_open


async def test_a_stream_that_has_ended_takes_nothing_more(hub: Hub) -> None:
    outbox = SubscriptionProducer(hub.subscribe("a")).outbox(1000, stepwise=False)
    outbox.close(Ending.ABANDONED)
    outbox.pull()
    assert not outbox.raised


async def test_a_subscription_is_never_about_to_end_by_itself(hub: Hub) -> None:
    assert SubscriptionProducer(hub.subscribe("a")).stage() is Stage.PRODUCING


async def test_what_keeps_a_subscription_from_opening_is_for_the_endpoint() -> None:
    outbox = SubscriptionProducer(Hub().subscribe("a")).outbox(1000, stepwise=False)
    await outbox._open()
    assert outbox.is_over()
    with pytest.raises(HubError):
        outbox.conclude()
    outbox.conclude()


class Woken(NoWriter):
    """Notes that the writer ran."""

    def __init__(self, wakes: list[None]) -> None:
        self._wakes = wakes

    def run(self) -> None:
        self._wakes.append(None)


async def test_a_writer_that_has_taken_nothing_yet_is_not_woken_again(hub: Hub) -> None:
    subscription = hub.subscribe("a", "b")
    outbox = SubscriptionProducer(subscription).outbox(1000, stepwise=True)
    await subscription.open(outbox.pull)
    outbox.begin()
    outbox.raised, wakes = False, list[None]()
    outbox.writer = Woken(wakes)
    for name in ("a", "b", "a"):
        await hub.publish(name, 1)
        await passed()
    assert len(wakes) == 1
    outbox.raised = False
    await hub.publish("a", 1)
    await passed()
    assert len(wakes) == 2
    subscription.close()


async def test_what_waits_for_the_position_comes_after_it_when_the_stream_ends(hub: Hub) -> None:
    subscription = hub.subscribe("a")
    outbox = SubscriptionProducer(subscription).outbox(1000, stepwise=False)
    await subscription.open(outbox.pull)
    outbox.begin()
    await hub.publish("a", 1)
    outbox.close(Ending.COMPLETE)
    assert re.fullmatch(rb"id: \w+\n\nid: \w+\ndata: 1\n\n", outbox.take())
    subscription.close()


async def test_only_the_first_control_frame_comes_before_events(hub: Hub) -> None:
    subscription = hub.subscribe("a")
    outbox = SubscriptionProducer(subscription).outbox(1000, stepwise=False)
    await subscription.open(outbox.pull)
    outbox.begin()
    await hub.publish("a", 1)
    assert re.fullmatch(rb"id: \w+\n\nid: \w+\ndata: 1\n\n", outbox.take())
    await hub.publish("a", 2)
    outbox.put(b"retry: 1\n\n", 0)
    assert re.fullmatch(rb"id: \w+\ndata: 2\n\nretry: 1\n\n", outbox.take())
    subscription.close()


async def test_what_others_have_taken_is_followed_by_what_came_since(hub: Hub) -> None:
    first, second = hub.subscribe("a"), hub.subscribe("a", "b")
    for subscription in (first, second):
        await subscription.open(lambda: None)
        subscription.position_frame()
        assert subscription.take(1000) == b""
    await hub.publish("a", 1)
    one = first.take(1000)
    await hub.publish("a", 2)
    both = second.take(1000)
    assert both == one + first.take(1000)
    assert [b"data: %d\n" % number in both for number in (1, 2)] == [True, True]
    assert first.take(1000) == second.take(1000) == b""
    first.close()
    second.close()
