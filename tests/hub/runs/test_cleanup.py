"""A run that is stopped cleans up, within bounds."""

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware import Hub
from sse_middleware.hub.run import RunState
from tests.hub.runs.kit import (
    Workers,
    cleaning_up,
    until_state,
    viewed,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class TestCleanup:
    @pytest.mark.parametrize("anywhere", [False, True])
    async def test_it_runs_to_its_end(self, workers: Workers, anywhere: bool) -> None:
        log: list[str] = []
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", cleaning_up(4, log))
            await anyio.sleep(0.1)
            await (other if anywhere else hub).stop("k")
            await until_state(hub, RunState.STOPPED)
        assert log == ["begun", "cleaned up"]

    async def test_it_has_a_bound(self, memory_workers: Workers) -> None:
        log: list[str] = []

        async def generate() -> AsyncIterator[int]:
            try:
                while True:
                    yield 0
                    await anyio.sleep_forever()
            finally:
                log.append("begun")
                await anyio.sleep(1000)
                log.append("cleaned up")

        async with memory_workers.hub() as hub:
            await hub.resumable("k", generate, cleanup_timeout=2)
            await anyio.sleep(0.1)
            began = anyio.current_time()
            await hub.stop("k")
            await until_state(hub, RunState.STOPPED)
            assert anyio.current_time() - began < 4
            assert await viewed(hub) == [0]
        assert log == ["begun"]

    async def test_one_that_swallows_each_cancellation(
        self, hub: Hub, anyio_backend_name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        done = anyio.Event()

        async def generate() -> AsyncIterator[int]:
            yield 0
            until = anyio.current_time() + 20
            while anyio.current_time() < until:
                try:
                    await anyio.sleep(30)
                except BaseException:
                    if anyio_backend_name == "trio":  # it ends at the next one
                        raise
            done.set()

        await hub.resumable("k", generate, cleanup_timeout=2)
        await anyio.sleep(0.1)
        began = anyio.current_time()
        await hub.stop("k")
        await until_state(hub, RunState.STOPPED)
        assert anyio.current_time() - began < 5
        if anyio_backend_name == "asyncio":
            assert "swallows each cancellation, and goes on: k" in caplog.text
            await done.wait()

    @pytest.mark.parametrize("seconds", [0.5, 100])
    async def test_code_after_the_last_yield_has_a_while(self, hub: Hub, seconds: float) -> None:
        log: list[str] = []

        async def generate() -> AsyncIterator[int]:
            yield 0
            await anyio.sleep(seconds)
            log.append("stored")

        await hub.resumable("k", generate, finish_timeout=1)
        await anyio.sleep(0.1)
        await hub.stop("k")
        await until_state(hub, RunState.STOPPED)
        assert log == ["stored"] * (seconds < 1)

    async def test_a_cleanup_that_has_begun_is_not_cancelled(self, hub: Hub) -> None:
        log: list[str] = []

        async def generate() -> AsyncIterator[int]:
            try:
                yield 0
            finally:
                await anyio.sleep(3)
                log.append("cleaned up")

        await hub.resumable("k", generate, finish_timeout=1)
        await anyio.sleep(0.1)
        await hub.stop("k")
        await until_state(hub, RunState.STOPPED)
        assert log == ["cleaned up"]

    async def test_what_it_raises_is_logged(
        self, hub: Hub, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def generate() -> AsyncIterator[int]:
            try:
                while True:
                    yield 0
                    await anyio.sleep_forever()
            finally:
                raise ValueError("in the cleanup")

        await hub.resumable("k", generate, error_event=str)
        await anyio.sleep(0.1)
        await hub.stop("k")
        assert await viewed(hub) == [0]
        assert await hub.state("k") is RunState.STOPPED
        assert "in the cleanup" in caplog.text

    async def test_a_task_group_inside(self, hub: Hub) -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("work")

        async def generate() -> AsyncIterator[int]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(work)
                tasks.start_soon(work)
                await checkpoint()
                while True:
                    yield 0
                    await anyio.sleep_forever()

        await hub.resumable("k", generate)
        await anyio.sleep(0.1)
        await hub.stop("k")
        await until_state(hub, RunState.STOPPED)
        assert ended == ["work", "work"]

    async def test_a_synchronous_generator(self, workers: Workers) -> None:
        closed: list[int] = []

        def generate() -> Iterator[int]:
            try:
                number = 0
                while True:
                    yield number
                    number += 1
            finally:
                closed.append(1)

        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", generate, max_bytes=2**40)
            assert await other.stop("k")
            taken = await viewed(other)
            assert taken == list(range(len(taken)))
            assert await hub.state("k") is RunState.STOPPED
        assert closed == [1]
