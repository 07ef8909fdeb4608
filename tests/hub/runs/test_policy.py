"""The streams of viewers are under the policy of all streams."""

import gc
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware import CloseReason, EventSourceResponse, Hub, ServerSentEvent, SSEMiddleware
from sse_middleware.errors import ConfigurationError
from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.run import RunState
from sse_middleware.observers import GapTold, StreamRecord
from tests.hub.runs.kit import (
    answer_to,
    attaching,
    data_of,
    for_ever,
    last_id,
    numbers,
    until_state,
    viewed,
)
from tests.served import body_of, call, chunks_of, client_of, events_of, observed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class TestEnds:
    async def test_a_drain(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub), drain_grace=0)
        await hub.resumable("k", for_ever)
        async with events_of(app) as events:
            await events.next()
            await app.drain()
            assert [event async for event in events] == []
            assert re.search(rb"\nretry: \d+\n\n$", events.body)
        assert closed.reasons == [CloseReason.DRAINED]
        assert await hub.state("k") is RunState.RUNNING

    async def test_its_lifetime(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub), max_duration=10)
        await hub.resumable("k", numbers(30, 1))
        taken: list[Any] = []
        async with events_of(app) as events:
            while len(taken) < 30:
                taken += [event.json() async for event in events]
                if len(taken) < 30:
                    await events.reconnect()
        assert taken == list(range(30))
        assert closed.reasons[:2] == [CloseReason.MAX_DURATION] * 2

    async def test_silence(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub), idle_timeout=20)
        await hub.resumable("k", for_ever)
        async with events_of(app) as events:
            await events.next()
            assert [event async for event in events] == []
        assert closed.reasons == [CloseReason.IDLE_TIMEOUT]

    async def test_a_client_that_does_not_read(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub), send_timeout=5, on_disconnect="finish")
        await hub.resumable("k", numbers(100, 1))
        async with chunks_of(app, window=1) as chunks:
            await anext(chunks)
            assert await closed.wait_for(1) == [CloseReason.SEND_TIMEOUT]

    async def test_a_request_that_is_cancelled(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub))
        await hub.resumable("k", for_ever)
        with anyio.move_on_after(5) as scope:
            await call(app)
        assert scope.cancelled_caught
        assert closed.reasons == [CloseReason.CANCELLED]
        assert await hub.state("k") is RunState.RUNNING

    async def test_a_disconnected_subject(self, hub: Hub) -> None:
        app, closed = observed(attaching(hub, subject="ann"))
        await hub.resumable("k", for_ever)
        async with events_of(app) as events, events_of(attaching(hub)) as others:
            await events.next()
            await others.next()
            await hub.disconnect("ann")
            assert [event async for event in events] == []
            assert await hub.state("k") is RunState.RUNNING
            await hub.stop("k")
            assert [event async for event in others] == []
        assert closed.reasons == [CloseReason.FINISHED]

    async def test_of_whoever_asked(self, hub: Hub) -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            viewer = await hub.resumable("k", for_ever, subject=17)
            await EventSourceResponse(viewer)(scope, receive, send)

        async with events_of(app) as events:
            await events.next()
            await hub.disconnect(17)
            assert [event async for event in events] == []

    @pytest.mark.parametrize("factory", [numbers(3, 1), for_ever])
    async def test_the_end_of_the_run(self, hub: Hub, factory: Any) -> None:
        app, closed = observed(attaching(hub))
        await hub.resumable("k", factory)
        async with events_of(app) as events:
            await events.next()
            if factory is for_ever:
                await hub.stop("k")
            assert len([event async for event in events]) == 2 * (factory is not for_ever)
        assert closed.reasons == [CloseReason.FINISHED]

    async def test_the_end_of_the_hub(self) -> None:
        async def read() -> None:
            async with events_of(attaching(hub)) as events:
                await events.next()
                begun.set()
                assert [event async for event in events] == []

        begun = anyio.Event()
        async with anyio.create_task_group() as readers, Hub(drain_grace_resumable=0) as hub:
            await hub.resumable("k", for_ever)
            readers.start_soon(read)
            await begun.wait()


