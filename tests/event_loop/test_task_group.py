"""`DaemonTaskGroup`: no task outlives its block, however the block ends."""

import asyncio
from contextlib import suppress

import anyio
import pytest

from sse_middleware.event_loop.task_group import daemon_task_group

pytestmark = pytest.mark.anyio


async def test_its_tasks_are_cancelled_at_the_end_of_the_block() -> None:
    log: list[str] = []

    async def daemon(name: str) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            log.append(name)

    async with daemon_task_group() as group:
        for name in ("first", "second"):
            group.create_task(daemon(name))
        await anyio.wait_all_tasks_blocked()
        assert log == []
    assert sorted(log) == ["first", "second"]


class Slow:
    """A task that takes its time to end when it is cancelled."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.release = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        with suppress(asyncio.CancelledError):
            await anyio.sleep_forever()
        self.cancelled.set()
        await self.release.wait()
        self.ended = True


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
@pytest.mark.parametrize("error", [None, LookupError])
async def test_a_block_that_is_cancelled_meanwhile_waits_for_its_tasks(
    error: type[Exception] | None,
) -> None:
    slow, log = Slow(), []

    async def block() -> None:
        async with daemon_task_group() as group:
            group.create_task(slow.run())
            await anyio.wait_all_tasks_blocked()
            if error is not None:
                raise error
        log.append("unreached")

    task = asyncio.create_task(block())
    await slow.cancelled.wait()
    task.cancel()
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    slow.release.set()
    with pytest.raises(error or asyncio.CancelledError):  # an error is not hidden
        await task
    assert slow.ended
    assert log == []
