"""`UncancelledBlock`: a block that only others cancel."""

import asyncio

import anyio
import pytest

from sse_middleware.event_loop.cancel_scope import uncancelled_block
from sse_middleware.event_loop.uncancelled_block import UncancelledBlock

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)


async def test_work_runs_and_errors_pass() -> None:
    async def fail() -> None:
        await anyio.sleep(1)
        raise KeyError

    scope = uncancelled_block(5)
    with pytest.raises(KeyError), scope:
        await scope.run(fail())
    assert not scope.cancel_called


@only_asyncio
class TestOnAsyncio:
    async def test_a_cancellation_from_outside_can_be_taken_back(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        with uncancelled_block(5) as scope:
            assert not scope.is_cancelled()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await anyio.sleep(1)
            assert scope.is_cancelled()
            assert scope.uncancel()
            assert not scope.is_cancelled()
        assert task.cancelling() == 0

    async def test_nothing_else_changes_it(self) -> None:
        called = list[None]()
        with uncancelled_block(5) as scope:
            assert isinstance(scope, UncancelledBlock)
            scope.cancel()
            scope.begin_cleanup()
            scope.note_threads()
            scope.when_idle(lambda: called.append(None))
            await anyio.sleep(10)
        assert called == [None]
