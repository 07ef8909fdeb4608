"""`AsyncioCancelScope`: an `EdgeCancelScope` for a task of asyncio.

Rules of this file:
- The scope remembers which cancellations are ours. ``Task.cancelling()`` doesn't tell: anyio may
  count a cancellation for the wrong task, and takes back too many or too few.
- A cleanup has `cleanup_timeout` seconds. After that it is cancelled repeatedly, for
  `ABANDON_AFTER` seconds. A coroutine that swallows all these cancellations is abandoned: it goes
  on in a task of its own, and the block ends.
- `run` sees each cancellation before the coroutine does. A block without `run` can't be taken from
  its task: it is only told (`Block.on_abandon`).
- What is abandoned because it waits for a worker thread is not idle until it has ended.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from functools import partial
from types import TracebackType, coroutine
from typing import Any, Self

import anyio

from sse_middleware.event_loop.awaited_threads import LeftThreads, waits_for_thread
from sse_middleware.event_loop.block import UNTOLD, Block
from sse_middleware.event_loop.direct_steps import DirectSteps

RECANCEL_INTERVAL = 0.01
"""Seconds between two cancellations of a block that should have ended. Others can run meanwhile."""

ABANDON_AFTER = 1.0
"""Seconds of such cancellations after which a coroutine that swallows them is abandoned."""

_OURS = "Cancelled by sse_middleware"

_ANYIOS = ("Cancelled by cancel scope ", "Cancelled via cancel scope ")
"""How the messages of anyio's own cancellations begin, in all of its versions."""


def _nothing() -> None:
    """Do nothing: nobody asked to be told."""


