"""What asyncio and trio do differently, where anyio's common ground is too slow or too strict.

- `clock` and `checkpoint` skip the search for the backend that anyio makes at every call.
- `call_later` and `current_token` also work in a callback of the event loop, where no task runs.
- `threadsafe_caller` lets a worker thread call into the loop without waiting for it.

Where an asyncio task runs, the loop is asyncio's. Anything else is left to anyio.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
from anyio import lowlevel


def running_asyncio_task() -> asyncio.Task[Any] | None:
    """Return the current task, or ``None`` where another event loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def may_be_in_scope(task: asyncio.Task[Any]) -> bool:
    """Whether an anyio scope may surround what a task of asyncio does.

    anyio has no function for this. Its private table of tasks tells. Without it the answer is yes.
    """
    backend = sys.modules.get("anyio._backends._asyncio")
    states = getattr(backend, "_task_states", None)
    return states is None or task in states


def current_token() -> object:
    """Return an object that stands for the running event loop and lives as long as the loop does.

    `current_token` also works where no task runs, as in a callback.

    Raises:
        RuntimeError: no event loop runs.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        if "trio" not in sys.modules:
            raise
        from trio.lowlevel import current_trio_token  # noqa: PLC0415 - optional, but running

        return current_trio_token()


def clock() -> Callable[[], float]:
    """Return the running event loop's clock, in seconds."""
    task = running_asyncio_task()
    return anyio.current_time if task is None else task.get_loop().time


def checkpoint() -> Callable[[], Awaitable[None]]:
    """Return a function that suspends the running task for one pass of the event loop."""
    return lowlevel.checkpoint if running_asyncio_task() is None else partial(asyncio.sleep, 0)


def call_later(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    """Have the running event loop call a function. Returns a function that cancels the call.

    That function may be called more than once, and after the call. `call_later` also works where no
    task runs, as in the callback of a signal.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _call_later_in_trio(seconds, callback)
    return loop.call_later(seconds, callback).cancel


def _call_later_in_trio(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    import trio  # noqa: PLC0415 - optional, but running

    async def wait() -> None:
        with scope:
            await trio.sleep(seconds)
            callback()

    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(wait)
    return scope.cancel


def threadsafe_caller() -> Callable[[Callable[[], object]], object]:
    """Return a function by which a worker thread has the running event loop call another."""
    task = running_asyncio_task()
    if task is not None:
        return task.get_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token  # noqa: PLC0415 - optional, but running

    return current_trio_token().run_sync_soon


def soon_caller() -> Callable[[Callable[[], object]], object]:
    """Return a function by which code in the running event loop has a function called soon.

    The call comes in another pass of the loop. The function must not raise.
    """
    task = running_asyncio_task()
    if task is not None:
        return task.get_loop().call_soon
    from trio.lowlevel import current_trio_token  # noqa: PLC0415 - optional, but running

    return current_trio_token().run_sync_soon
