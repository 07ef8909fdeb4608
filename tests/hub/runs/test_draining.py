"""What becomes of runs when their hub is closed."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware
from sse_middleware.errors import ConfigurationError, HubError
from sse_middleware.hub.run import RunState
from sse_middleware.testing import EventClient
from tests.hub.runs.kit import Workers, attaching, for_ever, numbers, until_state, viewed
from tests.served import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_one_that_ends_in_time_is_done_and_the_others_are_drained(workers: Workers) -> None:
    log: list[str] = []

    async def generate() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await anyio.sleep(1000)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            log.append("cleaned up")

    async with workers.hub() as other:
        async with workers.hub(drain_grace_resumable=5) as hub:
            await hub.resumable("short", numbers(4, 1))
            await hub.resumable("k", generate)
            began = anyio.current_time()
        assert 6.9 <= anyio.current_time() - began <= 8
        assert log == ["cleaned up"]
        assert await other.state("short") is RunState.DONE
        assert await viewed(other, key="short") == [0, 1, 2, 3]
        assert await other.state("k") is RunState.DRAINED
        assert await viewed(other) == [0]


async def test_it_is_closed_as_soon_as_all_have_ended(memory_workers: Workers) -> None:
    async with memory_workers.hub(drain_grace_resumable=1000) as hub:
        await hub.resumable("k", numbers(3, 1))
        await anyio.sleep(1)
        began = anyio.current_time()
    assert anyio.current_time() - began < 2.5


@pytest.mark.parametrize("grace", [0, 1])
async def test_what_they_have_yielded_is_kept(workers: Workers, grace: float) -> None:
    yielded: list[int] = []

    async def generate() -> AsyncIterator[int]:
        while True:
            yielded.append(len(yielded))
            yield yielded[-1]
            await anyio.sleep(0.003)

    async with workers.hub() as other:
        async with workers.hub(drain_grace_resumable=grace) as hub:
            await hub.resumable("k", generate)
            await anyio.sleep(0.5)
        assert await viewed(other) == yielded
        assert await other.state("k") is RunState.DRAINED


async def test_meanwhile(memory_workers: Workers) -> None:
    async with memory_workers.hub() as other, anyio.create_task_group() as tasks:
        hub = memory_workers.hub(drain_grace_resumable=5.5)

        async def serve() -> None:
            async with hub:
                await hub.resumable("k", numbers(100, 1))
                begun.set()

        begun = anyio.Event()
        tasks.start_soon(serve)
        await begun.wait()
        await anyio.sleep(1)
        with pytest.raises(HubError, match="begins no more runs"):
            await hub.resumable("l", numbers(1))
        with pytest.raises(HubError, match="begins no more runs"):
            await hub.resumable("k", numbers(1), restart=True)
        assert await other.state("l") is None
        async with events_of(attaching(hub)) as events:  # it is still there for viewers
            assert (await events.next()).json() == 0
            assert [event.json() async for event in events] == [1, 2, 3, 4, 5]
        await anyio.sleep(5)
        assert not hub.is_open
        with pytest.raises(HubError, match="is not open"):
            await hub.resumable("l", numbers(1))


async def test_one_that_others_stop_meanwhile(memory_workers: Workers) -> None:
    async with memory_workers.hub() as other, anyio.create_task_group() as tasks:

        async def stop_later() -> None:
            await anyio.sleep(2)
            await other.stop("k")

        async with memory_workers.hub(drain_grace_resumable=100) as hub:
            await hub.resumable("k", for_ever)
            tasks.start_soon(stop_later)
            began = anyio.current_time()
        assert anyio.current_time() - began < 3
        assert await other.state("k") is RunState.STOPPED


async def test_the_lifespan_closes_it(workers: Workers) -> None:
    hub = workers.hub(drain_grace_resumable=0)
    closed: list[int] = []

    async def generate() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await anyio.sleep(1000)
        finally:
            closed.append(1)

    async def ask(_request: Request) -> Response:
        return EventSourceResponse(await hub.resumable("k", generate))

    app = SSEMiddleware(Starlette(routes=[Route("/", ask)]), hub=hub)
    async with workers.hub() as other:
        async with EventClient(app, timeout=1000) as client, client.stream("GET", "/") as events:
            assert (await events.next()).json() == 0
        assert not hub.is_open
        assert closed == [1]
        assert await other.state("k") is RunState.DRAINED


async def test_a_close_that_is_cancelled(memory_workers: Workers, anyio_backend_name: str) -> None:
    log: list[str] = []

    async def generate() -> AsyncIterator[int]:
        try:
            while True:
                yield 0
                await anyio.sleep(1000)
        finally:
            log.append("begun")
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)
            log.append("cleaned up")

    async with memory_workers.hub() as other:
        with anyio.CancelScope() as scope:
            async with memory_workers.hub(drain_grace_resumable=100) as hub:
                await hub.resumable("k", generate)
                await hub.resumable("l", for_ever)
                await anyio.sleep(0.1)
                began = anyio.current_time()
                scope.cancel()
        assert anyio.current_time() - began < 3
        assert not hub.is_open
        assert log == ["begun", "cleaned up"]
        if anyio_backend_name == "asyncio":  # trio cancels all that the scope contains
            assert await other.state("k") is await other.state("l") is RunState.DRAINED


@pytest.mark.parametrize("passes", range(5))
async def test_one_that_is_about_to_begin(memory_workers: Workers, passes: int) -> None:
    async def ask() -> None:
        try:
            await hub.resumable("k", numbers(100, 1))
        except HubError:
            refused.append(1)

    refused: list[int] = []
    async with memory_workers.hub() as other:
        async with anyio.create_task_group() as tasks:
            hub = memory_workers.hub(drain_grace_resumable=0)
            async with hub:
                tasks.start_soon(ask)
                for _ in range(passes):
                    await anyio.lowlevel.checkpoint()
        found = await other.state("k")
        assert found in (None, RunState.DRAINED)


async def test_nobody_waits_for_a_run_that_never_began(memory_workers: Workers) -> None:
    """A close that is cancelled twice ends tasks that have not run yet."""
    async with memory_workers.hub() as hub:
        runs = hub._here().runs
        running = hub._here()

        async def ask() -> None:
            with pytest.raises(HubError, match="closed before the run began"):
                await hub.resumable("k", numbers(1))
            asked.append(1)

        asked: list[int] = []
        memory_workers.faults[0].delays = {"begin_run": 100}
        with anyio.move_on_after(50):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await anyio.sleep(1)
                runs.end()
        assert asked == [1]
        memory_workers.faults[0].delays = {}
        assert running is hub._here()


async def test_the_store_is_away_for_good(
    memory_workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    async with memory_workers.hub(drain_grace_resumable=0) as hub:
        await hub.resumable("k", for_ever)
        await anyio.sleep(0.1)
        memory_workers.faults[0].away = True
        began = anyio.current_time()
    assert anyio.current_time() - began < 16
    assert "can't be written any more" in caplog.text
    assert [one for one in caplog.records if one.levelno > logging.WARNING] == []


@pytest.mark.parametrize("wrong", [-1, None, "1", float("inf")])
def test_a_grace_that_can_not_work(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="drain_grace_resumable"):
        Hub(drain_grace_resumable=wrong)


async def test_a_hub_may_be_opened_again(memory_workers: Workers) -> None:
    hub = memory_workers.hub(drain_grace_resumable=0)
    for _ in range(2):
        async with hub:
            await hub.resumable("k", for_ever, restart=True)
            assert await hub.state("k") is RunState.RUNNING
    async with hub:
        await until_state(hub, RunState.DRAINED)
        assert await viewed(hub) in ([], [0])


async def test_several_close_it(memory_workers: Workers) -> None:
    async with memory_workers.hub() as other, anyio.create_task_group() as tasks:
        async with memory_workers.hub(drain_grace_resumable=1) as hub:
            await hub.resumable("k", for_ever)

            async def close() -> None:
                await anyio.sleep(0.5)
                await hub.close()

            tasks.start_soon(close)
        assert not hub.is_open
        await hub.close()
        await hub.drain_runs()
        assert await other.state("k") is RunState.DRAINED
