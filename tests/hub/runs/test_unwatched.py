"""Runs that nobody watches, and runs that are no longer kept."""

from collections.abc import AsyncIterator

import anyio
import pytest

from sse_middleware import Hub, SSEMiddleware
from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.plan import LEASE
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    for_ever,
    last_id,
    numbers,
    viewed,
)
from tests.served import chunks_of, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def seconds_until_stopped(hub: Hub) -> float:
    """Return how long a run goes on from now."""
    began = anyio.current_time()
    with anyio.fail_after(1000):
        while await hub.state("k") is RunState.RUNNING:  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(0.1)
    assert await hub.state("k") is RunState.STOPPED
    return anyio.current_time() - began


class TestStopWhenUnwatched:
    @pytest.mark.parametrize("limit", [1, 5, 30])
    async def test_nobody_ever_watches(self, memory_workers: Workers, limit: float) -> None:
        async with memory_workers.hub() as hub:
            await hub.resumable("k", for_ever, stop_when_unwatched=limit)
            assert limit <= await seconds_until_stopped(hub) <= limit + 3.2

    @pytest.mark.parametrize("limit", [1, 5, 30])
    @pytest.mark.parametrize("stays", [0.1, 1, 7, 100])
    async def test_it_begins_when_the_last_viewer_leaves(
        self, memory_workers: Workers, limit: float, stays: float
    ) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever, stop_when_unwatched=limit)
            for one in (hub, other):
                async with events_of(attaching(one)):
                    await anyio.sleep(stays)
                    assert await hub.state("k") is RunState.RUNNING
            assert limit <= await seconds_until_stopped(hub) <= limit + 3.2

    async def test_viewers_come_and_go(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            app = asking(hub, for_ever, stop_when_unwatched=4)
            async with events_of(app):
                await anyio.sleep(20)
            for number in range(10):
                await anyio.sleep(3.5)
                async with events_of(attaching((hub, other)[number % 2])):
                    pass
            assert await hub.state("k") is RunState.RUNNING
            assert await seconds_until_stopped(other) >= 4

    async def test_one_of_several_leaves(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever, stop_when_unwatched=2)
            async with events_of(attaching(other)):
                for one in (hub, other):
                    async with events_of(attaching(one)):
                        await anyio.sleep(1)
                await anyio.sleep(20)
                assert await hub.state("k") is RunState.RUNNING

    async def test_without_a_limit_it_goes_on(self, hub: Hub) -> None:
        await hub.resumable("k", for_ever)
        await anyio.sleep(10_000)
        assert await hub.state("k") is RunState.RUNNING

    @pytest.mark.parametrize("whose", [0, 1])
    async def test_the_store_was_away_for_a_while(
        self, memory_workers: Workers, whose: int
    ) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever, stop_when_unwatched=2)
            async with events_of(attaching(other)) as events:
                await events.next()
                for store in memory_workers.faults[whose:]:
                    store.away = True
                await anyio.sleep(5 if whose == 0 else 1.5)
                for store in memory_workers.faults:
                    store.away = False
                await anyio.sleep(30)
                assert await hub.state("k") is RunState.RUNNING

    async def test_the_last_look_can_not_be_noted(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever, stop_when_unwatched=2)
            async with events_of(attaching(other)):
                await anyio.sleep(1)
                memory_workers.faults[1].away = True
            await anyio.sleep(1)
            memory_workers.faults[1].away = False
            assert await seconds_until_stopped(other) < 5

    async def test_in_files(self, file_workers: Workers) -> None:
        async with file_workers.hub() as hub, file_workers.hub() as other:
            await hub.resumable("k", for_ever, stop_when_unwatched=20)
            async with events_of(attaching(other)):
                await anyio.sleep(100)
                assert await hub.state("k") is RunState.RUNNING
            assert 15 <= await seconds_until_stopped(other) <= 40


class TestExpiry:
    async def test_it_is_kept_for_its_ttl(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            body = (await answer_to(asking(hub, numbers(3), ttl=100))).content
            await anyio.sleep(95)
            assert await viewed(other) == [0, 1, 2]
            await anyio.sleep(10)
            for one in (hub, other):
                assert await one.state("k") is None
                assert await one.stop("k") is False
                assert (await answer_to(attaching(one))).status_code == 404
                assert (await answer_to(attaching(one), last_id(body))).status_code == 204
                assert (await answer_to(attaching(one), "17")).status_code == 204

    async def test_its_key_is_free_again(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            body = (await answer_to(asking(hub, numbers(3), ttl=1))).content
            await anyio.sleep(5)
            await other.resumable("k", numbers(5))
            for one in (hub, other):
                assert await viewed(one) == [0, 1, 2, 3, 4]
                assert await viewed(one, last_id(body)) == [0, 1, 2, 3, 4]

    async def test_a_slow_viewer_of_one_that_expires(self, memory_workers: Workers) -> None:
        async def generate() -> AsyncIterator[str]:
            for _ in range(300):
                yield "x" * 5000

        async with memory_workers.hub() as hub:
            await hub.resumable("k", generate, ttl=20)
            app = SSEMiddleware(attaching(hub), send_timeout=None)
            async with chunks_of(app, window=1) as chunks:
                body = await anext(chunks)
                await anyio.sleep(40)
                with anyio.fail_after(LEASE + 1):
                    async for chunk in chunks:
                        body += chunk
            *had, gap = data_of(body)
            assert 0 < len(had) < 300
            assert gap == "gap: expired"
            assert (await answer_to(attaching(hub), last_id(body))).status_code == 204

    async def test_a_viewer_of_a_record_that_is_lost(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with events_of(attaching(other)) as events:
                await events.next()
                memory_workers.faults[0].store._drop("\0run:k")
                with anyio.fail_after(LEASE + 1):
                    (gap,) = [event async for event in events]
                assert gap.json() == {"topics": ["k"], "reason": "expired"}
                last = last_id(events.body)
            assert (await answer_to(attaching(other), last)).status_code == 204
            await hub.resumable("k", numbers(2))
            assert await viewed(other) == [0, 1]

    async def test_one_that_is_gone_before_the_stream_begins(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(3), ttl=1)
        await anyio.sleep(0.1)
        viewer = await hub.attach("k")
        await anyio.sleep(5)
        assert viewer.run is not None
        with anyio.fail_after(LEASE + 1):
            await viewer.open(lambda: None)
            while not viewer.ended:
                viewer.take(1000)
                await anyio.sleep(0.1)
        viewer.close()
