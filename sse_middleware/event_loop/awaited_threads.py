"""Whether a coroutine waits for a worker thread of anyio. Nothing can end such a thread.

Rules of this file:
- What a suspended coroutine waits for is read from the coroutine, step by step: from the outermost
  ``await`` to the innermost one, and on into the tasks of a task group at its exit. anyio shields
  the task that waits for a thread, so it is usually a task of a group.
- anyio's `to_thread.run_sync` is known by its code, whatever limiter it was given. It first waits
  for the limiter: that is another coroutine, and it can be cancelled. Then it waits for a future.
- anyio and asyncio give the exit of a task group, and the tasks of the group, the same names. What
  is named otherwise isn't found.
"""

import gc
from collections.abc import Iterable
from inspect import isasyncgen, iscoroutine
from typing import Any

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
