"""`CancelOnce`: cancels the block that it guards, from another task, once.

So an ``await`` in a ``finally`` of the block completes. On trio it is a cancel scope, by its rules.
"""

import asyncio
import math
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from sse_middleware.backends import clock, running_asyncio_task


class CancelOnce(AbstractContextManager["CancelOnce", bool], Protocol):
    """Guards a block of one task so that another task can cancel it.

    Cancelling the block ends it, silently. A cancellation from outside passes through.
    """

    gave_up: bool
    """Whether the block had to be ended because its cleanup took too long."""

    def shield(self) -> None:
        """Leave cancellation to `cancel`: whoever notices one from outside must call it."""

    def cancel(self) -> None:
        """Cancel the guarded block; calls after the first change nothing."""

    def begin_cleanup(self) -> None:
        """Shield the rest of the block from outside, and bound it. Called in the block."""

    def is_cancelled(self) -> bool:
        """Whether anyone has cancelled the block or its task."""

    def take_back(self) -> bool:
        """Take a cancellation of the task back, if it wasn't ours. Returns false if there is none.

        For who has caught it, and has done what it asks for.
        """


class _AnyioCancelOnce:
    """A plain scope: every ``await`` of a cancelled block is cancelled, as trio rules."""

    def __init__(self, cleanup_timeout: float) -> None:
        self.gave_up = False
        self._cleanup_timeout = cleanup_timeout
        self._scope = anyio.CancelScope()
        self._clock = clock()  # it is also read where no task is running

    def shield(self) -> None:
        """Change nothing: here cancellation from outside does no harm."""

    def cancel(self) -> None:
        self._scope.cancel()

    def begin_cleanup(self) -> None:
        self._scope.shield = True
        if self._scope.deadline == math.inf:
            self._scope.deadline = self._clock() + self._cleanup_timeout

    def is_cancelled(self) -> bool:
        return True  # trio knows no other reason

    def take_back(self) -> bool:
        return False  # trio knows no such cancellation

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        swallowed = bool(self._scope.__exit__(kind, error, trace))
        self.gave_up = swallowed and self._clock() >= self._scope.deadline
        return swallowed


class _AsyncioCancelOnce(_AnyioCancelOnce):
    """One `Task.cancel`, taken back with `Task.uncancel` as `asyncio.timeout` does it.

    A cancelled anyio scope strikes every later ``await`` of its block again, and so an ``await`` in
    a ``finally`` never completes. So the block is shielded from the scopes outside; whoever notices
    their cancellation calls `cancel`. What is still running `cleanup_timeout` seconds later is
    cancelled by anyio's rules after all.
    """

    def __init__(self, task: asyncio.Task[Any], cleanup_timeout: float) -> None:
        super().__init__(cleanup_timeout)
        self._task = task
        self._before = 0
        self._active = self._cancelled = False

    def shield(self) -> None:
        self._scope.shield = True

    def cancel(self) -> None:
        if not self._active or self._cancelled:
            return
        self._cancelled = True
        self._task.cancel()
        self.begin_cleanup()

    def is_cancelled(self) -> bool:
        return self._cancelled or self._task.cancelling() > self._before

    def take_back(self) -> bool:
        if self._cancelled:
            return False
        while self._task.cancelling() > self._before:
            self._task.uncancel()
        return True

    def __enter__(self) -> Self:
        self._before = self._task.cancelling()
        self._active = True
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._active = False
        swallowed = super().__exit__(kind, error, trace)
        if not self._cancelled:
            return swallowed
        # anyio leaves a deadline's cancellation to whoever has cancelled the task too: to us.
        others = self._task.uncancel() > self._before
        ended = swallowed or (isinstance(error, asyncio.CancelledError) and not others)
        self.gave_up = ended and self._clock() >= self._scope.deadline
        return ended


def cancel_once(cleanup_timeout: float) -> CancelOnce:
    """Make the guard of the running event loop.

    Args:
        cleanup_timeout: seconds that the block has to end once it cleans up.
    """
    task = running_asyncio_task()
    if task is None:
        return _AnyioCancelOnce(cleanup_timeout)
    return _AsyncioCancelOnce(task, cleanup_timeout)
