"""`DaemonTaskGroup.run_until_over`: a task runs other work while it waits for an end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.event_loop.wakeup import wakeup

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)


class End:
    """Waits until it is over."""

    def __init__(self) -> None:
        self.moved = wakeup()
        self.over = False
        self.error: Exception | None = None

    def is_over(self) -> bool:
        return self.over

    def conclude(self) -> None:
        if self.error is not None:
            raise self.error

    def come(self) -> None:
        self.over = True
        self.moved.set()


async def wait_beside(work: Callable[[], Awaitable[None]], end: End) -> None:
    """Wait for an end, and run work beside."""

    async def run() -> None:
        await work()

    async with daemon_task_group() as tasks:
        await tasks.run_until_over(run(), end, apart=False)


async def later(callback: Callable[[], object]) -> None:
    await anyio.sleep(1)
    callback()


async def test_work_goes_on_when_the_wait_is_over() -> None:
    end, log = End(), list[str]()

    async def work() -> None:
        try:
            await anyio.sleep(2)
            log.append("slept")
            await anyio.sleep_forever()
        finally:
            log.append("cancelled")

    async def read() -> None:
        async with daemon_task_group() as tasks:
            await tasks.run_until_over(work(), end, apart=False)
            log.append("over")
            await anyio.sleep(2)

    async with anyio.create_task_group() as others:
        others.start_soon(later, end.come)
        await read()
    assert log == ["over", "slept", "cancelled"]


async def test_work_may_bring_the_end() -> None:
    end = End()

    async def work() -> None:
        await anyio.sleep(1)
        end.come()

    await wait_beside(work, end)


async def test_an_end_may_come_after_the_work() -> None:
    end = End()
    async with anyio.create_task_group() as others:
        others.start_soon(later, end.come)
        await wait_beside(checkpoint, end)
        assert end.over


async def test_a_wait_that_is_over_lets_the_work_begin() -> None:
    end, begun = End(), list[None]()
    end.come()

    async def work() -> None:
        begun.append(None)
        await anyio.sleep_forever()

    async def wait() -> None:
        async with daemon_task_group() as tasks:
            await tasks.run_until_over(work(), end, apart=False)
            await anyio.sleep(1)

    await wait()
    assert begun == [None]


async def test_who_wakes_it_need_not_be_the_end() -> None:
    end, steps = End(), list[int]()

    async def work() -> None:
        for step in range(3):
            await anyio.sleep(2)
            steps.append(step)
        end.come()

    async with anyio.create_task_group() as others:
        others.start_soon(later, end.moved.set)
        await wait_beside(work, end)
    assert steps == [0, 1, 2]


async def test_the_end_may_raise() -> None:
    end = End()
    end.error = KeyError("no")
    async with anyio.create_task_group() as others:
        others.start_soon(later, end.come)
        with pytest.raises(KeyError):
            await wait_beside(anyio.sleep_forever, end)


@only_asyncio
class TestCancellation:
    """Of the task that waits."""

    async def test_the_work_is_cancelled_with_it(self) -> None:
        ended = list[str]()

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("work")

        task = asyncio.ensure_future(wait_beside(work, End()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["work"]

    async def test_work_may_go_on_after_it(self) -> None:
        end = End()

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                end.come()

        task = asyncio.ensure_future(wait_beside(work, end))
        await asyncio.sleep(1)
        task.cancel()
        await task

    async def test_what_the_work_awaits_is_not_cancelled_by_another_end(self) -> None:
        end = End()
        awaited: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await awaited

        async def wait() -> None:
            async with daemon_task_group() as tasks:
                await tasks.run_until_over(work(), end, apart=False)
                assert not awaited.done()
                awaited.set_result(None)

        asyncio.get_running_loop().call_later(1, end.come)
        await wait()
        assert not awaited.cancelled()

    async def test_its_message_reaches_the_work(self) -> None:
        messages = list[object]()

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError as error:
                messages.append(error.args[0])
                raise

        task = asyncio.ensure_future(wait_beside(work, End()))
        await asyncio.sleep(1)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert messages == ["enough"]

    async def test_it_may_come_when_the_task_was_woken_already(self) -> None:
        end, ended = End(), list[str]()

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                ended.append("work")

        task = asyncio.ensure_future(wait_beside(work, end))
        await asyncio.sleep(1)
        end.come()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == ["work"]

    async def test_it_may_come_after_the_work(self) -> None:
        task = asyncio.ensure_future(wait_beside(checkpoint, End()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@only_asyncio
class TestAsAFuture:
    """What asyncio and anyio ask of what a task waits for."""

    async def test_anyio_knows_when_the_task_is_blocked(self) -> None:
        end, waits = End(), list[Any]()

        async def wait() -> None:
            async with daemon_task_group() as tasks:
                waits.append(tasks.run_until_over(anyio.sleep_forever(), end, apart=False))
                await waits[0]

        task = asyncio.ensure_future(wait())
        await anyio.wait_all_tasks_blocked()
        assert not waits[0].done()
        end.come()
        assert waits[0].done()  # the task was woken, and has not gone on
        await anyio.wait_all_tasks_blocked()
        await task

    async def test_asyncio_shows_what_the_work_awaits(self) -> None:
        end = End()
        awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await awaited

        task = asyncio.ensure_future(wait_beside(work, end))
        await checkpoint()
        assert f"wait_for={awaited!r}" in repr(task)
        awaited.set_result(None)
        await checkpoint()
        end.come()
        await task


@only_asyncio
class TestWakes:
    """The task is woken once, whatever happens at the same moment."""

    @pytest.mark.parametrize("end_comes_first", [True, False])
    async def test_by_the_end_and_by_what_the_work_awaits(self, end_comes_first: bool) -> None:
        end, log = End(), list[str]()
        awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def work() -> None:
            await awaited
            log.append("work")

        async def wait() -> None:
            async with daemon_task_group() as tasks:
                await tasks.run_until_over(work(), end, apart=False)
                log.append("over")
                await asyncio.sleep(1)  # a second wake would cut this short

        task, began = asyncio.ensure_future(wait()), asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        if end_comes_first:
            end.come()
        awaited.set_result(None)
        end.come()
        end.come()
        await task
        assert sorted(log) == ["over", "work"]
        assert asyncio.get_running_loop().time() == began + 2

    async def test_others_may_await_what_the_work_awaits(self) -> None:
        end = End()
        awaited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        got = list[int]()

        async def work() -> None:
            got.append(await awaited)
            await anyio.sleep_forever()

        async def other() -> None:
            got.append(await awaited)

        async def wait() -> None:
            async with daemon_task_group() as tasks:
                await tasks.run_until_over(work(), end, apart=False)
                await asyncio.gather(other(), asyncio.sleep(2))

        one, another = asyncio.ensure_future(wait()), asyncio.ensure_future(other())
        await asyncio.sleep(1)
        end.come()
        await asyncio.sleep(1)
        awaited.set_result(7)
        await asyncio.gather(one, another)
        assert got == [7, 7, 7]

    async def test_before_it_waits(self) -> None:
        end = End()

        async def work() -> None:
            end.moved.set()
            await asyncio.sleep(1)
            end.come()

        await wait_beside(work, end)

    async def test_work_is_closed_where_the_task_is_never_stepped_again(self) -> None:
        end, closed = End(), list[str]()

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                closed.append("work")

        async with daemon_task_group() as tasks:
            wait = tasks.run_until_over(work(), end, apart=False)
            wait.send(None)
            wait.close()
            assert closed == ["work"]
            wait.close()
