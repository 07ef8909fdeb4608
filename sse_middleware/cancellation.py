"""`CancelOnce`: cancels the block that it guards, from another task, once.

So an ``await`` in a ``finally`` of the block completes, also when it is a scope outside that has
been cancelled. On trio it is a cancel scope, by its rules.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from types import TracebackType, coroutine
from typing import Any, Protocol, Self

import anyio

from sse_middleware.backends import running_asyncio_task

INSISTENCE = 0.01
"""Seconds between two cancellations of what should have ended: rare enough to let others run."""


class CancelOnce(AbstractContextManager["CancelOnce", bool], Protocol):
    """Guards a block of one task so that another task can cancel it.

    Cancelling the block ends it, silently. A cancellation from outside passes through.
    """

    gave_up: bool
    """Whether the block had to be ended because its cleanup took too long."""

    def heed(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Return what awaits the work of the block, with an eye on what cancels it."""

    def notice(self, on_cancelled: Callable[[], object]) -> None:
        """From now on let a cancelled scope outside strike the work once, and call this first."""

    def cancel(self) -> None:
        """Cancel the guarded block; calls after the first change nothing."""

    def begin_cleanup(self) -> None:
        """Shield the rest of the block from outside, and bound it. Called in the block."""

    def is_cancelled(self) -> bool:
        """Whether anyone has cancelled the block or its task."""

    @property
    def requested(self) -> bool:
        """Whether `cancel` was called."""

    def take_back(self) -> bool:
        """Take a cancellation of the task back that wasn't ours. Returns whether that can be done.

        For who has caught it, and does what it asks for.
        """


class _AnyioCancelOnce:
    """A plain scope: every ``await`` of a cancelled block is cancelled, as trio rules."""

    __slots__ = ("_cleanup_timeout", "_scope", "gave_up")

    def __init__(self, cleanup_timeout: float) -> None:
        self.gave_up = False
        self._cleanup_timeout = cleanup_timeout
        self._scope = anyio.CancelScope()

    def heed(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def notice(self, on_cancelled: Callable[[], object]) -> None:
        """Change nothing: here cancellation from outside does no harm."""

    def cancel(self) -> None:
        self._scope.cancel()

    def begin_cleanup(self) -> None:
        self._scope.shield = True
        self._scope.deadline = anyio.current_time() + self._cleanup_timeout

    def is_cancelled(self) -> bool:
        return True  # trio knows no other reason

    @property
    def requested(self) -> bool:
        return self._scope.cancel_called

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
        self.gave_up = swallowed and anyio.current_time() >= self._scope.deadline
        return swallowed


class _AsyncioCancelOnce:
    """One `Task.cancel`, taken back with `Task.uncancel` as `asyncio.timeout` does it.

    A cancelled anyio scope strikes every later ``await`` of its block again, and so an ``await`` in
    a ``finally`` never completes. Here only what is still running `cleanup_timeout` seconds later
    is struck again, and again.
    """

    __slots__ = (
        "_active",
        "_before",
        "_cleanup_timeout",
        "_strikes",
        "_task",
        "_timer",
        "gave_up",
        "requested",
    )

    def __init__(self, task: asyncio.Task[Any], cleanup_timeout: float) -> None:
        self.gave_up = self.requested = self._active = False
        self._task = task
        self._cleanup_timeout = cleanup_timeout
        self._before = self._strikes = 0
        self._timer: asyncio.TimerHandle | None = None

    def heed(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def notice(self, on_cancelled: Callable[[], object]) -> None:
        """Change nothing: it strikes the block as it would without a guard."""

    def cancel(self) -> None:
        if self._active and not self.requested:
            self.requested = True
            self._strike()
            self.begin_cleanup()

    def begin_cleanup(self) -> None:
        if self._timer is None:  # who bounds its own cleanup comes first
            self._strike_again_in(self._cleanup_timeout + INSISTENCE)

    def _strike(self) -> None:
        self._strikes += 1
        self._task.cancel()

    def _strike_again_in(self, seconds: float) -> None:
        self._timer = self._task.get_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self.gave_up = True
        self._strike()
        self._strike_again_in(INSISTENCE)

    def is_cancelled(self) -> bool:
        return self._task.cancelling() > self._before

    def take_back(self) -> bool:
        while self._task.cancelling() > self._before:
            self._task.uncancel()
        return True

    def __enter__(self) -> Self:
        self._before = self._task.cancelling()
        self._active = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._active = False
        if self._timer is not None:
            self._timer.cancel()
        for _ in range(self._strikes):
            self._task.uncancel()
        ended = isinstance(error, asyncio.CancelledError) and not self.is_cancelled()
        self.gave_up = ended and self.gave_up
        return ended and self._strikes > 0


class _ShieldedCancelOnce(_AsyncioCancelOnce):
    """Shields its block from the scopes outside as soon as one of them has struck."""

    __slots__ = ("_on_cancelled", "_scope")

    def __init__(self, task: asyncio.Task[Any], cleanup_timeout: float) -> None:
        super().__init__(task, cleanup_timeout)
        self._scope = anyio.CancelScope()
        self._on_cancelled: Callable[[], object] | None = None

    @coroutine
    def heed(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        # Each step by hand, as a cancellation must be seen before the work sees it.
        try:
            waits_for = work.send(None)
            while True:
                try:
                    yield waits_for
                except BaseException as error:  # not ours to judge
                    if isinstance(error, asyncio.CancelledError):
                        self._look_outside()
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(None)
        except StopIteration:
            return

    def notice(self, on_cancelled: Callable[[], object]) -> None:
        self._on_cancelled = on_cancelled

    def begin_cleanup(self) -> None:
        self._scope.shield = True
        super().begin_cleanup()

    def _look_outside(self) -> None:
        """Raise the shield, if it is a scope outside that cancels, and not one of the work's."""
        scope = self._scope
        if self._on_cancelled is None or scope.shield or not _is_any_scope_cancelled():
            return
        scope.shield = True
        if _is_any_scope_cancelled():
            scope.shield = False
            return
        self.begin_cleanup()
        self._on_cancelled()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._on_cancelled = None
        self._scope.__exit__(kind, error, trace)  # it is never cancelled itself
        return super().__exit__(kind, error, trace)


def _is_any_scope_cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf


def cancel_once(cleanup_timeout: float, *, shielding: bool = True) -> CancelOnce:
    """Make the guard of the running task.

    Args:
        cleanup_timeout: seconds that the block has to end once it cleans up.
        shielding: whether a cancelled scope outside strikes the block once, too.
    """
    task = running_asyncio_task()
    if task is None:
        return _AnyioCancelOnce(cleanup_timeout)
    guard = _ShieldedCancelOnce if shielding else _AsyncioCancelOnce
    return guard(task, cleanup_timeout)
