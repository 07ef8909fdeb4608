"""Subscribers that have fallen behind: each is told its own gap, and delays nobody."""

import gc

import pytest

from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import parse_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.paging import RESTS_KEPT, Page
from tests.hub.subscribers import Taken, passed, subscribed

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


async def test_they_hold_few_pages_of_the_store() -> None:
    """Each reads from another position, so no two of them share a page."""
    count, slow = 500, []
    async with Hub(keep=Keep(count=count)) as hub:
        ids = [await hub.publish("a", [number, "x" * 1000]) for number in range(count)]
        for after in ids[: RESTS_KEPT + 20]:
            subscription = hub.subscribe("a")
            subscription.resume(after)
            taken = Taken(subscription, limit=16 * 1024)
            taken.paused = True
            await subscription.open(taken.on_wake)
            slow.append(taken)
        for _ in range(2):  # a page is asked for, and a part of it is taken
            await passed()
            for taken in slow:
                taken.wire += taken.subscription.take(16 * 1024)
        held = [one for one in gc.get_objects() if isinstance(one, Page)]
        assert len(held) == RESTS_KEPT
        del held
        for taken in slow:
            taken.paused = False
            taken.take_all()
        newest = parse_position(ids[-1])
        while any(taken.subscription.cursor.at != newest for taken in slow):
            await passed()
        for begin, taken in enumerate(slow, 1):
            assert [number for number, _ in taken.data()] == list(range(begin, count))
            taken.subscription.close()
        assert not [one for one in gc.get_objects() if isinstance(one, Page)]


async def test_one_that_reads_quickly_leaves_the_page_to_the_other() -> None:
    count, both = 500, []
    async with Hub(keep=Keep(count=count)) as hub:
        ids = [await hub.publish("a", [number, "x" * 1000]) for number in range(count)]
        for _ in range(2):
            subscription = hub.subscribe("a")
            subscription.resume(ids[0])
            taken = Taken(subscription, limit=16 * 1024)
            taken.paused = True
            await subscription.open(taken.on_wake)
            both.append(taken)
        for _ in range(2):  # a page is asked for, and a part of it is taken
            await passed()
            for taken in both:
                taken.wire += taken.subscription.take(16 * 1024)
        [page] = [one for one in gc.get_objects() if isinstance(one, Page)]
        assert len(page.readers) == 2
        quick, slow = both
        quick.take_all()
        assert list(page.readers) == [slow.subscription]
        slow.take_all()
        assert not page.readers
        begins = [taken.data()[:240] for taken in both]
        assert begins[0] == begins[1] == [[number, "x" * 1000] for number in range(1, 241)]
        for taken in both:
            taken.subscription.close()
