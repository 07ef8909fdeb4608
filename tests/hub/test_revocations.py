"""Subjects that are disconnected."""

from collections.abc import Sequence

import anyio
import pytest

from sse_middleware.hub import revocations
from sse_middleware.hub.abc import Snapshot
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.memory import MemoryStore
from tests.hub.subscribers import Taken, passed, subscribed

pytestmark = pytest.mark.anyio


async def test_all_streams_of_a_subject_end() -> None:
    async with (
        Hub() as hub,
        subscribed(hub, "a", subject=7) as one,
        subscribed(hub, "b", subject="7") as two,
        subscribed(hub, "a", subject=8) as other,
        subscribed(hub, "a") as nobody,
    ):
        await hub.disconnect(7)
        await passed()
        ended = [taken.subscription.ended for taken in (one, two, other, nobody)]
        assert ended == [True, True, False, False]
        assert one.wakes


async def test_whoever_comes_later_stays() -> None:
    async with Hub() as hub:
        await hub.disconnect("u")
        await anyio.sleep(2)
        async with subscribed(hub, "a", subject="u") as first:
            assert not first.subscription.ended
            await hub.disconnect("u")
            await anyio.sleep(2)
            assert first.subscription.ended
            async with subscribed(hub, "a", subject="u") as second:
                assert not second.subscription.ended


async def test_a_disconnect_between_subscribe_and_open() -> None:
    async with Hub() as hub:
        subscription = hub.subscribe("a", subject="u")
        await anyio.sleep(60)
        await hub.disconnect("u")
        await anyio.sleep(60)
        await subscription.open(bool)
        assert subscription.ended
        subscription.close()


async def test_if_disconnects_may_be_missing_all_subjects_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with (
        Hub() as hub,
        subscribed(hub, "a", subject="u") as one,
        subscribed(hub, "a") as nobody,
    ):
        assert hub._running is not None
        guard = hub._running.guard
        reader = guard._reader
        assert reader is not None
        reader._subscription.resume("of another store")
        reader._take()
        await passed()
        assert one.subscription.ended
        assert not nobody.subscription.ended


async def test_more_than_what_is_kept_ends_a_stream_that_is_opened_late() -> None:
    keep = Keep(count=2, seconds=3600)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sse_middleware.hub.hub.KEEP", keep)
        patch.setattr(revocations, "KEEP", keep)
        async with Hub() as hub:
            subscription = hub.subscribe("a", subject="u")
            await anyio.sleep(60)
            for number in range(4):
                await hub.disconnect(number)
            await subscription.open(bool)
            assert subscription.ended
            subscription.close()
            async with subscribed(hub, "a", subject="u"):
                for number in range(4):
                    await hub.disconnect(f"other {number}")
                    await passed()
                assert hub._running is not None
                assert len(hub._running.guard._clocks) == 2


@pytest.mark.parametrize("at_once", [True, False])
async def test_many_disconnects_while_a_stream_opens(*, at_once: bool) -> None:
    async with Hub() as hub, subscribed(hub, "a", subject="other"):
        late = hub.subscribe("a", subject="u")
        await hub.disconnect("u")
        for number in range(revocations.KEEP.count + 1):
            await hub.disconnect(number)
            if not at_once:
                await passed()
        await passed()
        await late.open(bool)
        assert late.ended
        late.close()
        await anyio.sleep(2)
        async with subscribed(hub, "a", subject="u") as later:
            assert not later.subscription.ended


class SlowStore(MemoryStore):
    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        if revocations.TOPIC in topics:
            await anyio.sleep(1)
        return await super().read(topics, after, limit)


async def test_nothing_comes_before_the_disconnects_were_looked_at() -> None:
    async with Hub(store=SlowStore) as hub:
        refused, other = hub.subscribe("a", subject="u"), hub.subscribe("a", subject="v")
        await anyio.sleep(5)
        await hub.disconnect("u")
        taken = Taken(refused), Taken(other)
        async with anyio.create_task_group() as tasks:
            for one in taken:
                tasks.start_soon(one.subscription.open, one.on_wake)
            await anyio.sleep(0.5)
            await hub.publish("a", 1)
        assert refused.ended
        for one in taken:
            one.take_all()
            one.subscription.close()
        assert [one.data() for one in taken] == [[], [1]]


async def test_a_stream_that_is_closed_while_it_opens() -> None:
    async with Hub() as hub:
        subscription = hub.subscribe("a", subject="u")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subscription.open, bool)
            while not subscription._topics:
                await anyio.lowlevel.checkpoint()
            subscription.end()
        assert hub._running is not None
        subscription.close()
        assert not hub._running.guard._streams
        assert hub._running.guard._reader is None


async def test_a_hub_that_is_closed_while_a_stream_opens() -> None:
    async with Hub() as hub:
        subscription = hub.subscribe("a", subject="u")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subscription.open, bool)
            while not subscription._topics:
                await anyio.lowlevel.checkpoint()
            assert hub._running is not None
            hub._running.end()
        assert subscription.ended
        subscription.close()
