"""What is asked for while the store is away waits a while. See `retried`."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware.errors import HubError
from sse_middleware.hub.run import RunState
from sse_middleware.hub.store_calls import STORE_TIMEOUT
from tests.hub.runs.kit import (
    FaultyStore,
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    events_in,
    for_ever,
    numbers,
    viewed,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

METHODS = ("append", "begin_run", "find_run", "read", "renew_run", "stop_run")


async def outage(store: FaultyStore, seconds: float, *, hangs: bool) -> None:
    """Have a store be away for some seconds. What hangs is made in the end."""
    store.away = not hangs
    store.delays = dict.fromkeys(METHODS, seconds) if hangs else {}
    await anyio.sleep(seconds)
    store.away, store.delays = False, {}


@pytest.mark.parametrize("seconds", [0.05, 4])
@pytest.mark.parametrize("hangs", [False, True])
class TestForAWhile:
    async def test_a_client_comes_back(
        self, memory_workers: Workers, seconds: float, hangs: bool
    ) -> None:
        """After any other answer than 200, its ``EventSource`` would never come again."""
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", numbers(3))
            first = events_in((await answer_to(attaching(hub))).content)[0]
            for app in (attaching(other), asking(other, numbers(9))):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(lambda: outage(memory_workers.faults[1], seconds, hangs=hangs))
                    await anyio.sleep(0.01)
                    response = await answer_to(app, first.last_event_id)
                assert response.status_code == 200
                assert data_of(response.content) == [1, 2]

    async def test_a_run_begins_once(
        self, memory_workers: Workers, seconds: float, hangs: bool
    ) -> None:
        began: list[int] = []

        async def generate() -> AsyncIterator[int]:
            began.append(0)
            yield 0

        async with memory_workers.hub() as hub:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: outage(memory_workers.faults[0], seconds, hangs=hangs))
                await anyio.sleep(0.01)
                response = await answer_to(asking(hub, generate))
            assert data_of(response.content) == [0]
            assert began == [0]

    async def test_a_run_is_stopped(
        self, memory_workers: Workers, seconds: float, hangs: bool
    ) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(lambda: outage(memory_workers.faults[1], seconds, hangs=hangs))
                await anyio.sleep(0.01)
                assert await other.stop("k")
                assert await viewed(other) == [0]
                assert await other.state("k") is RunState.STOPPED


@pytest.mark.parametrize("hangs", [False, True])
async def test_for_good(memory_workers: Workers, hangs: bool) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        await hub.resumable("k", for_ever)
        store = memory_workers.faults[1]
        store.away, store.delays = not hangs, dict.fromkeys(METHODS, 1000.0) if hangs else {}
        calls: list[Any] = [
            lambda: other.resumable("k", for_ever),
            lambda: other.attach("k"),
            lambda: other.stop("k"),
            lambda: other.state("k"),
        ]
        for call in calls:
            began = anyio.current_time()
            with pytest.raises((OSError, HubError), match="the store"):
                await call()
            longest = 2 * STORE_TIMEOUT if hangs else STORE_TIMEOUT + 0.1
            assert STORE_TIMEOUT <= anyio.current_time() - began <= longest


async def test_until_the_hub_is_closed(memory_workers: Workers) -> None:
    errors: list[Exception] = []

    async def ask() -> None:
        try:
            await hub.state("k")
        except Exception as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        async with memory_workers.hub() as hub:
            memory_workers.faults[0].away = True
            tasks.start_soon(ask)
            await anyio.sleep(1)
        began = anyio.current_time()
    assert anyio.current_time() - began <= 4
    assert [type(error) for error in errors] == [HubError]


async def test_a_run_is_written_again_as_soon_as_the_store_answers_anybody(
    memory_workers: Workers,
) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        await other.resumable("l", numbers(20, 0.5))
        await anyio.sleep(1)
        memory_workers.faults[1].fail_before["append"] = 99
        await anyio.sleep(6)  # by now it waits for seconds
        memory_workers.faults[1].fail_before["append"] = 0
        before = len(memory_workers.faults[1].appends_of("\0run:l"))
        await other.publish("anything", 1)
        await anyio.sleep(0.01)
        assert len(memory_workers.faults[1].appends_of("\0run:l")) > before
        assert await viewed(hub, key="l") == list(range(20))
