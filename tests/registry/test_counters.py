"""How many streams are and were open, and what they sent."""

import pytest

from sse_middleware import CloseReason
from tests.registry.endpoints import Endpoints
from tests.registry.slots import OpenStream, admitted, registry_of
from tests.served import client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_a_stream_counts_also_after_its_end() -> None:
    registry = registry_of()
    slot = admitted(registry)
    slot.opened(OpenStream())
    stats = registry.stats()
    assert (stats.opened, stats.events, stats.size, stats.waiting) == (1, 2, 20, 5)
    slot.closed(CloseReason.FINISHED, None)
    slot.give_back()
    stats = registry.stats()
    assert (stats.opened, stats.events, stats.size, stats.waiting) == (1, 2, 20, 0)
    assert {reason: n for reason, n in stats.closed.items() if n} == {CloseReason.FINISHED: 1}
    assert set(stats.closed) == set(CloseReason)


async def test_the_middleware_counts_its_streams() -> None:
    app = Endpoints().application(max_streams_per_client=5)
    async with client_of(app) as client:
        async with client.stream("GET", "/response") as one, client.stream("GET", "/decorated"):
            await one.next()
            stats = app.stats()
            assert (stats.open, stats.clients, stats.opened, stats.draining) == (2, 1, 2, False)
        stats = app.stats()
    assert (stats.open, stats.clients, stats.opened, stats.events) == (0, 0, 2, 2)
    assert stats.closed[CloseReason.CLIENT_DISCONNECTED] == 2
    assert (stats.size, stats.waiting) == (2 * len(b"data: 1\n\n"), 0)
