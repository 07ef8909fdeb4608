"""Subscribers that have fallen behind: each is told its own gap, and delays nobody."""

import gc

import pytest

from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import parse_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.paging import RESTS_KEPT, Page
from tests.hub.subscribers import Taken, passed, subscribed

pytestmark = pytest.mark.anyio

COUNT = 500
"""Events that are kept. Their ring holds about half of them."""


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


async def test_they_hold_few_pages_of_the_store() -> None:
    """Each reads from another position, so no two of them share a page."""
    async with Hub(keep=Keep(count=COUNT)) as hub:
        ids = await published(hub)
        slow = await reading(hub, ids[: RESTS_KEPT + 20])
        assert len(pages_of(slow)) == RESTS_KEPT
        for taken in slow:
            taken.paused = False
            taken.take_all()
        newest = parse_position(ids[-1])
        while any(taken.subscription.cursor.at != newest for taken in slow):
            await passed()
        for begin, taken in enumerate(slow, 1):
            assert [number for number, _ in taken.data()] == list(range(begin, COUNT))
            taken.subscription.close()
        assert not pages_of(slow)


async def test_one_that_reads_quickly_leaves_the_page_to_the_other() -> None:
    async with Hub(keep=Keep(count=COUNT)) as hub:
        ids = await published(hub)
        quick, slow = await reading(hub, [ids[0]] * 2)
        [page] = pages_of([quick, slow])
        assert len(page.readers) == 2
        quick.take_all()
        assert list(page.readers) == [slow.subscription]
        slow.take_all()
        assert not page.readers
        begins = [[number for number, _ in taken.data()][:240] for taken in (quick, slow)]
        assert begins == [list(range(1, 241))] * 2
        for taken in (quick, slow):
            taken.subscription.close()


async def published(hub: Hub) -> list[str]:
    """Publish more than a ring holds. Returns the ids."""
    return [await hub.publish("a", [number, "x" * 1000]) for number in range(COUNT)]


async def reading(hub: Hub, ids: list[str]) -> list[Taken]:
    """Subscribe after each id, and take a part of a page of the store."""
    slow = []
    for after in ids:
        subscription = hub.subscribe("a")
        subscription.resume(after)
        taken = Taken(subscription, limit=16 * 1024)
        taken.paused = True
        await subscription.open(taken.on_wake)
        slow.append(taken)
    for _ in range(2):  # a page is asked for, and then it has come
        await passed()
        for taken in slow:
            taken.wire += taken.subscription.take(16 * 1024)
    return slow


def pages_of(readers: list[Taken]) -> list[Page]:
    """Return the pages in memory that these readers have read. Those of earlier hubs are older."""
    first = min(taken.subscription.cursor.clock for taken in readers)
    return [one for one in gc.get_objects() if isinstance(one, Page) and one.state.clock >= first]
