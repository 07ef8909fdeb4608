"""A run is stopped from any worker, and cleans up."""

import logging
from collections.abc import AsyncIterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware import Hub
from sse_middleware.hub.run import RunState
from sse_middleware.hub.runs.log_writer import RENEWED
from sse_middleware.hub.runs.runs import STOPS
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    attaching,
    cleaning_up,
    data_of,
    for_ever,
    last_id,
    numbers,
    until_state,
    viewed,
)
from tests.served import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def is_running(hub: Hub) -> bool:
    return await hub.state("k") is RunState.RUNNING


class TestFrom:
    async def test_any_worker(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            for one in (hub, other):
                log: list[str] = []
                await hub.resumable("k", cleaning_up(1, log), restart=True)
                async with events_of(attaching(other)) as events:
                    await events.next()
                    assert await one.stop("k") is True
                    assert [event async for event in events] == []
                assert log == ["begun", "cleaned up"]
                assert await hub.state("k") is await other.state("k") is RunState.STOPPED
                assert await viewed(hub) == [0]

    async def test_another_worker_at_once(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with events_of(attaching(other)) as events:
                await events.next()
                began = anyio.current_time()
                await other.stop("k")
                assert [event async for event in events] == []
                assert anyio.current_time() - began < 0.1

    async def test_nothing_runs(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            assert await hub.stop("k") is False
            await hub.resumable("k", numbers(2))
            await viewed(hub)
            for one in (hub, other):
                assert await one.stop("k") is False
            assert await hub.state("k") is RunState.DONE

    async def test_several_times(self, workers: Workers) -> None:
        log: list[str] = []
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", cleaning_up(1, log))
            await until_state(hub, RunState.RUNNING)
            await anyio.sleep(0.1)
            for one in (hub, other, hub):
                assert await one.stop("k") is True
            await until_state(hub, RunState.STOPPED)
            assert await hub.stop("k") is False
        assert log == ["begun", "cleaned up"]

    async def test_of_one_run_among_many(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            for key in "abc":
                await hub.resumable(key, for_ever)
            await other.stop("b")
            await until_state(hub, RunState.STOPPED, "b")
            assert await hub.state("a") is await hub.state("c") is RunState.RUNNING

    async def test_each_worker_stops_its_own(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other, workers.hub() as third:
            await hub.resumable("a", for_ever)
            await other.resumable("b", for_ever)
            await third.stop("b")
            await until_state(hub, RunState.STOPPED, "b")
            assert await third.state("a") is RunState.RUNNING
            await third.stop("a")
            await until_state(hub, RunState.STOPPED, "a")


class TestWhen:
    async def test_before_the_first_item(self, workers: Workers) -> None:
        async def generate() -> AsyncIterator[int]:
            await anyio.sleep_forever()
            yield 1

        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", generate)
            assert await other.stop("k")
            assert await viewed(hub) == []
            assert await hub.state("k") is RunState.STOPPED

    @pytest.mark.parametrize("passes", range(12))
    async def test_just_after_it_has_begun(self, hub: Hub, passes: int) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hub.resumable, "k", for_ever)
            for _ in range(passes):
                await checkpoint()
            while not await hub.stop("k"):
                await checkpoint()
        await until_state(hub, RunState.STOPPED)
        assert await viewed(hub) in ([], [0])

    async def test_while_the_answer_to_its_beginning_is_on_its_way(
        self, memory_workers: Workers
    ) -> None:
        async def generate() -> AsyncIterator[int]:
            begun.append(1)
            yield 1

        begun: list[int] = []
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            faults = memory_workers.faults[0]
            faults.mute.add(STOPS)
            faults.fail_after["begin_run"] = 1
            faults.delays["begin_run"] = 1
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hub.resumable, "k", generate)
                await anyio.sleep(1.5)
                assert await other.stop("k")
            assert await viewed(other) == []
            assert await hub.state("k") is RunState.STOPPED
        assert begun == []

    async def test_during_an_append(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub:
            memory_workers.faults[0].delays = {"append": 1}
            await hub.resumable("k", numbers(100, 0.1))
            await anyio.sleep(1.5)
            assert await hub.stop("k")
            await until_state(hub, RunState.STOPPED)
            taken = await viewed(hub)
            assert taken == list(range(len(taken)))  # what was yielded before is kept
            assert len(taken) == 15

    async def test_while_it_waits_for_room(self, memory_workers: Workers) -> None:
        closed: list[int] = []

        async def generate() -> AsyncIterator[str]:
            try:
                while True:
                    yield "x" * 1000
            finally:
                closed.append(1)

        async with memory_workers.hub() as hub:
            memory_workers.faults[0].delays = {"append": 1}
            await hub.resumable("k", generate)
            await anyio.sleep(0.5)
            assert await hub.stop("k")
            await until_state(hub, RunState.STOPPED)
            assert closed == [1]

    async def test_a_client_that_comes_back(self, hub: Hub) -> None:
        await hub.resumable("k", for_ever)
        async with events_of(attaching(hub)) as events:
            await events.next()
            await hub.stop("k")
            assert [event async for event in events] == []
            last = last_id(events.body)
        assert (await answer_to(attaching(hub), last)).status_code == 204


class TestDurable:
    async def test_the_announcement_is_lost(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            memory_workers.faults[0].mute.add(STOPS)
            began = anyio.current_time()
            assert await other.stop("k")
            await until_state(other, RunState.STOPPED)
            assert 0.1 < anyio.current_time() - began <= RENEWED + 0.5

    async def test_it_can_not_be_announced(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            memory_workers.faults[1].fail_before["append"] = 1
            assert await other.stop("k")
            await until_state(other, RunState.STOPPED)

    async def test_it_can_not_be_noted(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub:
            await hub.resumable("k", for_ever)
            memory_workers.faults[0].fail_before["stop_run"] = 100
            with pytest.raises(OSError, match="stop_run"):
                await hub.stop("k")
            assert await is_running(hub)

    async def test_the_listener_was_away_at_first(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            memory_workers.faults[0].fail_before["read"] = 1000
            await hub.resumable("k", for_ever)
            memory_workers.faults[0].fail_before.clear()
            await other.stop("k")
            await until_state(other, RunState.STOPPED)

    async def test_many_wait_for_the_listener_no_longer_than_one(
        self, memory_workers: Workers
    ) -> None:
        async with memory_workers.hub() as hub:
            memory_workers.faults[0].fail_before["read"] = 1000
            began = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                for key in "abcdefgh":
                    tasks.start_soon(hub.resumable, key, numbers(1))
            assert anyio.current_time() - began < 7


async def test_the_log_says_nothing_of_a_stop(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    await hub.resumable("k", for_ever)
    await hub.stop("k")
    await until_state(hub, RunState.STOPPED)
    assert data_of((await answer_to(attaching(hub))).content) in ([], [0])
    assert [one for one in caplog.records if one.levelno >= logging.WARNING] == []
