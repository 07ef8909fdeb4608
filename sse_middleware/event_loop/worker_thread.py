"""`WorkerThread`: one thread that works for a task of the running event loop.

Rules of this file:
- It is not a thread of a pool. Things may belong to the thread that opened them: a database
  connection, a held lock, thread-local variables.
- It is daemonic: a process that stops doesn't wait for it, whatever it is doing.
- Thread and event loop never write the same state. The thread asks the loop to note something, and
  the loop lets the thread go on.
- Once the event loop has ended, nobody lets the thread go on, so it doesn't wait.
- Code in it may call into the event loop by `anyio.from_thread`, as in any worker thread of anyio.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import Context, copy_context
from functools import partial

import anyio

from sse_middleware.event_loop.loop import current_token, running_asyncio_task, threadsafe_caller
from sse_middleware.event_loop.wakeup import wakeup


class WorkerThread(threading.Thread):
    """A daemonic thread that runs one function, in a copy of the current context.

    Methods are called in the event loop, except where they say that the thread calls them.

    Args:
        work: what the thread does, given the thread. It raises nothing, and ends soon once the
            thread is `stopped`.
        name: of the thread.
    """

    works_for: object | None = None
    """The event loop that the thread is busy for, ``None`` while it waits for the loop."""

    def __init__(self, work: Callable[["WorkerThread"], None], name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stopped = False
        """Whether its work is no longer wanted."""
        self.returned = False
        """Whether the work is done."""
        self.parked = False
        """Whether it waits for `resume`."""
        self.changed = wakeup()
        """Wakes the task when the thread parks, returns, or calls `wake`."""
        self._work: Callable[[], None] | None = partial(_context_of_a_thread().run, work, self)
        self._known_to_anyio = _known_to_anyio()
        self._token = current_token()
        self._call_loop = threadsafe_caller()
        self._gate = threading.Lock()
        self._gate.acquire()
        self._callbacks: list[Callable[[], object]] = []

    def start(self) -> None:
        """Begin to work.

        Raises:
            RuntimeError: the system has no thread left.
        """
        self.works_for = self._token
        super().start()

    def resume(self) -> None:
        """Let it go on, if it is parked."""
        if self.parked:
            self.parked = False
            self.works_for = self._token
            self._gate.release()

    def stop(self) -> None:
        """Tell it that its work is no longer wanted. It doesn't park any more."""
        self.stopped = True
        self.resume()
        if self._gate.locked():
            self._gate.release()

    async def until_returned(self) -> None:
        """Wait until the work is done."""
        while not self.returned:
            await self.changed.wait()

    def when_returned(self, callback: Callable[[], object]) -> None:
        """Call back once the work is done, which may be now, unless the event loop ends before."""
        if self.returned:
            callback()
        else:
            self._callbacks.append(callback)

    def park(self) -> bool:
        """Wait for `resume`. Returns whether to go on. The thread calls this."""
        if self.stopped or not self.call(self._note_parked):
            return False
        self._gate.acquire()
        return not self.stopped

    def wake(self) -> None:
        """Wake the task that waits for `changed`. The thread calls this."""
        self.call(self.changed.set)

    def call(self, callback: Callable[[], object]) -> bool:
        """Have the event loop call a function. Returns false if the loop has ended.

        The thread calls this.
        """
        try:
            self._call_loop(callback)
        except RuntimeError:
            return False
        return True

    def run(self) -> None:
        """Work. The thread calls this."""
        work, self._work = self._work, None
        if work is not None:  # pragma: no branch - a thread runs once
            with self._known_to_anyio:
                work()
        del work  # what it holds is freed before the loop is told
        self.call(self._note_returned)

    def _note_parked(self) -> None:
        if not self.stopped:
            self.parked = True
            self.works_for = None
            self.changed.set()

    def _note_returned(self) -> None:
        self.returned = True
        self.works_for = None
        self.changed.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


def _context_of_a_thread() -> Context:
    """Copy the current context, but for the variable that says which event loop runs here."""
    context = copy_context()
    sniffio = sys.modules.get("sniffio")
    if sniffio is not None:  # pragma: no branch - trio brings it, and so does an older anyio
        context.run(sniffio.current_async_library_cvar.set, None)
    return context


def _known_to_anyio() -> AbstractContextManager[None]:
    """Return a block for a thread, in which `anyio.from_thread` finds the running event loop.

    anyio and trio offer that only to the threads of their pools, so this uses their private names.
    Without these names such a call raises an error, and nothing else is lost.
    """
    try:
        from anyio._core._eventloop import (  # noqa: PLC0415 - private, so it may be missing
            claim_worker_thread,
            get_async_backend,
            threadlocals,
        )

        claim_of_trio = None if running_asyncio_task() else _claim_of_trio()
    except ImportError:
        return nullcontext()
    backend = get_async_backend()
    token, scope = backend.current_token(), anyio.CancelScope()

    @contextmanager
    def claimed() -> Iterator[None]:
        with claim_worker_thread(backend, token):
            threadlocals.current_cancel_scope = scope  # calls need one. It is never cancelled
            if claim_of_trio is not None:
                claim_of_trio()
            yield

    return claimed()


def _claim_of_trio() -> Callable[[], None]:
    """Return what tells trio, in a thread, that the thread works for the running event loop."""
    from trio._threads import PARENT_TASK_DATA as data  # noqa: PLC0415, N811 - as above
    from trio.lowlevel import current_trio_token  # noqa: PLC0415

    token = current_trio_token()

    def claim() -> None:
        data.token = token
        data.abandon_on_cancel = True  # calls from the thread have a task of their own
        data.cancel_register, data.task_register = [None], [None]

    return claim
