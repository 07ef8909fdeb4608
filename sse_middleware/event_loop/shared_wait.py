"""`SharedWait`: a task of asyncio waits for an end, and takes the steps of other work meanwhile.

An idle subscriber of a hub keeps nothing else to wait with. So this is one small object: what the
task awaits, the future that it waits for, and what wakes it. A generator, a future and a wake-up
would take five times the memory.

Rules of this file:
- A step of the work is taken by hand, where the task would take it. What the work waits for wakes
  the task itself.
- A task waits for anything that has the methods of a future and ``_asyncio_future_blocking``. It
  adds its callback. That callback must be called once.
- anyio asks what a task waits for whether it is done. asyncio shows it.
- As soon as the wait is over, or the work waits for anything but a future of this loop, a task of
  its own goes on with the work. What is left of the wait is an ordinary one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Protocol, Self

from sse_middleware.event_loop.asyncio_cancel_scope import go_on
from sse_middleware.event_loop.wakeup import Wakeup, wakeup

Work = Coroutine[Any, Any, None]


class Waiter(Protocol):
    """A task that waits for an end."""

    moved: Wakeup
    """Wakes it, to look whether this is the end. It may be replaced."""

    def is_over(self) -> bool:
        """Whether this is the end."""

    def conclude(self) -> None:
        """Act on the end, in the task that has waited. It may raise."""


class Tasks(Protocol):
    """Where the work can go on."""

    def create_task(self, work: Work, context: Context | None = None) -> None:
        """Start a task in a context."""


class SharedWait(Coroutine[Any, Any, None]):
    """Awaits the end, and runs the work. It takes the place of the waiter's wake-up.

    Args:
        tasks: where the work goes on if the wait is over.
        work: what runs meanwhile.
        waiter: waits for an end that the work may bring about, or anything else.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_context",
        "_tasks",
        "_waiter",
        "_waits_for",
        "_work",
    )

    def __init__(self, tasks: Tasks, work: Work, waiter: Waiter) -> None:
        self._tasks = tasks
        self._work: Work | None = work
        self._waiter = waiter
        self._waits_for: Any = None  # what the work waits for
        self._callback: Callable[[object], object] | None = None  # of the task, while it waits
        self._context: Context | None = None
        self._asyncio_future_blocking = False

    def wait(self) -> Self:
        """Take the place of the waiter's wake-up, and return what the task awaits."""
        self._waiter.moved = self
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        return self  # type: ignore[return-value] # an iterator

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: None) -> Any:
        """Go on, because something has happened. Returns what the task waits for next."""
        self._callback = None
        if self._work is not None:
            if self._waits_for is None or self._waits_for.done():
                self._step(self._work.send, value)
            else:  # as the work has yielded it
                self._waits_for._asyncio_future_blocking = True  # noqa: SLF001 - as below
        return self._next_wait()

    def throw(self, error: Any, *_: Any) -> Any:
        """Throw an error into the work, usually a cancellation of the task."""
        self._callback = None
        if self._work is None:
            raise error
        self._waits_for.cancel()
        self._step(self._work.throw, error)
        return self._next_wait()

    def close(self) -> None:
        """Close the work: the task ends with its event loop."""
        if self._work is not None:
            self._work.close()
            self._leave_work()

    def _step(self, step: Callable[[Any], Any], argument: object) -> None:
        try:
            self._waits_for = step(argument)
        except StopIteration:
            # Before the end: some servers say that a connection ends when they stop.
            self._leave_work()
        except BaseException:
            self._leave_work()
            raise

    def _next_wait(self) -> Any:
        """Return what the task waits for next. Raises `StopIteration` at the end."""
        over = self._waiter.is_over()
        if self._work is not None and (over or not _is_future_here(self._waits_for)):
            self._tasks.create_task(go_on(self._work, self._waits_for), copy_context())
            self._leave_work()
        if over:
            self._waiter.conclude()
            raise StopIteration
        awaited = self if self._work is not None else self._waiter.moved.wait()
        awaited._asyncio_future_blocking = True  # type: ignore[attr-defined] # noqa: SLF001 - as a coroutine yields a future
        return awaited

    def _leave_work(self) -> None:
        """Go on waiting without the work."""
        self._work = self._waits_for = None
        self._waiter.moved = wakeup()

    def set(self) -> None:
        """Wake the task, unless what the work waits for has woken it already."""
        callback, waits_for = self._callback, self._waits_for
        if callback is not None and not waits_for.done():
            self._callback = None
            waits_for.remove_done_callback(callback)
            waits_for.get_loop().call_soon(callback, self, context=self._context)

    def add_done_callback(
        self, callback: Callable[[object], object], *, context: Context | None = None
    ) -> None:
        """Call the task back when something happens."""
        self._callback, self._context = callback, context
        # Others may await it, too.
        self._waits_for._asyncio_future_blocking = False  # noqa: SLF001 - as a task does
        self._waits_for.add_done_callback(callback, context=context)

    def cancel(self, msg: object = None) -> bool:
        """Cancel what the work waits for, as a task does. Returns false if that is done."""
        return self._callback is not None and bool(self._waits_for.cancel(msg))

    def __repr__(self) -> str:
        """Show what the work waits for. asyncio shows it as what the task waits for."""
        return repr(self._waits_for)

    def done(self) -> bool:
        """Whether the task is about to go on."""
        return self._callback is None or bool(self._waits_for.done())

    def result(self) -> None:
        """Let the task go on."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._waits_for.get_loop()  # type: ignore[no-any-return]


def _is_future_here(waits_for: Any) -> bool:
    """Whether a coroutine awaits a future of the running loop. Anything else is for a task."""
    here = asyncio.get_running_loop()
    return isinstance(waits_for, asyncio.Future) and waits_for.get_loop() is here
