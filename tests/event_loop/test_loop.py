"""The few calls into the event loop that differ: a pass, a timer, a call from a thread."""

import sys

import anyio
import pytest

from sse_middleware.event_loop.loop import call_later, checkpoint, current_token, threadsafe_caller

pytestmark = pytest.mark.anyio


async def test_a_checkpoint_lets_other_tasks_run() -> None:
    ran = []

    async def other() -> None:
        ran.append(True)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(other)
        await checkpoint()()
        await checkpoint()()  # trio runs the tasks of one pass in random order
        assert ran


async def test_a_thread_calls_into_the_loop_without_waiting() -> None:
    called = anyio.Event()
    call = threadsafe_caller()
    await anyio.to_thread.run_sync(call, called.set)
    await called.wait()


def test_without_an_event_loop_there_is_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError):
        current_token()
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    with pytest.raises(RuntimeError):
        current_token()


class TestCallLater:
    async def test_calls_in_time(self) -> None:
        called: list[float] = []
        begin = anyio.current_time()
        call_later(5, lambda: called.append(anyio.current_time() - begin))
        call_later(0, lambda: called.append(anyio.current_time() - begin))
        await anyio.sleep(10)
        assert called == pytest.approx([0, 5], abs=0.01)

    async def test_does_not_call_once_it_is_cancelled(self) -> None:
        called: list[bool] = []
        cancel = call_later(5, lambda: called.append(True))
        cancel()
        cancel()
        await anyio.sleep(10)
        assert called == []

    async def test_may_be_cancelled_after_the_call(self) -> None:
        called: list[bool] = []
        cancel = call_later(0, lambda: called.append(True))
        await anyio.sleep(1)
        cancel()
        assert called == [True]

    async def test_works_where_no_task_runs(self) -> None:
        called = anyio.Event()
        await anyio.to_thread.run_sync(threadsafe_caller(), lambda: call_later(1, called.set))
        with anyio.fail_after(2):
            await called.wait()
