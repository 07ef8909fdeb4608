"""`max_delay` and hubs: new events wait for more, and a backlog doesn't."""

import anyio
import pytest

from sse_middleware import Hub, Keep, SSEMiddleware
from sse_middleware.hub import paging
from tests.hub.test_streams import data_of, opened, subscribing

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_new_events_wait_for_more() -> None:
    async with Hub() as hub, opened(SSEMiddleware(subscribing(hub), max_delay=1)) as events:
        await anyio.sleep(5)
        began = anyio.current_time()
        await hub.publish("a", 1)
        await anyio.sleep(0.5)
        await hub.publish("a", 2)
        assert data_of(await events.take(2)) == [1, 2]
        assert anyio.current_time() - began == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("last_id", ["", "unknown"])
async def test_what_a_client_has_missed_does_not_wait(
    last_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_BYTES", 2000)
    async with Hub(keep=Keep(count=300)) as hub:
        for number in range(300):
            await hub.publish("a", [number, "x" * 100])
        app = SSEMiddleware(subscribing(hub, after="start"), max_delay=1, max_buffer=1000)
        async with opened(app, headers={"last-event-id": last_id}) as events:
            began = anyio.current_time()
            await events.take(300)
            assert anyio.current_time() - began < 3
