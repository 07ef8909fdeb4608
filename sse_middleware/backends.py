"""What asyncio and trio do differently, and where anyio's common ground is too slow or too strict.

Each with one class or function per event loop:
- `Signal`: one task sleeps until another wakes it or a deadline passes. anyio's `Event` under a
  `move_on_after` costs several times more than a future and a timer that is moved instead of set
  anew, and this is paid for every event that comes alone.
- `CancelOnce`: cancels the block that it guards, from another task, in a way that lets an ``await``
  in a ``finally`` complete.
- `clock` and `next_pass`: without the search for the backend that anyio does at every call.
- `threadsafe_caller`: how a worker thread calls into the loop without waiting for it.

The loop is asyncio's where the running task is; anything else is treated by anyio's rules.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import anyio
from anyio.lowlevel import checkpoint

Send = Callable[[Any], Awaitable[None]]


def running_asyncio_task() -> asyncio.Task[Any] | None:
    """Return the current task, or ``None`` where another event loop runs."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def clock() -> Callable[[], float]:
    """Return the running event loop's clock, in seconds."""
    task = running_asyncio_task()
    return anyio.current_time if task is None else task.get_loop().time


def next_pass() -> Callable[[], Awaitable[None]]:
    """Return what suspends the running task for one pass of the event loop."""
    return checkpoint if running_asyncio_task() is None else partial(asyncio.sleep, 0)


class Signal(Protocol):
    """Wakes the one task that waits. It has no memory: look before you wait."""

    def set(self) -> None:
        """Wake the waiting task, if there is one."""

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        """Sleep until `set` (true) or until the loop's clock shows `deadline` (false)."""

    def close(self) -> None:
        """Give up the timer, until the next `wait` or send."""

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        """Return a `send` that calls `overdue` when it takes longer, and goes on nevertheless.

        It shares the timer of `wait`, so the task that waits must be the one that sends.
        """


class _AsyncioSignal:
    """A future to wake up by, and one timer that looks at the latest deadline when it fires.

    Deadlines mostly move forward, so most waits don't touch the timer.
    """

    __slots__ = ("_deadline", "_future", "_loop", "_overdue", "_timer", "_timer_at")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._future: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._timer_at = math.inf

    def set(self) -> None:
        future = self._future
        if future is not None and not future.done():
            future.set_result(True)

    def wait(self, deadline: float = math.inf) -> Awaitable[bool]:
        self._deadline = deadline
        if deadline < self._timer_at:
            self._start_timer()
        self._future = future = self._loop.create_future()
        return future

    def close(self) -> None:
        self._deadline = math.inf
        self._start_timer()

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        self._overdue = overdue
        time = self._loop.time

        def send_in_time(message: Any) -> Awaitable[None]:
            self._future = None
            self._deadline = deadline = time() + seconds
            if deadline < self._timer_at:
                self._start_timer()
            return send(message)

        return send_in_time

    def _start_timer(self) -> None:
        """Let the one timer fire at the deadline, or never."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self._deadline
        endless = self._deadline == math.inf
        self._timer = None if endless else self._loop.call_at(self._deadline, self._on_timer)

    def _on_timer(self) -> None:
        if self._loop.time() < self._deadline:
            self._start_timer()
            return
        self._timer_at = math.inf
        future = self._future
        if future is None:  # it sends
            self._overdue()
        elif not future.done():
            future.set_result(False)


class _AnyioSignal:
    """An event to wake up by, and one timer that looks at the latest deadline of a `send`.

    A deadline of the `send` itself would not do: one server's can't be cancelled.
    """

    __slots__ = ("_cancel_timer", "_clock", "_due", "_event", "_overdue")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._due = math.inf
        self._cancel_timer: Callable[[], object] | None = None
        self._clock = clock()

    def set(self) -> None:
        if self._event is not None:
            self._event.set()

    async def wait(self, deadline: float = math.inf) -> bool:
        self._event = anyio.Event()
        try:
            with anyio.CancelScope(deadline=deadline):
                await self._event.wait()
                return True
            return False
        finally:
            self._event = None

    def close(self) -> None:
        self._due = math.inf
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None

    def within(self, seconds: float, send: Send, overdue: Callable[[], object]) -> Send:
        self._overdue = overdue

        async def send_in_time(message: Any) -> None:
            self._due = self._clock() + seconds
            if self._cancel_timer is None:
                self._cancel_timer = later(seconds, self._on_timer)
            await send(message)
            self._due = math.inf

        return send_in_time

    def _on_timer(self) -> None:
        self._cancel_timer = None
        left = self._due - self._clock()
        if left <= 0:
            self._overdue()
        elif left < math.inf:
            self._cancel_timer = later(left, self._on_timer)


def signal() -> Signal:
    """Make the signal of the running event loop."""
    task = running_asyncio_task()
    return _AnyioSignal() if task is None else _AsyncioSignal(task.get_loop())


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


def later(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    """Have a function called in the running event loop; return what cancels that.

    It may be called where no task is running, as a server's end is heard.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _later_in_trio(seconds, callback)
    return loop.call_later(seconds, callback).cancel


def _later_in_trio(seconds: float, callback: Callable[[], object]) -> Callable[[], object]:
    import trio  # noqa: PLC0415 - no dependency, but it is running

    async def wait() -> None:
        with scope:
            await trio.sleep(seconds)
            callback()

    scope = trio.CancelScope()
    trio.lowlevel.spawn_system_task(wait)
    return scope.cancel


def threadsafe_caller() -> Callable[[Callable[[], object]], object]:
    """Return what a worker thread calls to have a function called in the running event loop."""
    task = running_asyncio_task()
    if task is not None:
        return task.get_loop().call_soon_threadsafe
    from trio.lowlevel import current_trio_token  # noqa: PLC0415 - no dependency, but it is running

    return current_trio_token().run_sync_soon
