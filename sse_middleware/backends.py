"""What asyncio and trio do differently, and where anyio's common ground is too slow or too strict.

- `clock` and `next_pass`: without the search for the backend that anyio does at every call.
- `later` and `running_loop`: also where the event loop runs a callback and no task.
- `threadsafe_caller`: how a worker thread calls into the loop without waiting for it.

The loop is asyncio's where the running task is; anything else is treated by anyio's rules.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from anyio.lowlevel import checkpoint


def running_asyncio_task() -> asyncio.Task[Any] | None:
    """Return the current task, or ``None`` where another event loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def running_loop() -> object:
    """Return what stands for the running event loop, and lives as long as it does.

    It may be called where no task is running, as in a callback.

    Raises:
        RuntimeError: there is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if "trio" not in sys.modules:
            raise
        from trio.lowlevel import current_trio_token  # noqa: PLC0415 - as in `threadsafe_caller`

        return current_trio_token()


def clock() -> Callable[[], float]:
    """Return the running event loop's clock, in seconds."""
    task = running_asyncio_task()
    return anyio.current_time if task is None else task.get_loop().time


def next_pass() -> Callable[[], Awaitable[None]]:
    """Return what suspends the running task for one pass of the event loop."""
    return checkpoint if running_asyncio_task() is None else partial(asyncio.sleep, 0)


def later(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    """Have a function called in the running event loop; return what cancels that.

    It may be called where no task is running, as a server's end is heard.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _later_in_trio(seconds, callback)
    return loop.call_later(seconds, callback).cancel


def _later_in_trio(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    import trio  # noqa: PLC0415 - no dependency, but it is running

    async def wait() -> None:
        with scope:
            await trio.sleep(seconds)
            callback()

    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(wait)
    return scope.cancel


def threadsafe_caller() -> Callable[[Callable[[], object]], object]:
    """Return what a worker thread calls to have a function called in the running event loop."""
    task = running_asyncio_task()
    if task is not None:
        return task.get_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token  # noqa: PLC0415 - no dependency, but it is running

    return current_trio_token().run_sync_soon