class AsyncioCancelScope:
    """One `Task.cancel`, taken back with `Task.uncancel` as `asyncio.timeout` does it.

    Only a block that still runs `cleanup_timeout` seconds later is cancelled again, repeatedly.
    """

    __slots__ = (
        "_abandon_at",
        "_active",
        "_before",
        "_block",
        "_cancels",
        "_cleanup_timeout",
        "_foreign",
        "_inside",
        "_left",
        "_on_end",
        "_pending",
        "_rest",
        "_running",
        "_scope",
        "_task",
        "_timer",
        "abandoned",
        "cancel_called",
        "cleanup_timed_out",
        "in_thread",
    )

    stepwise = True
    cancelled_type = asyncio.CancelledError

    def __init__(
        self,
        task: asyncio.Task[Any],
        cleanup_timeout: float,
        scope: anyio.CancelScope | None,
        *,
        inside: bool,
    ) -> None:
        self.abandoned = self.cleanup_timed_out = self.cancel_called = False
        self.in_thread = False
        self._active = self._foreign = False
        self._task = task
        self._cleanup_timeout = cleanup_timeout
        self._inside = inside  # whether there may be scopes outside
        self._scope = scope  # which shields the block from the scopes outside
        self._block = UNTOLD  # what is told
        self._on_end: Callable[[], object] = _nothing
        self._rest: asyncio.Task[None] | None = None  # what was taken from the block's task
        self._running = False
        self._pending = False  # whether our last cancellation has not come yet
        self._before = self._cancels = 0
        self._timer: asyncio.TimerHandle | None = None
        self._abandon_at = math.inf
        self._left: LeftThreads | None = None  # threads, if they are to be noted

    @coroutine
    def run(  # noqa: C901, PLR0912 - each call here would be paid for each event
        self, work: Coroutine[Any, Any, None]
    ) -> Generator[Any, Any, None]:
        """As `EdgeCancelScope.run`."""
        # Each step is taken by hand, because this must see a cancellation before the work sees it.
        self._running, block = True, self._block
        steps: DirectSteps | None = None  # until the second wait: many streams wait only once
        try:
            waits_for = work.send(None)
            while True:
                block.on_suspend()
                try:
                    yield waits_for if steps is None else steps.until(waits_for)
                except asyncio.CancelledError as error:
                    if (
                        steps is not None and steps.went_on
                    ):  # the cancellation was asked for in a step that has ended
                        self._put_back(error)
                        waits_for = steps.resume()
                        continue
                    self._pending = False
                    self._look_at(error)
                    if self._left is not None:
                        self._left.note(work)
                    waits_for = work.throw(error)
                    if self._task.get_loop().time() >= self._abandon_at:
                        self._abandon(work, waits_for)
                        return
                except BaseException as error:  # not ours to judge
                    waits_for = work.throw(error)
                else:
                    if steps is None:
                        steps = DirectSteps(self._task, work, block)
                    waits_for = steps.resume()
        except StopIteration:
            return
        except GeneratorExit:
            if steps is not None:
                steps.end()
            self._pending = False  # nothing can be awaited any more
            raise
        finally:
            self._running = False
            if self._pending:
                yield from self._take_pending()

    def _put_back(self, error: asyncio.CancelledError) -> None:
        """Let a cancellation come again, where the work suspends next or after its end."""
        self._task.cancel(*error.args)
        self._task.uncancel()  # it is counted already

    def _take_pending(self) -> Generator[Any, Any, None]:
        """Let a cancellation come that the work has not seen, so that it doesn't hit a cleanup."""
        self._pending = False
        try:
            yield
        except asyncio.CancelledError as error:
            self._look_at(error)
            if error.args[:1] != (_OURS,):
                raise

    def tell(self, block: Block) -> None:
        """As `EdgeCancelScope.tell`."""
        self._block = block

    def note_threads(self) -> None:
        """As `EdgeCancelScope.note_threads`."""
        self._left = LeftThreads(self._task.get_loop())

    def when_idle(self, callback: Callable[[], object]) -> None:
        """As `EdgeCancelScope.when_idle`."""
        if self._left is not None:
            callback = partial(self._left.when_returned, callback)
        if not self.in_thread:
            callback()
        elif self._rest is None:
            self._on_end = callback
        else:
            self._rest.add_done_callback(lambda _: callback())

    def cancel(self) -> None:
        """As `EdgeCancelScope.cancel`."""
        if self._active and not self.cancel_called:
            self.cancel_called = True
            self._cancel_task()
            self.begin_cleanup()

    def begin_cleanup(self) -> None:
        """As `EdgeCancelScope.begin_cleanup`."""
        if self._scope is not None:
            self._scope.shield = True
        if self._active and self._timer is None:  # a cleanup with a bound of its own comes first
            self._cancel_again_in(self._cleanup_timeout + RECANCEL_INTERVAL)

    def _cancel_task(self) -> None:
        self._cancels += 1
        self._pending = True
        if self._left is not None and not self._running:
            self._left.note(self._task.get_coro())
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
            self._give_up(self._task.get_coro())

    def _abandon(self, work: Coroutine[Any, Any, None], waits_for: Any) -> None:
        """Let a coroutine that can't be cancelled go on in a task of its own."""
        self._rest = self._task.get_loop().create_task(go_on(work, waits_for))
        self._give_up(work)

    def _give_up(self, work: object) -> None:
        self.abandoned = True
        self.in_thread = waits_for_thread(work)
        self._block.on_abandon()

    def _look_at(self, error: asyncio.CancelledError) -> None:
        """Remember who has cancelled, before the work sees it."""
        if error.args[:1] == (_OURS,) or _is_anyios(error):
            self._foreign = self._is_foreign()
        else:
            self._foreign = True
        self._look_outside()

    def _look_outside(self) -> None:
        """Raise the shield if a scope outside has cancelled, and not one of the work's own."""
        scope, block = self._scope, self._block
        if scope is None or block is UNTOLD:
            return
        if scope.shield or not _is_any_scope_cancelled():
            return
        scope.shield = True
        if _is_any_scope_cancelled():
            scope.shield = False
            return
        self.begin_cleanup()
        block.on_outer_cancel()

    def _is_foreign(self) -> bool:
        """Whether something else has cancelled the task, which the work has not taken back."""
        return self._foreign and self._counted() > self._cancels

    def is_cancelled(self) -> bool:
        """As `EdgeCancelScope.is_cancelled`."""
        return self.cancel_called or self._counted() > 0

    def uncancel(self) -> bool:
        """As `EdgeCancelScope.uncancel`."""
        self._foreign = False
        self._take_back(self._counted())
        return True

    def _counted(self) -> int:
        """Return how many cancellations the task counts since the block began."""
        return self._task.cancelling() - self._before

    def _take_back(self, count: int) -> None:
        for _ in range(count):
            self._task.uncancel()

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
        self._block = UNTOLD
        if self._scope is not None:
            self._scope.__exit__(kind, error, trace)  # it is never cancelled itself
        if self._timer is not None:
            self._timer.cancel()
        if not self._cancels:
            self.cleanup_timed_out = False
            return False
        ours = not self._is_foreign()
        outside = ours and self._inside and _is_any_scope_cancelled()
        # Whatever else may be counted is anyio's, for scopes that have ended.
        counted = self._counted()
        self._take_back(counted if ours and not outside else min(counted, self._cancels))
        # A cancelled scope outside catches only what anyio has raised, and raises it again.
        ended = ours and isinstance(error, asyncio.CancelledError)
        ended = ended and not (outside and _is_anyios(error))
        self.cleanup_timed_out = (ended or self.abandoned) and self.cleanup_timed_out
        self._on_end()
        return ended


async def go_on(work: Coroutine[Any, Any, None], waits_for: Any) -> None:
    """Go on with a coroutine that waits for something already."""

    @coroutine
    def steps(waits_for: Any) -> Generator[Any, Any, None]:
        with suppress(StopIteration):
            while True:
                try:
                    yield waits_for
                except Exception as error:  # of what it waits for; a cancellation ends it
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(None)

    await steps(waits_for)


def _is_anyios(error: BaseException | None) -> bool:
    message = error.args[0] if error is not None and error.args else None
    return isinstance(message, str) and message.startswith(_ANYIOS)


def _is_any_scope_cancelled() -> bool:
    return anyio.current_effective_deadline() == -math.inf
