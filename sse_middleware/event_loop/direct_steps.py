"""`DirectSteps`: resumes the innermost coroutine of an asyncio task, and not those that await it.

A task resumes its outermost coroutine, which resumes the one that it awaits, and so on. Between a
server and a generator there are twenty. The frames of many streams are more than the processor's
caches hold, so the way through them takes a tenth of what an event costs.

Rules of this file:
- A step is taken directly where the result that the coroutine waits for has come. It runs in the
  task's context, and the task is the current one. So the coroutine can't tell the difference.
- Everything else is for the task, which resumes all of its coroutines: a cancellation, an error,
  the end of the work, and whatever is awaited that is no future of asyncio.
- To the task, and to anyio, which looks at what a task awaits, this is what the coroutine awaits.
"""

import asyncio
from asyncio.tasks import _enter_task, _leave_task  # documented: "Extending asyncio"
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class DirectSteps(asyncio.Future[None]):
    """The future that a task awaits while the steps of its innermost coroutine are taken.

    Args:
        task: the task.
        work: the coroutine.
        on_suspend: called before the coroutine suspends in a direct step. It must not raise.
    """

    __slots__ = (
        "_context",
        "_error",
        "_is_struck",
        "_on_suspend",
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
        on_suspend: Callable[[], object],
    ) -> None:
        super().__init__(loop=task.get_loop())
        self._task = task
        self._work = work
        self._on_suspend = on_suspend
        self._waits_for: Any = None
        self._is_struck = False  # whether a cancellation has found nothing to cancel
        self._error: BaseException | None = None
        self.went_on = False
        """Whether a direct step has led to what only the task can do. `resume` tells what."""

    def until(self, waits_for: Any) -> Any:
        """Return what the task must wait for, where the work waits for this."""
        self._waits_for = waits_for
        if not _is_awaited(waits_for):
            return waits_for
        self._asyncio_future_blocking = True
        return self

    def resume(self) -> Any:
        """Return what the work waits for next, as ``work.send(None)`` does. Raises the same."""
        if not self.went_on:
            return self._work.send(None)
        self.went_on = False
        error, self._error = self._error, None
        if error is None:
            return self._waits_for
        try:
            raise error
        finally:
            del error  # its traceback holds this frame

    def end(self) -> None:
        """Take no more steps: the task's coroutines are closed."""
        if self._waits():
            self._waits_for.remove_done_callback(self._step)

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
        self._wait()

    def remove_done_callback(self, _wake: Callable[["DirectSteps"], object], /) -> int:
        """Take no more steps. Returns how many callbacks that are: one."""
        self.end()
        return 1

    def done(self) -> bool:
        """Whether the work is about to go on, or has gone on."""
        return not self._waits() or self._waits_for.done()

    def cancelled(self) -> bool:
        """Whether the work is about to be cancelled."""
        return self._waits() and self._waits_for.cancelled()

    def exception(self) -> BaseException | None:
        """Return the error that the work is about to get."""
        return self._waits_for.exception() if self._waits() else None

    def result(self) -> None:
        """Raise the error that the work is about to get, if there is one."""
        if self._waits():
            self._waits_for.result()

    def cancel(self, msg: Any = None) -> bool:
        """Cancel what the work waits for."""
        cancelled = self._waits() and self._waits_for.cancel(msg)
        self._is_struck = not cancelled  # the task then raises the cancellation by itself
        return cancelled

    def _waits(self) -> bool:
        """Whether the work waits for a future, and has not gone on without it."""
        return not self.went_on and asyncio.isfuture(self._waits_for)

    def _wait(self) -> None:
        self._waits_for._asyncio_future_blocking = False  # noqa: SLF001 - as a task does
        self._waits_for.add_done_callback(self._step, context=self._context)

    def _step(self, done: asyncio.Future[Any]) -> None:
        if not (self._is_struck or done.cancelled() or done.exception() is not None):
            loop, task = self._loop, self._task
            _enter_task(loop, task)
            try:
                self._waits_for = waits_for = self._work.send(None)
                self._on_suspend()
                if _is_awaited(waits_for) and not self._is_struck:
                    self._wait()
                    return
            except BaseException as error:
                self._error = error
            finally:
                _leave_task(loop, task)
            self.went_on = True
        self._is_struck = False
        self._wake(self)


def _is_awaited(waits_for: Any) -> bool:
    """Whether a coroutine awaits a future of asyncio."""
    return isinstance(waits_for, asyncio.Future) and waits_for._asyncio_future_blocking  # noqa: SLF001
