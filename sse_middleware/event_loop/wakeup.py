"""`Wakeup`: one task sleeps until another one wakes it.

anyio's `Event` costs several times more than a future.
"""

import asyncio
from collections.abc import Awaitable
from typing import Protocol

import anyio

from sse_middleware.event_loop.loop import running_asyncio_task


class Wakeup(Protocol):
    """Wakes the one waiting task.

    A `set` that finds nobody waiting is lost, so check your condition before you wait.
    """

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self) -> Awaitable[object]:
        """Sleep until `set`."""


class _AsyncioWakeup:
    """A future."""

    __slots__ = ("_future", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self) -> Awaitable[bool]:
        self._future = future = self._loop.create_future()
        return future


class _AnyioWakeup:
    """An event."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: anyio.Event | None = None

    def set(self) -> None:
        if self._event is not None:
            self._event.set()

    async def wait(self) -> bool:
        self._event = anyio.Event()
        try:
            await self._event.wait()
            return True
        finally:
            self._event = None


def wakeup() -> Wakeup:
    """Make a wake-up of the running event loop."""
    task = running_asyncio_task()
    return _AnyioWakeup() if task is None else _AsyncioWakeup(task.get_loop())
