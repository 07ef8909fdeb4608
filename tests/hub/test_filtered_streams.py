"""Streams with a filter that wants few events, or fails."""

import anyio
import pytest

from sse_middleware import Hub, SSEMiddleware
from tests.hub.test_streams import POSITION, opened, subscribing

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


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
