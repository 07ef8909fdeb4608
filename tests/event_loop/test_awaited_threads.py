"""Whether a coroutine waits for a worker thread of anyio, read from what it awaits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from sse_middleware.event_loop.awaited_threads import LeftThreads, waits_for_thread

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True),
]

Block = Callable[[], object]


async def in_the_pool(block: Block) -> None:
    await run_in_threadpool(block)


async def with_a_limiter_of_its_own(block: Block) -> None:
    await to_thread.run_sync(block, limiter=CapacityLimiter(1))


async def pulls_a_generator(block: Block) -> None:
    def items() -> Iterator[object]:
        yield block()

    async for _ in iterate_in_threadpool(items()):
        pass


async def pulls_with_a_default(block: Block) -> None:
    async def items() -> AsyncIterator[object]:
        yield await run_in_threadpool(block)

    await anext(items(), None)


async def closes_a_generator(block: Block) -> None:
    async def items() -> AsyncIterator[object]:
        try:
            yield 1
        finally:
            await run_in_threadpool(block)

    pulled: Any = items()
    await anext(pulled)
    await pulled.aclose()


async def has_a_task(block: Block) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        tasks.start_soon(run_in_threadpool, block)


async def has_a_task_of_asyncio(block: Block) -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(in_the_pool(block))


async def has_a_task_of_a_task(block: Block) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(has_a_task, block)


async def leaves_a_context(block: Block) -> None:
    @asynccontextmanager
    async def context() -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(has_a_task, block)
            yield

    async with context():
        pass


@asynccontextmanager
async def suspended(work: Awaitable[object]) -> AsyncIterator[object]:
    """Run a coroutine until all tasks are blocked, and cancel it at the end of the block."""
    task: Any = asyncio.ensure_future(work)
    await anyio.wait_all_tasks_blocked()
    yield task.get_coro()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "work",
    [
        in_the_pool,
        with_a_limiter_of_its_own,
        pulls_a_generator,
        pulls_with_a_default,
        closes_a_generator,
        has_a_task,
        has_a_task_of_asyncio,
        has_a_task_of_a_task,
        leaves_a_context,
    ],
)
async def test_what_waits_for_a_thread(work: Callable[[Block], Awaitable[object]]) -> None:
    release = threading.Event()
    async with suspended(work(release.wait)) as coroutine:
        assert waits_for_thread(coroutine)
        release.set()


async def sleeps_in_a_task() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)


async def sleeps_in_the_body_of_a_group() -> None:
    async with anyio.create_task_group():
        await anyio.sleep_forever()


async def waits_for_a_limiter() -> None:
    limiter = CapacityLimiter(1)
    await limiter.acquire_on_behalf_of(object())
    await to_thread.run_sync(int, limiter=limiter)


@pytest.mark.parametrize(
    "work",
    [
        anyio.sleep_forever,
        sleeps_in_a_task,
        sleeps_in_the_body_of_a_group,
        waits_for_a_limiter,
        partial(asyncio.wait_for, anyio.sleep_forever(), 100),
    ],
)
async def test_what_waits_for_something_else(work: Callable[[], Awaitable[object]]) -> None:
    async with suspended(work()) as coroutine:
        assert not waits_for_thread(coroutine)


async def test_a_call_that_has_not_begun_has_no_thread() -> None:
    call = to_thread.run_sync(int)
    assert not waits_for_thread(call)
    await call
    assert not waits_for_thread(call)


async def test_a_group_that_is_built_otherwise_has_no_known_tasks() -> None:
    class TaskGroup(SimpleNamespace):
        async def __aexit__(self, *_: object) -> None:
            await anyio.sleep_forever()

    TaskGroup.__aexit__.__qualname__ = "TaskGroup.__aexit__"
    ended = TaskGroup().__aexit__()
    ended.close()
    assert not waits_for_thread(ended)
    async with suspended(TaskGroup().__aexit__()) as coroutine:
        assert not waits_for_thread(coroutine)


async def test_threads_that_are_left_tell_when_the_last_one_has_returned() -> None:
    releases = [threading.Event(), threading.Event()]
    left = LeftThreads(asyncio.get_running_loop())
    returned = anyio.Event()
    for release in releases:
        async with suspended(asyncio.to_thread(release.wait)) as coroutine:
            left.note(coroutine)
    left.when_returned(returned.set)
    for release in releases:
        assert not returned.is_set()
        release.set()
    await returned.wait()


async def test_threads_that_have_returned_tell_at_once() -> None:
    release, returned = threading.Event(), anyio.Event()
    left, later = (LeftThreads(asyncio.get_running_loop()) for _ in range(2))
    async with suspended(asyncio.to_thread(release.wait)) as coroutine:
        later.note(coroutine)
        left.note(coroutine)  # the last to be noted is the first to be told
    later.when_returned(returned.set)
    release.set()
    await returned.wait()
    returned = anyio.Event()
    left.when_returned(returned.set)
    assert returned.is_set()
