"""Virtual time on trio: a clock that is an instrument too."""

import math
import threading
from typing import Any, NoReturn

from sse_middleware.testing.virtual_time.schedule import RealIOError, Schedule, VirtualTimeError

_IDLE = 3600.0
"""Real seconds that trio is told to wait where it is woken anyway."""


class _NoNetwork:
    """What trio asks for sockets and for the addresses of names."""

    def socket(self, *_args: Any) -> NoReturn:
        raise RealIOError("a socket was asked for")

    async def getaddrinfo(self, host: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the address of {host!r} was asked for")

    async def getnameinfo(self, address: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the name of {address!r} was asked for")


class TrioTime:
    """trio's `Clock` and `Instrument` in one. It asks for the methods and not for the classes.

    The clock is asked how long to wait when nothing can run. It answers with more than nothing,
    also where time is about to jump: a task in ``wait_all_tasks_blocked`` shortens that wait, and
    goes first. Where nobody has shortened it, the time passes, and trio is woken.
    """

    def __init__(self, course: Schedule) -> None:
        import trio  # noqa: PLC0415 - no dependency
        from trio.testing import active_thread_count  # noqa: PLC0415

        self._course = course
        self._trio = trio
        self._active_threads = active_thread_count

    def before_run(self) -> None:
        """Begin a run, without a network."""
        network: Any = _NoNetwork()
        self._trio.socket.set_custom_socket_factory(network)
        self._trio.socket.set_custom_hostname_resolver(network)
        self._token = self._trio.lowlevel.current_trio_token()
        self._error: VirtualTimeError | None = None
        self._cancelled = False
        self._strangers = self._jobs()
        self._deadline = self._patience = self._asked = math.inf
        self._busy = 0
        self._idle = self._woken = False
        self._course.begin(self._token.run_sync_soon, self._break)

    def start_clock(self) -> None:
        """Nothing to start: time only jumps."""

    def current_time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._course.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Plan the wait of one pass of the event loop in which no task can run."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        if deadline <= self._course.now:
            return 0.0
        self._deadline = deadline
        self._busy = self._count_busy()
        self._patience = self._course.patience(deadline, self._busy)
        self._asked = min(self._patience or _IDLE, _IDLE)
        return self._asked

    def before_io_wait(self, timeout: float) -> None:
        """See whether no task can run; if nothing is to be waited for, let time pass."""
        self._idle = (
            timeout == self._asked
        )  # no task can run, or waits until all others are blocked
        self._asked = math.inf
        self._woken = self._idle and not self._patience and not self._calls()
        if self._woken:
            self._idle = False
            self._course.lapse(self._deadline, self._busy)
            self._token.run_sync_soon(self.start_clock)

    def after_io_wait(self, _timeout: float) -> None:
        """See whether anything has happened; if not, let time pass."""
        if not self._idle and not self._course.blocked:
            return
        if self._calls() > self._woken or (self._idle and self._can_run()):
            self._course.hear()
        elif self._idle:
            self._course.lapse(self._deadline, self._busy)

    def _count_busy(self) -> int:
        """Return how many worker threads are at work; files that are waited for are an error.

        Not where the error is at work already: a process that was killed has to end.
        """
        threads = max(self._active_threads(), len(self._jobs() - self._strangers))
        if not self._real_io():
            return threads
        if self._cancelled or self._course.unwinds():
            return threads + 1
        self._course.fail(RealIOError("a task waits for a socket, a pipe or a process"))
        return threads

    def _calls(self) -> int:
        """Return how many calls, of threads or its own, trio has not made yet."""
        return self._trio.lowlevel.current_statistics().run_sync_soon_queue_size

    def _can_run(self) -> bool:
        return self._trio.lowlevel.current_statistics().tasks_runnable > 0

    def _real_io(self) -> bool:
        """Whether any task waits for a file besides the one that trio wakes up by."""
        statistics = self._trio.lowlevel.current_statistics().io_statistics
        names = (name for name in dir(statistics) if name.startswith("tasks_waiting"))
        waiting: int = sum(getattr(statistics, name) for name in names)
        return waiting > 1

    def _jobs(self) -> set[tuple[int | None, str]]:
        """Return the threads that do a job for trio, which names them after it meanwhile.

        trio itself counts a thread no longer whose task was cancelled.
        """
        jobs = (one for one in threading.enumerate() if " from " in one.name or _has_job(one))
        return {(one.ident, one.name) for one in jobs}

    def _break(self, error: VirtualTimeError) -> None:
        """Cancel the main task, or break trio if that was of no use.

        A broken trio runs no ``finally``, and anyio's pytest plugin would wait for its end. The
        plugin takes the cancellation for the test's error; a test that shares its trio with
        fixtures of a wider scope needs a `flowing` of its own, or the next test hangs.
        """
        if self._cancelled:
            self._error = error
            return
        self._cancelled = True
        root: Any = self._trio.lowlevel.current_root_task()
        self._token.run_sync_soon(root.child_nurseries[-1].cancel_scope.cancel)


def _has_job(thread: threading.Thread) -> bool:
    """Whether a thread of trio's has a job that it has not begun or not reported: it has no name.

    trio tells it nowhere, but a worker knows its cache, and that knows who is idle.
    """
    worker = getattr(getattr(thread, "_target", None), "__self__", None)
    idle = getattr(getattr(worker, "_thread_cache", None), "_idle_workers", None)
    return idle is not None and worker not in idle
