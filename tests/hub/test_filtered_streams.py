"""Streams with a filter that wants few events, or fails."""

import anyio
import pytest

from sse_middleware import CloseReason, Hub, ServerSentEvent, SSEMiddleware
from sse_middleware.hub.published_event import PublishedEvent
from tests.hub.test_streams import POSITION, data_of, opened, subscribing
from tests.served import OopsError, observed

pytestmark = pytest.mark.anyio


@pytest.mark.usefixtures("nothing_left_behind")
async def test_events_that_are_not_wanted_do_not_hold_back_keep_alives() -> None:
    async with Hub() as hub:
        app = SSEMiddleware(subscribing(hub, where=lambda _: False), ping_interval=15)
        async with opened(app) as events:
            for number in range(7):
                await anyio.sleep(10)
                last = await hub.publish("a", number)
            await anyio.sleep(6)
            positions = POSITION.findall(events.body)
        assert len(positions) == 1 + 5
        assert positions[-1] == last.encode()


class TestAFilterThatFails:
    @pytest.mark.parametrize("kind", [OopsError, ConnectionError])
    async def test_its_stream_fails(self, kind: type[Exception]) -> None:
        def where(event: PublishedEvent) -> bool:
            if event.json() == 1:
                raise kind
            return True

        async def read() -> None:
            async with opened(app) as events:
                await hub.publish("a", 0)
                await hub.publish("a", 1)
                taken.extend(data_of(await events.take(2)))
                await events.next()

        async with Hub() as hub:
            taken: list[object] = []
            app, closed = observed(
                subscribing(hub, where=where),
                error_event=lambda _: ServerSentEvent(event="failed", data="sorry"),
            )
            with pytest.raises(kind):
                await read()
            assert closed.reasons == [CloseReason.ERROR]
            assert taken == [0, "sorry"]

    async def test_a_drain_still_ends_its_stream(self) -> None:
        def where(_event: PublishedEvent) -> bool:
            raise OopsError

        async def read() -> None:
            async with opened(app) as events:
                await hub.publish("a", 1)
                await app.drain()
                assert [event async for event in events] == []

        async with Hub() as hub:
            # What is published waits for more. So the farewell finds it.
            app, closed = observed(subscribing(hub, where=where), drain_grace=0, max_delay=60)
            with pytest.raises(OopsError):
                await read()
            assert closed.reasons == [CloseReason.DRAINED]
