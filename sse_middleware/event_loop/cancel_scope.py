"""`EdgeCancelScope`: cancels its block once, also when another task asks for it.

A cancelled anyio scope cancels every later ``await`` of its block as well ("level cancellation"),
so an ``await`` in a ``finally`` never completes. This scope cancels once, as ``Task.cancel`` does
("edge cancellation"), also where an anyio scope around it is cancelled. So an ``await`` in a
``finally`` completes. On trio it is a plain cancel scope, with trio's rules.

Rules of this file:
- Whether a cancellation is ours is remembered here. ``Task.cancelling()`` doesn't tell: anyio
  counts cancellations of one task's scope for another task, and takes back too many or too few.
- A cleanup has `cleanup_timeout` seconds. Then it is cancelled again, and again, for
  `ABANDON_AFTER` seconds. A coroutine that has swallowed all of that is abandoned: it goes on in a
  task of its own, and the block ends.
- `run` sees each cancellation before the coroutine does. A block that isn't run by it can't be
  taken from its task: there is only a report (`on_abandon`).
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractContextManager, suppress
from types import TracebackType, coroutine
from typing import Any, Protocol, Self

import anyio

from sse_middleware.event_loop.loop import running_asyncio_task

RECANCEL_INTERVAL = 0.01
"""Seconds between two cancellations of a block that should have ended: others can run meanwhile."""

ABANDON_AFTER = 1.0
"""Seconds of such cancellations after which a coroutine that swallows them is abandoned."""

_OURS = "Cancelled by sse_middleware"

_ANYIOS = ("Cancelled by cancel scope ", "Cancelled via cancel scope ")
"""How the messages of anyio's own cancellations begin, in all of its versions."""


def _nothing() -> None:
    """Do nothing: nobody asked to be told."""


class EdgeCancelScope(AbstractContextManager["EdgeCancelScope", bool], Protocol):
    """Guards a block of one task, so that another task can cancel it.

    `cancel` ends the block, silently. A cancellation from outside passes through.
    """

    cleanup_timed_out: bool
    """Whether the block was ended because its cleanup took too long."""
    abandoned: bool
    """Whether a coroutine of the block was abandoned, since it swallowed each cancellation."""

    @property
    def cancel_called(self) -> bool:
        """Whether `cancel` was called."""

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        """Return what awaits a coroutine. It must be awaited inside of the block."""

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        """From now on let a cancelled scope outside cancel the block once, and call this first."""

    def on_abandon(self, callback: Callable[[], object]) -> None:
        """Have a function called where the block is given up, since it can't be cancelled."""

    def cancel(self) -> None:
        """Cancel the block. Calls after the first change nothing."""

    def begin_cleanup(self) -> None:
        """Shield the rest of the block from outside, and bound it."""

    def is_cancelled(self) -> bool:
        """Whether anything has cancelled the block or its task."""

    def uncancel(self) -> bool:
        """Take back a cancellation of the task that wasn't ours. Returns whether that is possible.

        For code that has caught the cancellation, and does what it asks for.
        """


