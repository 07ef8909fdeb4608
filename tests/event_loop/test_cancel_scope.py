"""`EdgeCancelScope` cancels its block once, and lets a cancellation from outside through."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.asyncio_cancel_scope import ABANDON_AFTER, RECANCEL_INTERVAL
from sse_middleware.event_loop.cancel_scope import edge_cancel_scope

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)


async def cancel_twice(scope: Any) -> None:
    scope.cancel()
    scope.cancel()


async def test_a_cancelled_block_ends_silently() -> None:
    scope = edge_cancel_scope(5)
    reached = False
    async with anyio.create_task_group() as tasks:
        with scope:
            tasks.start_soon(cancel_twice, scope)
            await anyio.sleep_forever()
            reached = True
        await anyio.sleep(1)  # no cancellation is left over
    assert not reached


async def test_a_cancel_after_the_block_changes_nothing() -> None:
    scope = edge_cancel_scope(5)
    with scope:
        await anyio.sleep(1)
    scope.cancel()
    await anyio.sleep(1)


async def test_errors_pass() -> None:
    with pytest.raises(KeyError), edge_cancel_scope(5):
        raise KeyError


async def test_a_cleanup_that_hangs_is_cancelled_again() -> None:
    scope = edge_cancel_scope(5)
    begin = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        with scope:
            tasks.start_soon(cancel_twice, scope)
            try:
                await anyio.sleep_forever()
            finally:
                await anyio.sleep_forever()
    assert anyio.current_time() - begin <= 5 + RECANCEL_INTERVAL


@only_asyncio
@pytest.mark.usefixtures("virtual_time")
async def test_a_block_that_swallows_each_cancellation_is_given_up() -> None:
    scope = edge_cancel_scope(5)
    begin = anyio.current_time()
    with scope:
        scope.cancel()
        while not scope.abandoned:
            with suppress(asyncio.CancelledError):
                await anyio.sleep(60)
    assert 5 + ABANDON_AFTER <= anyio.current_time() - begin <= 2 * 60


async def test_it_knows_whether_it_was_cancelled() -> None:
    scope = edge_cancel_scope(5)
    with scope:
        assert not scope.cancel_called
        scope.cancel()
        assert scope.cancel_called
        await anyio.sleep_forever()


@only_asyncio
@pytest.mark.parametrize("both", [False, True], ids=["alone", "with its own"])
async def test_a_cancellation_from_outside_passes(both: bool) -> None:
    scope: Any = None

    async def block() -> None:
        nonlocal scope
        scope = edge_cancel_scope(5)
        with scope:
            await scope.run(wait())

    async def wait() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    if both:
        scope.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def log_without_waiting(log: list[str]) -> None:
    log.append("ran")


@only_asyncio
async def test_a_cancellation_does_not_outlive_work_that_never_waits() -> None:
    log: list[str] = []
    with edge_cancel_scope(5) as scope:
        scope.cancel()
        await scope.run(log_without_waiting(log))
        await asyncio.sleep(1)
        log.append("cleaned up")
    assert log == ["ran", "cleaned up"]


@only_asyncio
async def test_a_cancellation_from_outside_outlives_work_that_never_waits() -> None:
    log: list[str] = []

    async def block() -> None:
        with edge_cancel_scope(5) as scope:
            scope.cancel()
            task.cancel()
            await scope.run(log_without_waiting(log))
            log.append("went on")

    task = asyncio.create_task(block())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log == ["ran"]


@only_asyncio
async def test_a_cancellation_that_the_block_swallows_is_taken_back() -> None:
    scope = edge_cancel_scope(5)
    task = asyncio.current_task()
    assert task is not None
    async with anyio.create_task_group() as tasks:
        with scope:
            tasks.start_soon(cancel_twice, scope)
            try:
                await anyio.sleep_forever()
            except asyncio.CancelledError:
                await asyncio.sleep(1)
        assert task.cancelling() == 0


@only_asyncio
@pytest.mark.parametrize("cancels", [False, True])
async def test_closing_the_block_closes_its_work(cancels: bool) -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            log.append("closed")

    scope: Any = edge_cancel_scope(5)
    with scope:
        steps = scope.run(work())
        assert steps.send(None) is not None
        if cancels:
            scope.cancel()
        steps.close()
        if cancels:
            with pytest.raises(asyncio.CancelledError):
                await anyio.sleep(1)
    assert log == ["closed"]


@only_asyncio
async def test_abandoned_work_gets_the_error_of_what_it_waits_for() -> None:
    log: list[str] = []
    answer = asyncio.get_running_loop().create_future()

    async def work() -> None:
        while not answer.done():
            with suppress(asyncio.CancelledError):
                await asyncio.shield(answer)
                raise AssertionError("it has no answer")

    async def cleaned(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except OSError as error:
            await asyncio.sleep(0)
            log.append(str(error))

    scope = edge_cancel_scope(1)
    with scope:
        asyncio.get_running_loop().call_later(1, scope.cancel)
        await scope.run(cleaned(work()))
    assert scope.abandoned
    answer.set_exception(OSError("gone"))
    await asyncio.sleep(1)
    assert log == ["gone"]
