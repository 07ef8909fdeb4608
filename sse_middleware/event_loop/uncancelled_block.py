"""`UncancelledBlock`: the `EdgeCancelScope` of a block of asyncio that only others cancel.

Nothing of the application's runs in such a block, and it has no cleanup that waits. So it needs no
step by hand, no shield, no bound in time and no end by us. What is left is to tell whether the
task was cancelled from outside, and to take that back.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from sse_middleware.event_loop.block import Block


class UncancelledBlock:
    """A block of a task, which ends by itself.

    Args:
        task: the running one.
    """

    __slots__ = ("_before", "_task")

    abandoned = cancel_called = cleanup_timed_out = in_thread = stepwise = False
    cancelled_type: type[BaseException] = asyncio.CancelledError

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task = task
        self._before = task.cancelling()

    def run(self, work: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
        """As `EdgeCancelScope.run`."""
        return work

    def tell(self, block: Block) -> None:
        """Change nothing: there is nothing to tell."""

    def note_threads(self) -> None:
        """Change nothing: a cancellation leaves none."""

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: nothing was abandoned."""
        callback()

    def cancel(self) -> None:
        """Change nothing: the block is about to end."""

    def begin_cleanup(self) -> None:
        """Change nothing: no cleanup waits."""

    def is_cancelled(self) -> bool:
        """As `EdgeCancelScope.is_cancelled`."""
        return self._task.cancelling() > self._before

    def uncancel(self) -> bool:
        """As `EdgeCancelScope.uncancel`."""
        while self._task.cancelling() > self._before:
            self._task.uncancel()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Let everything pass: nothing was cancelled here."""
        return bool(self.cancel_called)
