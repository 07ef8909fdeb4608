"""`Wakeup`: one task sleeps until another one wakes it."""

import anyio
import pytest

from sse_middleware.event_loop.wakeup import wakeup

pytestmark = pytest.mark.anyio


async def test_set_wakes_the_task_that_waits_and_is_forgotten() -> None:
    waking, log = wakeup(), []

    async def wait() -> None:
        log.append(await waking.wait())
        log.append(await waking.wait())

    waking.set()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert log == []
        waking.set()
        waking.set()
        await anyio.wait_all_tasks_blocked()
        assert log == [True]
        tasks.cancel_scope.cancel()
    waking.set()
