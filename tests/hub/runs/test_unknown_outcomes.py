"""Calls of the store whose answer is lost: they may have been made, or not."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware.hub.run import RunState, end_marker
from sse_middleware.hub.runs import runner
from tests.hub.runs.kit import Workers, for_ever, joined, never_called, numbers, until_state, viewed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

OFTEN = 99
"""More attempts than five seconds have."""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_each_event_is_kept_once(workers: Workers, when: str, times: int) -> None:
    async def generate() -> AsyncIterator[int]:
        for number in range(30):
            if number in (5, 25):
                counts = getattr(workers.faults[0], f"fail_{when}")
                counts["append"] = times
            yield number
            await anyio.sleep(0.05)

    async with workers.hub() as hub, workers.hub() as other:
        await hub.resumable("k", generate)
        assert await viewed(other) == list(range(30))
        assert await viewed(hub) == list(range(30))
        assert await other.state("k") is RunState.DONE


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("times", [1, 2, 3])
async def test_the_end_is_written_once(memory_workers: Workers, when: str, times: int) -> None:
    async def generate() -> AsyncIterator[int]:
        yield 0
        await anyio.sleep(1)
        getattr(memory_workers.faults[0], f"fail_{when}")["append"] = times

    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        await hub.resumable("k", generate)
        assert await viewed(other) == [0]
        await until_state(other, RunState.DONE)
        log = await hub._here().read(("\0run:k",), 0, 100)
        blocks = [entry.block for entry in log.topics["\0run:k"].entries]
        assert blocks.count(end_marker(RunState.DONE)) == 1


@pytest.mark.parametrize("when", ["before", "after"])
async def test_the_beginning_is_made_once(workers: Workers, when: str) -> None:
    begun: list[int] = []

    def factory() -> AsyncIterator[int]:
        begun.append(1)
        return numbers(3)()

    async with workers.hub() as hub:
        for restart in (False, True):
            getattr(workers.faults[0], f"fail_{when}")["begin_run"] = 1
            await hub.resumable("k", factory, restart=restart)
            assert await viewed(hub) == [0, 1, 2]
        assert begun == [1, 1]


async def test_nobody_knows_whether_it_has_begun(memory_workers: Workers) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        memory_workers.faults[0].fail_after["begin_run"] = OFTEN
        with pytest.raises(OSError, match="begin_run"):
            await hub.resumable("k", never_called)
        memory_workers.faults[0].fail_after.clear()
        assert await viewed(other) == []  # once the lease is over
        assert await other.state("k") is RunState.ABORTED


async def test_the_lease_is_over_when_it_is_known_to_have_begun(
    memory_workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "LEASE", 0.01)  # less than until the next attempt
    async with memory_workers.hub() as hub:
        memory_workers.faults[0].fail_after["begin_run"] = 1
        await hub.resumable("k", never_called)
        assert await hub.state("k") is RunState.ABORTED
        assert await viewed(hub) == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_renewal(memory_workers: Workers, when: str) -> None:
    async with memory_workers.hub() as hub:
        counts = getattr(memory_workers.faults[0], f"fail_{when}")
        counts["renew_run"] = 2
        await hub.resumable("k", numbers(3, 10))
        assert await viewed(hub) == [0, 1, 2]


async def test_an_answer_that_takes_too_long(memory_workers: Workers) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        store = memory_workers.faults[0]
        await hub.resumable("k", numbers(20, 0.5))
        await anyio.sleep(1)
        store.delays = {"append": 6}
        await anyio.sleep(4)
        store.delays = {}
        assert await viewed(other) == list(range(20))


async def test_no_answer_to_a_stop(memory_workers: Workers) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        await hub.resumable("k", for_ever)
        memory_workers.faults[1].fail_after["stop_run"] = OFTEN
        with pytest.raises(OSError, match="stop_run"):
            await other.stop("k")
        await until_state(other, RunState.STOPPED)  # it was noted


async def test_what_the_log_has(memory_workers: Workers) -> None:
    """The wrapper counts each append that was made, so a repeated one shows here."""
    async with memory_workers.hub() as hub:
        memory_workers.faults[0].fail_after["append"] = 1
        await hub.resumable("k", numbers(2, 1))
        assert await viewed(hub) == [0, 1]
        made: list[Any] = memory_workers.faults[0].appends_of()
        assert joined(made) == b"data: 0\n\n" * 2 + b"data: 1\n\n" + end_marker(RunState.DONE)
        kept = (await hub._here().read(("\0run:k",), 0, 100)).topics["\0run:k"]
        assert len(kept.entries) == 4