class _AnyioCancelScope:
    """A plain scope: every ``await`` of a cancelled block is cancelled, as trio rules."""

    __slots__ = ("_cleanup_timeout", "_scope", "abandoned", "cleanup_timed_out")

    def __init__(self, cleanup_timeout: float) -> None:
        self.abandoned = self.cleanup_timed_out = False
        self._cleanup_timeout = cleanup_timeout
        self._scope = anyio.CancelScope()

    def run(self, work: Coroutine[Any, Any, None]) -> Awaitable[None]:
        return work

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        """Change nothing: here a cancellation from outside does no harm."""

    def on_abandon(self, callback: Callable[[], object]) -> None:
        """Change nothing: trio cancels each ``await``, so nothing here goes on for ever."""

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
        "_abandon_at",
        "_active",
        "_before",
        "_cancels",
        "_cleanup_timeout",
        "_foreign",
        "_on_abandon",
        "_on_outer_cancel",
        "_running",
        "_scope",
        "_task",
        "_timer",
        "abandoned",
        "cancel_called",
        "cleanup_timed_out",
    )

    def __init__(
        self, task: asyncio.Task[Any], cleanup_timeout: float, scope: anyio.CancelScope | None
    ) -> None:
        self.abandoned = self.cleanup_timed_out = self.cancel_called = False
        self._active = self._foreign = False
        self._task = task
        self._cleanup_timeout = cleanup_timeout
        self._scope = scope  # which shields the block from the scopes outside
        self._on_outer_cancel: Callable[[], object] | None = None
        self._on_abandon: Callable[[], object] = _nothing
        self._running = False
        self._before = self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None
        self._abandon_at = math.inf

    @coroutine
    def run(self, work: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        # Each step by hand, since this must see a cancellation before the work sees it.
        self._running = True
        try:
            waits_for = work.send(None)
            while True:
                try:
                    yield waits_for
                except asyncio.CancelledError as error:
                    self._look_at(error)
                    waits_for = work.throw(error)
                    if self._task.get_loop().time() >= self._abandon_at:
                        self._abandon(work, waits_for)
                        return
                except BaseException as error:  # not ours to judge
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(None)
        except StopIteration:
            return
        finally:
            self._running = False

    def on_outer_cancel(self, callback: Callable[[], object]) -> None:
        self._on_outer_cancel = callback

    def on_abandon(self, callback: Callable[[], object]) -> None:
        self._on_abandon = callback

    def cancel(self) -> None:
        if self._active and not self.cancel_called:
            self.cancel_called = True
            self._cancel_task()
            self.begin_cleanup()

    def begin_cleanup(self) -> None:
        if self._scope is not None:
            self._scope.shield = True
        if self._active and self._timer is None:  # a cleanup with a bound of its own comes first
            self._cancel_again_in(self._cleanup_timeout + RECANCEL_INTERVAL)

    def _cancel_task(self) -> None:
        self._cancels += 1
        self._task.cancel(_OURS)

    def _cancel_again_in(self, seconds: float) -> None:
        self._timer = self._task.get_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        now = self._task.get_loop().time()
        if not self.cleanup_timed_out:
            self.cleanup_timed_out = True
            self._abandon_at = now + ABANDON_AFTER
        if self._running or now < self._abandon_at:
            self._cancel_task()
            self._cancel_again_in(RECANCEL_INTERVAL)
        else:
            self._give_up()

    def _abandon(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        """Let a coroutine that can't be cancelled go on in a task of its own."""
        self._task.get_loop().create_task(_go_on(work, waits_for))
        self._give_up()

    def _give_up(self) -> None:
        self.abandoned = True
        self._on_abandon()

    def _look_at(self, error: asyncio.CancelledError) -> None:
        """Remember where a cancellation that the work is about to see comes from."""
        if error.args[:1] == (_OURS,) or _is_anyios(error):
            self._foreign = self._is_foreign()
        else:
            self._foreign = True
        self._look_outside()

    def _look_outside(self) -> None:
        """Raise the shield, if it is a scope outside that cancels, and not one of the work's."""
        scope = self._scope
        if scope is None or self._on_outer_cancel is None:
            return
        if scope.shield or not _is_any_scope_cancelled():
            return
        scope.shield = True
        if _is_any_scope_cancelled():
            scope.shield = False
            return
        self.begin_cleanup()
        self._on_outer_cancel()

    def _is_foreign(self) -> bool:
        """Whether something else has cancelled the task, which the work has not taken back."""
        return self._foreign and self._task.cancelling() > self._before + self._cancels

    def is_cancelled(self) -> bool:
        return self.cancel_called or self._task.cancelling() > self._before

    def uncancel(self) -> bool:
        self._foreign = False
        self._take_back(math.inf)
        return True

    def _take_back(self, most: float) -> None:
        while most > 0 and self._task.cancelling() > self._before:
            self._task.uncancel()
            most -= 1

    def __enter__(self) -> Self:
        if not self._active:
            if self._scope is not None:
                self._scope.__enter__()
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
        self._on_outer_cancel, self._on_abandon = None, _nothing
        if self._scope is not None:
            self._scope.__exit__(kind, error, trace)  # it is never cancelled itself
        if self._timer is not None:
            self._timer.cancel()
        ours = self._cancels > 0 and not self._is_foreign()
        outside = _is_any_scope_cancelled()
        # Whatever else may be counted is anyio's, for scopes that have ended.
        self._take_back(math.inf if ours and not outside else self._cancels)
        # A cancelled scope outside catches only what anyio has raised, and raises it again.
        ended = ours and isinstance(error, asyncio.CancelledError)
        ended = ended and not (outside and _is_anyios(error))
        self.cleanup_timed_out = (ended or self.abandoned) and self.cleanup_timed_out
        return ended


async def _go_on(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    """Go on with a coroutine that waits for something already."""

    @coroutine
    def steps(waits_for: Any) -> Generator[Any, Any, None]:
        with suppress(StopIteration):
            while True:
                yield waits_for
                waits_for = work.send(None)

    await steps(waits_for)


def _is_anyios(error: BaseException | None) -> bool:
    message = error.args[0] if error is not None and error.args else None
    return isinstance(message, str) and message.startswith(_ANYIOS)


def _is_any_scope_cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf


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
    return _AsyncioCancelScope(task, cleanup_timeout, anyio.CancelScope() if shielding else None)
