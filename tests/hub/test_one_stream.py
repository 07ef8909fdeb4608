"""A subscription is for one stream."""

import gc
from typing import Any

import anyio
import pytest

from sse_middleware import EventSourceResponse, Hub
from sse_middleware.errors import ConfigurationError
from sse_middleware.hub import worker
from sse_middleware.hub.subscription import Subscription
from tests.hub.subscribers import passed, subscribed
from tests.hub.test_streams import opened
from tests.served import body_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_another_stream_is_refused_and_the_first_one_goes_on() -> None:
    async with Hub() as hub:
        subscription = hub.subscribe("a")

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(subscription)(scope, receive, send)

        assert await body_of(app, "HEAD") == b""
        async with opened(app) as events:
            with pytest.raises(ConfigurationError, match=r"hub\.subscribe\(.*for each request"):
                await body_of(app, headers={"last-event-id": "x"})
            assert await body_of(app, "HEAD") == b""
            await hub.publish("a", 1)
            assert (await events.next()).json() == 1
        with pytest.raises(ConfigurationError, match="has had another"):
            await body_of(app)


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


async def test_nothing_waits_for_the_garbage_collector() -> None:
    async with Hub() as hub:
        gc.collect()
        gc.disable()
        try:
            async with subscribed(hub, "a", where=bool) as taken:
                await hub.publish("a", 1)
                await passed()
                assert taken.data() == [1]
            del taken
            assert not [one for one in gc.get_objects() if isinstance(one, Subscription)]
        finally:
            gc.enable()
