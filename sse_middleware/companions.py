"""`Companions`: the tasks that run beside a stream's producer, and end with it.

On trio they are children of an anyio task group. On asyncio they are plain tasks: a child of a task
group takes four times their memory and most of the time that a short stream lasts. What a task
group would do for them is done here: none outlives the block, however the block ends.

Companions never raise: there is no ExceptionGroup to take apart.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from sse_middleware.backends import running_asyncio_task

Companion = Coroutine[Any, Any, None]


class Companions(Protocol):
    """Tasks that run while a block does. When it ends they are cancelled, and waited for."""

    def start(self, companion: Companion) -> None:
        """Start a task; called in the block."""

    async def __aenter__(self) -> Self:
        """Begin the block."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the tasks."""


class _AsyncioCompanions:
    __slots__ = ("_loop", "_tasks")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def start(self, companion: Companion) -> None:
        self._tasks = (*self._tasks, self._loop.create_task(companion))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks, self._tasks = self._tasks, ()  # what has ended holds frames that may hold this
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
        """Return what is done when the task is. To wait for the task itself could cancel it."""
        ended = self._loop.create_future()

        def end(_: object) -> None:
            if not ended.done():
                ended.set_result(None)

        task.add_done_callback(end)
        return ended


class _AnyioCompanions:
    __slots__ = ("_group",)

    def __init__(self) -> None:
        self._group = anyio.create_task_group()

    def start(self, companion: Companion) -> None:
        self._group.start_soon(_awaited, companion)

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
        await self._group.__aexit__(None, None, None)  # it would put the error into a group


async def _awaited(companion: Companion) -> None:
    await companion


def companions() -> Companions:
    """Make those of the running task."""
    task = running_asyncio_task()
    return _AnyioCompanions() if task is None else _AsyncioCompanions(task.get_loop())
