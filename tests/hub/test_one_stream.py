"""A subscription is for one stream."""

import anyio
import pytest

from sse_middleware.hub import worker
from sse_middleware.hub.hub import Hub
from tests.hub.subscribers import passed, subscribed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_closing_it_again_later_concerns_nobody_else() -> None:
    async with Hub() as hub:
        async with subscribed(hub, "a") as first:
            pass
        await anyio.sleep(2 * worker.LINGER)
        async with subscribed(hub, "a") as second:
            first.subscription.close()
            await anyio.sleep(2 * worker.LINGER)
            await hub.publish("a", 1)
            await passed()
            assert second.data() == [1]
