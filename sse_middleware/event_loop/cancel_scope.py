"""`EdgeCancelScope`: cancels its block once, also when another task asks for it.

A cancelled anyio scope cancels every later ``await`` of its block as well ("level cancellation"),
so an ``await`` in a ``finally`` never completes. This scope cancels once, as ``Task.cancel`` does
("edge cancellation"), also where an anyio scope around it is cancelled. So an ``await`` in a
``finally`` completes. On trio it is a plain cancel scope, with trio's rules.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

import anyio

from sse_middleware.event_loop.asyncio_cancel_scope import AsyncioCancelScope
from sse_middleware.event_loop.block import Block
from sse_middleware.event_loop.loop import may_be_in_scope, running_asyncio_task
from sse_middleware.event_loop.uncancelled_block import UncancelledBlock


class EdgeCancelScope(AbstractContextManager["EdgeCancelScope", bool], Protocol):
    """Guards a block of one task, so that another task can cancel it.

    `cancel` ends the block, silently. A cancellation from outside passes through. The block may be
    entered twice, which changes nothing.
    """

    cleanup_timed_out: bool
    """Whether the block was ended because its cleanup took too long."""
    abandoned: bool
    """Whether a coroutine of the block was abandoned because it swallowed every cancellation."""
    in_thread: bool
    """Whether it was abandoned because it waits for a worker thread, which nothing can end."""
    stepwise: bool
    """Whether `run` takes each step by hand, and calls `Block.on_suspend`."""

    @property
    def cancel_called(self) -> bool:
        """Whether `cancel` was called."""

    @property
    def cancelled_type(self) -> type[BaseException]:
        """The exception by which a coroutine is cancelled."""

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Return what awaits a coroutine. It must be awaited inside of the block."""

    def tell(self, block: Block) -> None:
        """Tell the block what happens to it. From now on, an outer scope cancels it only once."""

    def note_threads(self) -> None:
        """Note from now on which worker threads a cancellation leaves, for `when_idle`."""

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back when no worker thread keeps what was abandoned from its end.

        That may be now. Use it after the block, or when told that the block is given up.
        """

    def cancel(self) -> None:
        """Cancel the block. Calls after the first change nothing."""

    def begin_cleanup(self) -> None:
        """Shield the rest of the block from outside, and bound its time."""

    def is_cancelled(self) -> bool:
        """Whether anything has cancelled the block or its task."""

    def uncancel(self) -> bool:
        """Take back a cancellation of the task that wasn't ours. Returns whether that is possible.

        For code that has caught the cancellation and ends the task's work itself.
        """


class _AnyioCancelScope:
    """A plain scope: every ``await`` of a cancelled block is cancelled, as usual on trio."""

    __slots__ = (
        "_cleanup_timeout",
        "_entered",
        "_scope",
        "abandoned",
        "cleanup_timed_out",
        "in_thread",
    )

    stepwise = False

    @property
    def cancelled_type(self) -> type[BaseException]:
        return anyio.get_cancelled_exc_class()

    def __init__(self, cleanup_timeout: float) -> None:
        self.abandoned = self.cleanup_timed_out = self.in_thread = False
        self._cleanup_timeout = cleanup_timeout
        self._scope = anyio.CancelScope()
        self._entered = False

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def tell(self, block: Block) -> None:
        """Change nothing: trio takes the steps, and cancels each ``await``."""

    def note_threads(self) -> None:
        """Change nothing: a cancellation leaves none."""

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: a block that waits for a thread doesn't end before the thread."""
        callback()

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
        if not self._entered:
            self._scope.__enter__()
            self._entered = True
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


def edge_cancel_scope(
    cleanup_timeout: float, *, shielding: bool = True, task: asyncio.Task[Any] | None = None
) -> EdgeCancelScope:
    """Make a scope for the running task, or for another one.

    Args:
        cleanup_timeout: seconds that the block has to end once it cleans up.
        shielding: whether a cancelled scope outside cancels the block only once, too.
        task: an asyncio task that runs the block already. Its scope may be entered at any time, by
            another task, and again by the task itself.
    """
    task = task or running_asyncio_task()
    if task is None:
        return _AnyioCancelScope(cleanup_timeout)
    inside = may_be_in_scope(task)
    scope = anyio.CancelScope() if inside and shielding else None
    return AsyncioCancelScope(task, cleanup_timeout, scope, inside=inside)


def uncancelled_block(cleanup_timeout: float) -> EdgeCancelScope:
    """Make a scope for a block of the running task that runs nothing of the application's."""
    task = running_asyncio_task()
    return _AnyioCancelScope(cleanup_timeout) if task is None else UncancelledBlock(task)


def is_only(error: BaseException, kind: type[BaseException]) -> bool:
    """Whether an error is of a kind, or a group of nothing but such errors."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(kind)[1] is None
    return isinstance(error, kind)
