"""Topics that are read at different moments: one may be ahead of the others."""

from collections.abc import Sequence

import anyio
import pytest

from sse_middleware.hub import listening
from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.memory import MemoryStore
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


class BusyStore(MemoryStore):
    """A store to which somebody publishes between two reads."""

    then_publishes = False

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        snapshot = await super().read(topics, after, limit)
        if self.then_publishes:
            self.then_publishes = False
            await self.append("b", (b'data: "between"\n\n',), Keep())
        return snapshot


async def test_what_was_read_comes_though_nothing_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The event is ahead of the other topic, until the store's clock comes."""
    monkeypatch.setattr(listening, "CHUNK", 1)
    store = BusyStore()
    async with Hub(store=lambda: store) as hub, subscribed(hub, "a", "b") as taken:
        assert hub._running is not None
        hub._running.worker.suspect_listener()
        store.then_publishes = True
        await anyio.sleep(1)
        assert taken.data() == ["between"]
        await hub.publish("a", 1)
        await passed()
        assert taken.data() == [1]


async def test_the_clock_is_asked_for_at_once() -> None:
    """A client comes from another worker. One of its topics is new here, the other is not."""
    store = MemoryStore()
    async with Hub(store=lambda: store) as hub, subscribed(hub, "a"):
        at = await hub.position()
        await store.append("b", (b"data: 1\n\n",), Keep())
        async with subscribed(hub, "a", "b", last_id=at) as taken:
            await passed()
            assert taken.data() == [1]
