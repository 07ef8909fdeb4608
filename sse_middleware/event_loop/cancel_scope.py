"""`EdgeCancelScope`: cancels its block once, also when another task asks for it.

A cancelled anyio scope cancels every later ``await`` of its block as well ("level cancellation"),
so an ``await`` in a ``finally`` never completes. This scope cancels once, as ``Task.cancel`` does
("edge cancellation"), also where an anyio scope around it is cancelled. So an ``await`` in a
``finally`` completes. On trio it is a plain cancel scope, with trio's rules.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from types import TracebackType, coroutine
from typing import Any, Protocol, Self

import anyio

from sse_middleware.event_loop.loop import running_asyncio_task

RECANCEL_INTERVAL = 0.01
"""Seconds between two cancellations of a block that should have ended: others can run meanwhile."""


class EdgeCancelScope(AbstractContextManager["EdgeCancelScope", bool], Protocol):
    """Guards a block of one task, so that another task can cancel it.

    `cancel` ends the block, silently. A cancellation from outside passes through.
    """

    cleanup_timed_out: bool
    """Whether the block was ended because its cleanup took too long."""

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Return what awaits the work of the block. It must be awaited inside of the block."""

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        """From now on let a cancelled scope outside cancel the work once, and call this first."""

    def cancel(self) -> None:
        """Cancel the block. Calls after the first change nothing."""

    def begin_cleanup(self) -> None:
        """Shield the rest of the block from outside, and bound it. Called in the block."""

    def is_cancelled(self) -> bool:
        """Whether anything has cancelled the block or its task."""

    @property
    def cancel_called(self) -> bool:
        """Whether `cancel` was called."""

    def uncancel(self) -> bool:
        """Take back a cancellation of the task that wasn't ours. Returns whether that is possible.

        For code that has caught the cancellation, and does what it asks for.
        """


class _AnyioCancelScope:
    """A plain scope: every ``await`` of a cancelled block is cancelled, as trio rules."""

    __slots__ = ("_cleanup_timeout", "_scope", "cleanup_timed_out")

    def __init__(self, cleanup_timeout: float) -> None:
        self.cleanup_timed_out = False
        self._cleanup_timeout = cleanup_timeout
        self._scope = anyio.CancelScope()

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        """Change nothing: here a cancellation from outside does no harm."""

    def cancel(self) -> None:
        self._scope.cancel()

    def begin_cleanup(self) -> None:
        self._scope.shield = True
        self._scope.deadline = anyio.current_time() + self._cleanup_timeout

    def is_cancelled(self) -> bool:
        return True  # trio knows no other reason

    @property
    def cancel_called(self) -> bool:
        return self._scope.cancel_called

    def uncancel(self) -> bool:
        return False  # trio's tasks can't be cancelled alone

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
        self.cleanup_timed_out = swallowed and anyio.current_time() >= self._scope.deadline
        return swallowed


class _AsyncioCancelScope:
    """One `Task.cancel`, taken back with `Task.uncancel` as `asyncio.timeout` does it.

    Only a block that still runs `cleanup_timeout` seconds later is cancelled again, and again.
    """

    __slots__ = (
        "_active",
        "_before",
        "_cancels",
        "_cleanup_timeout",
        "_task",
        "_timer",
        "cancel_called",
        "cleanup_timed_out",
    )

    def __init__(self, task: asyncio.Task[Any], cleanup_timeout: float) -> None:
        self.cleanup_timed_out = self.cancel_called = self._active = False
        self._task = task
        self._cleanup_timeout = cleanup_timeout
        self._before = self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        """Change nothing: a scope outside cancels the block as it would without this one."""

    def cancel(self) -> None:
        if self._active and not self.cancel_called:
            self.cancel_called = True
            self._cancel_task()
            self.begin_cleanup()

    def begin_cleanup(self) -> None:
        if self._timer is None:  # a cleanup with a bound of its own comes first
            self._cancel_again_in(self._cleanup_timeout + RECANCEL_INTERVAL)

    def _cancel_task(self) -> None:
        self._cancels += 1
        self._task.cancel()

    def _cancel_again_in(self, seconds: float) -> None:
        self._timer = self._task.get_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self.cleanup_timed_out = True
        self._cancel_task()
        self._cancel_again_in(RECANCEL_INTERVAL)

    def is_cancelled(self) -> bool:
        return self._task.cancelling() > self._before

    def uncancel(self) -> bool:
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
        for _ in range(self._cancels):
            self._task.uncancel()
        ended = isinstance(error, asyncio.CancelledError) and not self.is_cancelled()
        self.cleanup_timed_out = ended and self.cleanup_timed_out
        return ended and self._cancels > 0


class _ShieldedCancelScope(_AsyncioCancelScope):
    """Shields its block from the scopes outside as soon as one of them has cancelled it."""

    __slots__ = ("_on_outer_cancel", "_scope")

    def __init__(self, task: asyncio.Task[Any], cleanup_timeout: float) -> None:
        super().__init__(task, cleanup_timeout)
        self._scope = anyio.CancelScope()
        self._on_outer_cancel: Callable[[], object] | None = None

    @coroutine
    def run(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        # Each step by hand, since this must see a cancellation before the work sees it.
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

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        self._on_outer_cancel = callback

    def begin_cleanup(self) -> None:
        self._scope.shield = True
        super().begin_cleanup()

    def _look_outside(self) -> None:
        """Raise the shield, if it is a scope outside that cancels, and not one of the work's."""
        scope = self._scope
        if self._on_outer_cancel is None or scope.shield or not _is_any_scope_cancelled():
            return
        scope.shield = True
        if _is_any_scope_cancelled():
            scope.shield = False
            return
        self.begin_cleanup()
        self._on_outer_cancel()

    def __enter__(self) -> Self:
        self._scope.__enter__()
        return super().__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        self._on_outer_cancel = None
        self._scope.__exit__(kind, error, trace)  # it is never cancelled itself
        return super().__exit__(kind, error, trace)


def _is_any_scope_cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf


def edge_cancel_scope(cleanup_timeout: float, *, shielding: bool = True) -> EdgeCancelScope:
    """Make a scope for the running task.

    Args:
        cleanup_timeout: seconds that the block has to end once it cleans up.
        shielding: whether a cancelled scope outside cancels the block only once, too.
    """
    task = running_asyncio_task()
    if task is None:
        return _AnyioCancelScope(cleanup_timeout)
    kind = _ShieldedCancelScope if shielding else _AsyncioCancelScope
    return kind(task, cleanup_timeout)
