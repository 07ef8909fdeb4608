"""`DirectSteps`: resumes the innermost coroutine of an asyncio task, and not those that await it.

A task resumes its outermost coroutine, which resumes the one that it awaits, and so on. Between a
server and a generator there are twenty. The frames of many streams are more than the processor's
caches hold, so the way through them takes a tenth of what an event costs.

Rules of this file:
- A step is taken directly where the result that the coroutine waits for has come. It runs in the
  task's context, and the task is the current one. So the coroutine can't tell the difference.
- Everything else is for the task, which resumes all of its coroutines: a cancellation, an error,
  the end of the work, and whatever is awaited that is no future of asyncio.
- The first wait is the task's, too. Many streams send one event and wait for the end.
- In asyncio's debug mode all steps are for the task, because its log names the task whose step was
  slow.
- To the task, and to anyio, which looks at what a task awaits, this is what the coroutine awaits.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # documented: "Extending asyncio"
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any

from sse_middleware.event_loop.block import Block
from sse_middleware.event_loop.raised_again import raise_again


class DirectSteps(asyncio.Future[None]):
    """The future that a task awaits while the steps of its innermost coroutine are taken.

    Args:
        task: the task.
        work: the coroutine.
        block: told before the coroutine suspends in a direct step.
    """

    __slots__ = (
        "_block",
        "_context",
        "_error",
        "_future",
        "_futures_of",
        "_is_struck",
        "_task",
        "_waits_for",
        "_wake",
        "_work",
        "went_on",
    )

    _context: Context | None
    _wake: Callable[["DirectSteps"], object]

    def __init__(
        self,
        task: asyncio.Task[Any],
        work: Coroutine[Any, Any, None],
        block: Block,
    ) -> None:
        loop = task.get_loop()
        super().__init__(loop=loop)
        self._futures_of = None if loop.get_debug() else loop  # whose futures lead to steps
        self._task = task
        self._work = work
        self._block = block
        self._future: Any = None  # whose result leads to the next step, if it is a future
        self._waits_for: Any = None  # what only the task can wait for
        self._is_struck = False  # whether a cancellation has found nothing to cancel
        self._error: BaseException | None = None
        self.went_on = False
        """Whether a direct step has led to what only the task can do. `resume` tells what."""

    def until(self, waits_for: Any) -> Any:
        """Return what the task must wait for, where the work waits for this."""
        if not self._is_awaited(waits_for):
            return waits_for
        self._future = waits_for
        self._asyncio_future_blocking = True
        return self

    def resume(self) -> Any:
        """Return what the work waits for next, as ``work.send(None)`` does. Raises the same."""
        if not self.went_on:
            return self._work.send(None)
        self.went_on = False
        waits_for, self._waits_for = self._waits_for, None
        error, self._error = self._error, None
        if error is None:
            return waits_for
        try:
            raise_again(error)
        finally:
            del error  # its traceback holds this frame

    def end(self) -> None:
        """Take no more steps: the task's coroutines are closed."""
        if self._future is not None:
            self._future.remove_done_callback(self._step)

    # What follows is for the task, for anyio, and for direct steps around these.

    def add_done_callback(
        self, wake: Callable[["DirectSteps"], object], /, *, context: Context | None = None
    ) -> None:
        """Begin to take steps.

        Args:
            wake: resumes the task.
            context: the task's.
        """
        self._wake, self._context = wake, context
        self._wait(self._future)

    def remove_done_callback(self, _wake: Callable[["DirectSteps"], object], /) -> int:
        """Take no more steps. Returns how many callbacks that are: one."""
        self.end()
        return 1

    def __repr__(self) -> str:
        """Show what the work waits for. asyncio shows it as what the task waits for."""
        return repr(self._future)

    def done(self) -> bool:
        """Whether the work is about to go on, or has gone on."""
        return self._future is None or self._future.done()

    def cancelled(self) -> bool:
        """Whether the work is about to be cancelled."""
        return self._future is not None and self._future.cancelled()

    def exception(self) -> BaseException | None:
        """Return the error that the work is about to get."""
        return None if self._future is None else self._future.exception()

    def result(self) -> None:
        """Raise the error that the work is about to get, if there is one."""
        if self._future is not None:
            self._future.result()

    def cancel(self, msg: Any = None) -> bool:
        """Cancel what the work waits for."""
        cancelled = self._future is not None and self._future.cancel(msg)
        self._is_struck = not cancelled  # the task then raises the cancellation by itself
        return cancelled

    def _is_awaited(self, waits_for: Any) -> bool:
        """Whether a coroutine awaits a future of asyncio, of which a task would not complain."""
        return (
            isinstance(waits_for, asyncio.Future)
            and waits_for._asyncio_future_blocking  # noqa: SLF001 - as a task does
            and waits_for._loop is self._futures_of  # noqa: SLF001 - as a task does
            and waits_for is not self._task
        )

    def _wait(self, future: asyncio.Future[Any]) -> None:
        self._future = future
        future._asyncio_future_blocking = False  # noqa: SLF001 - as a task does
        future.add_done_callback(self._step, context=self._context)

    def _step(self, done: asyncio.Future[Any]) -> None:
        if not (self._is_struck or done.cancelled() or done.exception() is not None):
            loop, task = self._loop, self._task
            _enter_task(loop, task)
            try:
                waits_for = self._work.send(None)
                self._block.on_suspend()
                if self._is_awaited(waits_for) and not self._is_struck:
                    self._wait(waits_for)
                    return
                self._waits_for = waits_for
            except BaseException as error:
                self._error = error
            finally:
                _leave_task(loop, task)
            self.went_on, self._future = True, None
        self._is_struck = False
        self._wake(self)
