"""Subscribers that have fallen behind: each is told its own gap, and delays nobody."""

import pytest

from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


async def test_each_of_them_is_told_a_gap() -> None:
    async with (
        Hub(keep=Keep(count=10)) as hub,
        subscribed(hub, "a") as one,
        subscribed(hub, "a") as other,
    ):
        await hub.publish("a", 0)
        await passed()
        slow = one, other
        for taken in slow:
            assert taken.data() == [0]
            taken.paused = True
        for number in range(600):
            await hub.publish("a", [number, "x" * 1000])
        for _ in range(2):
            for taken in slow:
                taken.take_all()
            await passed()
        for taken in slow:
            gap, *rest = taken.data()
            assert gap == ("expired", "a")
            assert [number for number, _ in rest] == list(range(590, 600))
