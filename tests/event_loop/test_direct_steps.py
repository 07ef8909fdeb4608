"""Direct steps: nothing that runs in a task can tell them from the steps that the task takes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import ContextVar, copy_context
from types import coroutine
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.cancel_scope import edge_cancel_scope
from tests.served import OopsError

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

Work = Coroutine[Any, Any, None]
Future = asyncio.Future[str]
Log = Callable[[object], object]

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="not set")


async def by_the_task(work: Work) -> None:
    await work


async def in_direct_steps(work: Work) -> None:
    with edge_cancel_scope(60) as scope:
        await scope.run(work)


async def in_direct_steps_of_direct_steps(work: Work) -> None:
    """Run as a stream does that a generator of another stream reads in its own task."""
    with edge_cancel_scope(60) as scope:
        await scope.run(in_direct_steps(work))


def running_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def waits(log: Log, second: Future) -> None:
    log(await second)


async def sets_a_variable(log: Log, second: Future) -> None:
    VARIABLE.set("set")
    log(await second)


async def gives_way(log: Log, second: Future) -> None:
    await asyncio.sleep(0)
    log(await second)


async def yields_no_future(log: Log, second: Future) -> None:
    @coroutine
    def wrong() -> Generator[int, None, None]:
        yield 1

    try:
        await wrong()
    except RuntimeError as error:
        log(str(error))
    log(await second)


async def waits_for_its_own_task(log: Log, second: Future) -> None:
    task: Any = running_task()
    try:
        await task
    except RuntimeError as error:
        log(str(error).partition(":")[0])
    task._asyncio_future_blocking = False  # or nobody else could await it
    log(await second)


async def waits_for_another_loop(log: Log, second: Future) -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    except RuntimeError as error:
        log(str(error).rpartition("attached")[2])
    finally:
        loop.close()
    log(await second)


async def swallows_a_cancellation(log: Log, second: Future) -> None:
    try:
        await second
    except asyncio.CancelledError as error:
        log(error.args)
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


async def waits_for_a_task(log: Log, second: Future) -> None:
    child = asyncio.create_task(waits(log, second))
    try:
        await child
    finally:
        log(child.cancelled())


async def is_cancelled_and_waits(log: Log, second: Future) -> None:
    running_task().cancel("now")
    try:
        await second
    finally:
        log(second.cancelled())


async def is_cancelled_and_gives_way(log: Log, second: Future) -> None:
    running_task().cancel("now")
    await asyncio.sleep(0)
    log(await second)


async def is_cancelled_and_ends(_log: Log, _second: Future) -> None:
    running_task().cancel("now")


async def is_cancelled_and_fails(_log: Log, _second: Future) -> None:
    running_task().cancel("now")
    raise OopsError


async def takes_a_cancellation_back(log: Log, second: Future) -> None:
    running_task().cancel("now")
    running_task().uncancel()
    log(await second)


async def fails(_log: Log, _second: Future) -> None:
    raise OopsError


WORKS = [
    waits,
    sets_a_variable,
    gives_way,
    yields_no_future,
    waits_for_its_own_task,
    waits_for_another_loop,
    swallows_a_cancellation,
    waits_for_a_task,
    is_cancelled_and_waits,
    is_cancelled_and_gives_way,
    is_cancelled_and_ends,
    is_cancelled_and_fails,
    takes_a_cancellation_back,
    fails,
]


def gives_a_result(_task: asyncio.Task[None], second: Future) -> None:
    second.set_result("second")


def gives_an_error(_task: asyncio.Task[None], second: Future) -> None:
    second.set_exception(OopsError())
    second.exception()  # some works don't look at it


def cancels(task: asyncio.Task[None], _second: Future) -> None:
    task.cancel("from outside")


def gives_a_result_and_cancels(task: asyncio.Task[None], second: Future) -> None:
    second.set_result("second")
    task.cancel("from outside")


def gives_a_result_and_takes_a_cancellation_back(task: asyncio.Task[None], second: Future) -> None:
    second.set_result("second")
    task.cancel("from outside")
    task.uncancel()


EVENTS = [
    gives_a_result,
    gives_an_error,
    cancels,
    gives_a_result_and_cancels,
    gives_a_result_and_takes_a_cancellation_back,
]


async def observed(
    run: Callable[[Work], Awaitable[None]],
    work: Callable[[Log, Future], Work],
    event: Callable[[asyncio.Task[None], Future], None],
) -> list[object]:
    """Return what happens in a task and in its work, up to the end of the task."""
    seen: list[object] = []
    first, second = Future(), Future()

    async def working() -> None:
        seen.append(await first)
        seen.append(running_task() is task)  # this step is the first direct one
        await work(seen.append, second)

    async def respond() -> None:
        try:
            await run(working())
        except BaseException as error:
            seen.append(repr(error))
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError as error:  # it has come too late for the work
            seen.append(error.args)
        seen.append((VARIABLE.get(), running_task().cancelling()))

    task = asyncio.create_task(respond())
    await asyncio.sleep(0)
    first.set_result("first")
    for _ in range(3):
        await asyncio.sleep(0)
    if not second.done():
        event(task, second)
    await task
    return seen


@pytest.mark.parametrize("run", [in_direct_steps, in_direct_steps_of_direct_steps])
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("work", WORKS)
async def test_the_work_and_its_task_see_what_they_would_see_without(
    run: Callable[[Work], Awaitable[None]],
    work: Callable[[Log, Future], Work],
    event: Callable[[asyncio.Task[None], Future], None],
) -> None:
    assert await observed(run, work, event) == await observed(by_the_task, work, event)


async def test_no_other_coroutine_of_the_task_is_resumed() -> None:
    resumed = 0

    @coroutine
    def counting(steps: Generator[Any, Any, None]) -> Generator[Any, Any, None]:
        nonlocal resumed
        try:
            waits_for = steps.send(None)
            while True:
                yield waits_for
                resumed += 1
                waits_for = steps.send(None)
        except StopIteration:
            pass

    async def work() -> None:
        for _ in range(10):
            await asyncio.sleep(0.001)

    await counting(in_direct_steps(work()))  # type: ignore[arg-type] # a coroutine has `send`
    assert resumed == 2  # after the first wait, and at the end


async def test_what_anyio_cancels_keeps_the_item_that_it_has_received() -> None:
    send, receive = anyio.create_memory_object_stream[int]()
    received: list[int] = []

    async def work() -> None:
        while True:
            received.append(await receive.receive())

    async with send, receive, anyio.create_task_group() as group:
        group.start_soon(in_direct_steps, work())
        for item in range(3):
            await send.send(item)
        await anyio.wait_all_tasks_blocked()
        send.send_nowait(3)  # its future is done, and the work hasn't been resumed
        group.cancel_scope.cancel()
    assert received == [0, 1, 2, 3]


@pytest.mark.parametrize("run", [by_the_task, in_direct_steps])
@pytest.mark.parametrize("work", [waits, gives_way])
async def test_work_that_is_closed_is_resumed_no_more(
    run: Callable[[Work], Coroutine[Any, Any, None]], work: Callable[[Log, Future], Work]
) -> None:
    first, second = Future(), Future()
    seen: list[object] = []

    async def working() -> None:
        await asyncio.sleep(0)  # the first wait is the task's
        seen.append(await first)
        await work(seen.append, second)

    with edge_cancel_scope(60) as scope:
        steps: Any = scope.run(run(working()))
        steps.send(None)
        steps.send(None).add_done_callback(lambda _: None, context=copy_context())
        first.set_result("first")
        await asyncio.sleep(0)
        steps.close()
        second.set_result("second")
        await asyncio.sleep(0)
    assert seen == ["first"]


async def test_work_may_be_closed_at_its_first_wait() -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await Future()
        finally:
            ends.append("closed")

    with edge_cancel_scope(60) as scope:
        steps: Any = scope.run(work())
        steps.send(None)
        steps.close()
    assert ends == ["closed"]


@pytest.mark.parametrize("run", [by_the_task, in_direct_steps])
async def test_a_task_shows_what_its_work_waits_for(run: Callable[[Work], Awaitable[None]]) -> None:
    child = asyncio.create_task(asyncio.sleep(0.001), name="the child")

    async def work() -> None:
        await child

    task = asyncio.ensure_future(run(work()))
    await asyncio.sleep(0)
    assert "the child" in repr(task)
    await task


@pytest.mark.parametrize("run", [by_the_task, in_direct_steps])
async def test_the_log_names_the_task_whose_step_was_slow(
    run: Callable[[Work], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    loop = running_task().get_loop()

    async def work() -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        time.sleep(0.002)  # noqa: ASYNC251 - that is what the log is about
        await asyncio.sleep(0.001)

    before = loop.slow_callback_duration
    loop.slow_callback_duration = 0.001
    loop.set_debug(True)
    try:
        task: asyncio.Task[None] = asyncio.ensure_future(run(work()))
        task.set_name("the slow task")
        await task
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = before
    assert "the slow task" in caplog.text
