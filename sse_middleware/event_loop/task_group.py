"""`DaemonTaskGroup`: a task group that cancels its tasks when its block ends.

On trio the tasks are children of an anyio task group. On asyncio they are plain tasks, because a
child of a task group takes four times the memory, and most of the time that a short stream lasts.
The guarantee is the same: no task outlives the block, however the block ends.

The tasks must not raise. So there is no ExceptionGroup to take apart.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from sse_middleware.event_loop.loop import running_asyncio_task

Work = Coroutine[Any, Any, None]


class DaemonTaskGroup(Protocol):
    """Tasks that run while a block runs. At its end they are cancelled, and the block waits."""

    def create_task(self, work: Work) -> None:
        """Start a task. Called in the block."""

    async def __aenter__(self) -> Self:
        """Begin the block."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the tasks."""


class _AsyncioTaskGroup:
    __slots__ = ("_loop", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def create_task(self, work: Work) -> None:
        self._tasks = (*self._tasks, self._loop.create_task(work))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, ()  # an ended task holds frames that may hold this
        for task in tasks:
            task.cancel()
        cancelled: asyncio.CancelledError | None = None
        for task in tasks:
            while not task.done():
                try:
                    await self._end_of(task)
                except asyncio.CancelledError as another:
                    cancelled = another
        if cancelled is not None and error is None:
            try:
                raise cancelled
            finally:
                del cancelled  # its traceback holds this frame

    def _end_of(self, task: asyncio.Task[None]) -> asyncio.Future[None]:
        """Return a future for the end of a task. To await the task itself could cancel it."""
        ended = self._loop.create_future()

        def end(_: object) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        return ended


class _AnyioTaskGroup:
    __slots__ = ("_group",)

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    def create_task(self, work: Work) -> None:
        self._group.start_soon(_awaited, work)

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(
            None, None, None
        )  # with the error, it would wrap it into a group


async def _awaited(work: Work) -> None:
    await work


def daemon_task_group() -> DaemonTaskGroup:
    """Make the group of the running task."""
    task = running_asyncio_task()
    return _AnyioTaskGroup() if task is None else _AsyncioTaskGroup(task.get_loop())