class TestLimits:
    async def test_a_stream_that_is_refused(self, hub: Hub) -> None:
        app = SSEMiddleware(attaching(hub), max_streams=1)
        await hub.resumable("k", for_ever)
        async with events_of(app), client_of(app) as client:
            assert (await client.http.get("/")).status_code == 503
        async with events_of(app) as events:
            await events.next()

    async def test_a_viewer_is_for_one_stream(self, hub: Hub) -> None:
        viewer = await hub.resumable("k", numbers(2))

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(viewer)(scope, receive, send)

        assert await body_of(app, "HEAD") == b""
        assert data_of(await body_of(app)) == [0, 1]
        with pytest.raises(ConfigurationError, match="is for one stream"):
            await body_of(app)

    @pytest.mark.parametrize("bound", [1, 100, 5000])
    async def test_its_messages_are_bounded(self, hub: Hub, bound: int) -> None:
        await hub.resumable("k", numbers(500))
        await until_state(hub, RunState.DONE)
        async with chunks_of(SSEMiddleware(attaching(hub), max_buffer=bound)) as chunks:
            parts = [chunk async for chunk in chunks]
        assert data_of(b"".join(parts)) == list(range(500))
        assert max(map(len, parts)) <= bound + 100


class TestWhere:
    async def test_it_filters_replays_and_news(self, hub: Hub) -> None:
        def is_even(event: PublishedEvent) -> bool:
            seen.append(event.topic)
            return event.json() % 2 == 0  # type: ignore[no-any-return]

        seen: list[str] = []
        await hub.resumable("k", numbers(10, 1))
        body = (await answer_to(attaching(hub, where=is_even))).content
        assert data_of(body) == [0, 2, 4, 6, 8]
        late = (await answer_to(attaching(hub, where=is_even))).content
        assert data_of(late) == [0, 2, 4, 6, 8]
        assert (await answer_to(attaching(hub), last_id(late))).status_code == 204
        assert seen == ["k"] * 20  # no marker is shown

    async def test_one_that_drops_all(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(200))
        body = (await answer_to(attaching(hub, where=lambda _: False))).content
        assert data_of(body) == []
        assert (await answer_to(attaching(hub), last_id(body))).status_code == 204

    async def test_one_that_fails(self, hub: Hub) -> None:
        def fail(_: PublishedEvent) -> bool:
            raise LookupError("in the filter")

        await hub.resumable("k", numbers(2))
        with pytest.raises(LookupError, match="in the filter"):
            await answer_to(attaching(hub, where=fail))
        gc.collect()  # the traceback
        assert await viewed(hub) == [0, 1]

    async def test_events_without_data(self, hub: Hub) -> None:
        async def generate() -> AsyncIterator[Any]:
            yield ServerSentEvent(event="named")
            yield ServerSentEvent(comment="hello")
            yield ServerSentEvent(data=1)

        await hub.resumable("k", generate)
        body = (await answer_to(attaching(hub, where=lambda event: event.event is None))).content
        assert b"named" not in body
        assert data_of(body) == [1]


class TestSeen:
    async def test_it_is_compressed(self, hub: Hub) -> None:
        app = SSEMiddleware(attaching(hub), compression=["gzip"])
        await hub.resumable("k", lambda: ["x" * 1000] * 10)
        async with client_of(app, headers={"accept-encoding": "gzip"}) as client:
            response = await client.http.get("/")
        assert response.headers["content-encoding"] == "gzip"
        assert data_of(response.content) == ["x" * 1000] * 10

    async def test_gaps_are_told_to_observers(self, hub: Hub) -> None:
        records: list[StreamRecord] = []
        app = SSEMiddleware(attaching(hub), observers=[records.append])
        await hub.resumable("k", numbers(2))
        await answer_to(app, "17")
        told = [(one.topics, one.reason) for one in records if isinstance(one, GapTold)]
        assert told == [(("k",), "reset")]

    async def test_events_are_counted_without_markers(self, hub: Hub) -> None:
        app = SSEMiddleware(attaching(hub))
        await hub.resumable("k", numbers(5, 0.1))
        for _ in range(2):
            await answer_to(app)
        assert app.stats().events == 10

    async def test_max_delay(self, hub: Hub) -> None:
        app = SSEMiddleware(attaching(hub), max_delay=0.5)
        await hub.resumable("k", numbers(20, 0.1))
        async with chunks_of(app) as chunks:
            parts = [chunk async for chunk in chunks]
        assert data_of(b"".join(parts)) == list(range(20))
        assert len(parts) < 12
