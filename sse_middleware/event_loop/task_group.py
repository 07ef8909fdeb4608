"""`DaemonTaskGroup`: a task group that cancels its tasks when its block ends.

On trio the tasks are children of an anyio task group. On asyncio they are plain tasks, because a
child of a task group takes four times the memory, and takes longer than all the rest of a short
stream. The guarantee is the same: no task outlives the block, however the block ends.

A task that only waits can run work meanwhile, in place of another task: see `SharedWait`.

The tasks must not raise. So there is no ExceptionGroup to take apart.

An eager task runs its first step within the step of the task that starts it. Most end in that step:
then no pass of the event loop is needed, and nothing is kept. asyncio has eager tasks since Python
3.12. Without them, the first step comes in the next pass.

Where the application has set a task factory, that makes the tasks. Some factories know no context,
and some are eager. So they run in the context, and a task that begins soon waits for a pass if they
are eager.
"""

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import anyio

from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.event_loop.shared_wait import SharedWait, Waiter, Work

Argument = TypeVar("Argument")

_HAS_EAGER_TASKS = sys.version_info >= (3, 12)

_TASK: Any = asyncio.Task
"""Not typed: before Python 3.12 it has no ``eager_start``."""


class DaemonTaskGroup(Protocol):
    """Tasks that run while a block runs. At its end they are cancelled, and the block waits."""

    entered: bool
    """Whether the block has begun. It may begin twice, which changes nothing."""

    def create_task(self, work: Work, context: Context | None = None) -> None:
        """Start a task while the block runs. Its first step comes in another pass of the loop.

        Args:
            work: what it does.
            context: its context variables. By default they are the group's.
        """

    def create_eager_task(self, work: Work, *, own_context: bool = False) -> None:
        """Start a task, and run its first step now, if that is possible.

        Args:
            work: what it does.
            own_context: whether the context variables that it sets are for itself. Otherwise the
                next tasks of the group see them.
        """

    def call(self, function: Callable[[Argument], object], argument: Argument) -> None:
        """Call a function in a copy of the context of the group, whatever runs now."""

    def run_until_over(self, work: Work, waiter: Waiter, *, apart: bool) -> Work:
        """Return what runs work while a task waits.

        Where this is possible, the task runs the work itself, so an idle stream needs no other. As
        soon as the wait is over, a task of the group goes on with the work.

        Args:
            work: what it does.
            waiter: waits for an end that the work may bring about, or anything else.
            apart: whether the work needs a task of its own: it may be in a scope or a context that
                no other task can leave.
        """

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
    __slots__ = ("_context", "_has_factory", "_loop", "_tasks")

    entered = True

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._context = copy_context()
        self._has_factory = loop.get_task_factory() is not None
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    def create_task(self, work: Work, context: Context | None = None) -> None:
        own = self._context if context is None else context  # an empty one is false
        if self._loop.get_task_factory() is None:
            task = self._loop.create_task(work, context=own)
        else:
            task = self._made_by_factory(work, own)
        self._keep(task)
        if context is not None:  # it may hold much
            task.add_done_callback(self._forget)

    def _made_by_factory(self, work: Work, context: Context) -> asyncio.Task[None]:
        creates = True

        async def later() -> None:
            if creates:  # the factory is eager
                await asyncio.sleep(0)
            await work

        later.__qualname__ = getattr(work, "__qualname__", later.__qualname__)
        try:
            task = context.copy().run(self._loop.create_task, later())
        finally:
            creates = False
        task.add_done_callback(lambda _: work.close())  # if it was cancelled before it began
        return task

    def _forget(self, ended: asyncio.Task[None]) -> None:
        self._tasks = tuple(one for one in self._tasks if one is not ended)

    def create_eager_task(self, work: Work, *, own_context: bool = False) -> None:
        context = self._context.copy() if own_context else self._context
        if self._has_factory:
            task = context.copy().run(self._loop.create_task, work)
        else:
            task = (
                _TASK(work, loop=self._loop, context=context, eager_start=True)
                if _HAS_EAGER_TASKS
                else self._loop.create_task(work, context=context)
            )
        if not task.done():
            self._keep(task)

    def run_until_over(self, work: Work, waiter: Waiter, *, apart: bool) -> Work:
        if not apart:
            return SharedWait(self, work, waiter).wait()
        self.create_eager_task(work, own_context=True)
        return _until_over(waiter)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks = (*(one for one in self._tasks if not one.done()), task)

    def call(self, function: Callable[[Argument], object], argument: Argument) -> None:
        self._context.copy().run(function, argument)

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
    __slots__ = ("_context", "_group", "entered")

    def __init__(self) -> None:
        self.entered = False
        self._context = copy_context()
        self._group = anyio.create_task_group()

    def create_task(self, work: Work, context: Context | None = None) -> None:
        (self._context if context is None else context).copy().run(
            self._group.start_soon, _awaited, work
        )

    def create_eager_task(self, work: Work, *, own_context: bool = False) -> None:  # noqa: ARG002 - it has one
        self.create_task(work)

    def call(self, function: Callable[[Argument], object], argument: Argument) -> None:
        self._context.copy().run(function, argument)

    def run_until_over(self, work: Work, waiter: Waiter, *, apart: bool) -> Work:  # noqa: ARG002 - it is
        self.create_task(work)
        return _until_over(waiter)

    async def __aenter__(self) -> Self:
        if not self.entered:
            await self._group.__aenter__()
            self.entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._group.cancel_scope.cancel()
        # Given the error, the group would wrap it.
        await self._group.__aexit__(None, None, None)


async def _awaited(work: Work) -> None:
    await work


async def _until_over(waiter: Waiter) -> None:
    while not waiter.is_over():
        await waiter.moved.wait()
    waiter.conclude()


def daemon_task_group() -> DaemonTaskGroup:
    """Make the group of the running task."""
    task = running_asyncio_task()
    return _AnyioTaskGroup() if task is None else _AsyncioTaskGroup(task.get_loop())
