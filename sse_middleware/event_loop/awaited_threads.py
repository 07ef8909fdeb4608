"""Whether a coroutine waits for a worker thread, and when a thread that it has left has returned.

Nothing can end such a thread.

Rules of this file:
- What a suspended coroutine waits for is read from the coroutine, step by step: from the outermost
  ``await`` to the innermost one, and on into the tasks of a task group at its exit. anyio shields
  the task that waits for a thread, so it is usually a task of a group.
- anyio's `to_thread.run_sync` is known by its code, whatever limiter it was given. It first waits
  for the limiter: that is another coroutine, and it can be cancelled. Then it waits for a future.
- anyio and asyncio give the exit of a task group, and the tasks of the group, the same names. What
  is named otherwise isn't found.
- A task that is cancelled leaves its thread, which goes on. Nobody is told when that returns. But
  the thread keeps the future that it would answer as long as it works, and the task lets it go at
  once. Before version 4.9, anyio's threads keep it until their next work, so they aren't noted.
- asyncio's `to_thread` is known by its code, too. `run_in_executor` returns a future like others.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import version
from inspect import isasyncgen, iscoroutine
from typing import Any
from weakref import finalize

from anyio import to_thread

_GROUP_EXIT = "TaskGroup.__aexit__"

_WRAPPERS = ("anext_awaitable", "async_generator_asend", "async_generator_athrow")
"""Types of what awaits a step of an asynchronous generator. They don't tell of which one."""


def waits_for_thread(work: object) -> bool:
    """Whether a suspended coroutine, or a task that it waits for, waits for a worker thread."""
    waiting: list[Any] = [work]
    while waiting:
        step = waiting.pop()
        if _is_in_thread(step):
            return True
        waiting += _awaited_by(step)
    return False


class LeftThreads:
    """The threads that a task has left because it was cancelled.

    Args:
        loop: the task's event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._running = 0
        self._on_return: Callable[[], object] | None = None

    def note(self, work: object) -> None:
        """Note the thread that a coroutine waits for, if any. Its task is about to leave it."""
        future = _future_of_thread(work)
        if future is not None:
            self._running += 1
            finalize(future, self._let_go).atexit = False

    def when_returned(self, callback: Callable[[], object]) -> None:
        """Call back when all have returned, which may be now, unless the event loop ends before."""
        if self._running:
            self._on_return = callback
        else:
            callback()

    def _let_go(self) -> None:
        with suppress(RuntimeError):  # the loop is closed. Any thread may call this
            self._loop.call_soon_threadsafe(self._note_returned)

    def _note_returned(self) -> None:
        self._running -= 1
        if not self._running and self._on_return is not None:
            callback, self._on_return = self._on_return, None
            callback()


def _future_of_thread(work: Any) -> object | None:
    """Return the future by which a coroutine waits for a thread, not in a task of its own."""
    step = work
    while step is not None:
        in_thread = _is_in_thread(step) and threads_forget()
        if in_thread or getattr(step, "cr_code", None) is asyncio.to_thread.__code__:
            innermost = step.cr_await.cr_await if in_thread else step.cr_await
            return next(filter(asyncio.isfuture, gc.get_referents(innermost)), None)
        step = next(iter(_awaited_by(step)), None)
    return None


@lru_cache(maxsize=1)
def threads_forget() -> bool:
    """Whether a thread of anyio forgets its work when it returns."""
    major, minor = version("anyio").split(".")[:2]
    return (int(major), int(minor)) >= (4, 9)


def _is_in_thread(step: Any) -> bool:
    if getattr(step, "cr_code", None) is not to_thread.run_sync.__code__:
        return False
    innermost = getattr(step.cr_await, "cr_await", None)
    return innermost is not None and not iscoroutine(innermost)


def _awaited_by(step: Any) -> Iterable[Any]:
    if type(step).__name__ in _WRAPPERS:
        return filter(_is_suspended, gc.get_referents(step))
    if iscoroutine(step):
        return [step.cr_await, *_tasks_awaited_by(step)]
    return [step.ag_await] if isasyncgen(step) else ()


def _is_suspended(one: object) -> bool:
    return isasyncgen(one) or iscoroutine(one) or type(one).__name__ in _WRAPPERS


def _tasks_awaited_by(step: Any) -> Iterable[Any]:
    """Return the coroutines of the tasks for which the exit of a task group waits."""
    if step.__qualname__ != _GROUP_EXIT or step.cr_frame is None:
        return ()
    group = step.cr_frame.f_locals.get("self")
    return [task.get_coro() for task in getattr(group, "_tasks", ())]
