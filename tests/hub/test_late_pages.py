"""Pages that come late: what a subscriber has taken meanwhile is newer than the page."""

from collections.abc import Sequence

import anyio
import pytest

from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import Position, format_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.memory import MemoryStore
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


class LateStore(MemoryStore):
    """A store whose answers can be held back. What is published still comes at once."""

    def __init__(self) -> None:
        super().__init__()
        self.answers = anyio.Event()
        self.answers.set()
        self.reads = 0

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        self.reads += 1
        snapshot = await super().read(topics, after, limit)
        await self.answers.wait()
        return snapshot


async def test_it_is_not_wanted_any_more() -> None:
    """A client comes from a worker that is ahead of this one."""
    store = LateStore()
    async with Hub(store=lambda: store) as hub, subscribed(hub, "a"):
        appended = await store.append("other", (b"data: 0\n\n",), Keep())
        ahead = format_position(Position(appended.clocks[0], appended.mark))
        store.answers, store.reads = anyio.Event(), 0
        async with subscribed(hub, "a", last_id=ahead) as taken:
            assert store.reads == 1, "it is not known here whether that is a position"
            await hub.publish("a", 1)
            await passed()
            assert taken.data() == [1], "it is, as this event shows"
            store.answers.set()
            await hub.publish("a", 2)
            await passed()
            assert taken.data() == [2]
