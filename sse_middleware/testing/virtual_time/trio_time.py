"""`TrioTime`: trio in virtual time, through a clock that is an instrument too."""

import math
import threading
from typing import Any, NoReturn

from sse_middleware.testing.virtual_time.schedule import RealIOError, Schedule, VirtualTimeError

_IDLE = 3600.0
"""Real seconds for trio to wait where something wakes it anyway."""


class _NoNetwork:
    """Refuses sockets and name resolution. trio calls it for both."""

    def socket(self, *_args: Any) -> NoReturn:
        raise RealIOError("a socket was asked for")

    async def getaddrinfo(self, host: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the address of {host!r} was asked for")

    async def getnameinfo(self, address: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the name of {address!r} was asked for")


class TrioTime:
    """trio's `Clock` and `Instrument` in one. trio needs only the methods, not the base classes.

    trio asks the clock how long to wait when no task can run. The answer is more than 0 even if
    time is about to jump, because a task in ``wait_all_tasks_blocked`` shortens the wait and goes
    first. If nothing has shortened the wait, time passes, and trio is woken.
    """

    def __init__(self, schedule: Schedule) -> None:
        import trio  # noqa: PLC0415 - trio is optional
        from trio.testing import active_thread_count  # noqa: PLC0415

        self._schedule = schedule
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
        self._other_jobs = self._job_threads()
        self._deadline = self._wait = self._returned_wait = math.inf
        self._busy = 0
        self._idle = self._woke_trio = False
        self._schedule.begin(self._token.run_sync_soon, self._break)

    def start_clock(self) -> None:
        """Do nothing: time only jumps."""

    def current_time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._schedule.now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Return how long trio waits in one pass of the event loop in which no task can run."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        if deadline <= self._schedule.now:
            return 0.0
        self._deadline = deadline
        self._busy = self._count_busy()
        self._wait = self._schedule.seconds_to_wait(deadline, self._busy)
        self._returned_wait = min(self._wait or _IDLE, _IDLE)
        return self._returned_wait

    def before_io_wait(self, timeout: float) -> None:
        """Note whether any task can run. If there is nothing to wait for, let time pass."""
        # The timeout is unchanged if no task can run and none waits until all others are blocked.
        self._idle = timeout == self._returned_wait
        self._returned_wait = math.inf
        self._woke_trio = self._idle and not self._wait and not self._pending_calls()
        if self._woke_trio:
            self._idle = False
            self._schedule.let_time_pass(self._deadline, self._busy)
            self._token.run_sync_soon(self.start_clock)

    def after_io_wait(self, _timeout: float) -> None:
        """Note whether anything has happened. If not, let time pass."""
        if not self._idle and not self._schedule.blocked:
            return
        if self._pending_calls() > self._woke_trio or (self._idle and self._can_run()):
            self._schedule.thread_called()
        elif self._idle:
            self._schedule.let_time_pass(self._deadline, self._busy)

    def _count_busy(self) -> int:
        """Return how many worker threads are busy. A task that waits for a file fails the run.

        While the run is already failing, such a task counts as a busy thread instead, because a
        killed process needs time to end.
        """
        threads = max(self._active_threads(), len(self._job_threads() - self._other_jobs))
        threads += sum(
            getattr(one, "works_for", None) is self._token for one in threading.enumerate()
        )
        if not self._waits_for_file():
            return threads
        if self._cancelled or self._schedule.is_cleaning_up():
            return threads + 1
        self._schedule.fail(RealIOError("a task waits for a socket, a pipe or a process"))
        return threads

    def _pending_calls(self) -> int:
        """Return how many calls wait in trio's queue: those of threads and our own."""
        return self._trio.lowlevel.current_statistics().run_sync_soon_queue_size

    def _can_run(self) -> bool:
        return self._trio.lowlevel.current_statistics().tasks_runnable > 0

    def _waits_for_file(self) -> bool:
        """Whether any task waits for a file, not counting trio's own wake-up task."""
        statistics = self._trio.lowlevel.current_statistics().io_statistics
        names = (name for name in dir(statistics) if name.startswith("tasks_waiting"))
        waiting: int = sum(getattr(statistics, name) for name in names)
        return waiting > 1

    def _job_threads(self) -> set[tuple[int | None, str]]:
        """Return the threads that do a job for trio. trio names a thread after its job.

        trio's own count leaves out a thread whose task was cancelled.
        """
        jobs = (one for one in threading.enumerate() if " from " in one.name or _has_job(one))
        return {(one.ident, one.name) for one in jobs}

    def _break(self, error: VirtualTimeError) -> None:
        """Cancel the main task. If that didn't help, break trio.

        A broken trio runs no ``finally``, and anyio's pytest plugin would wait for ever. The plugin
        reports the cancellation as the error of the test. A test that shares its trio with fixtures
        of a wider scope needs a `flowing` block of its own, or the next test hangs.
        """
        if self._cancelled:
            self._error = error
            return
        self._cancelled = True
        root: Any = self._trio.lowlevel.current_root_task()
        self._token.run_sync_soon(root.child_nurseries[-1].cancel_scope.cancel)


def _has_job(thread: threading.Thread) -> bool:
    """Whether a thread of trio has a job that it has not begun or not reported. It has no name yet.

    trio doesn't tell this, but a worker knows its thread cache, which knows the idle workers.
    """
    worker = getattr(getattr(thread, "_target", None), "__self__", None)
    idle = getattr(getattr(worker, "_thread_cache", None), "_idle_workers", None)
    return idle is not None and worker not in idle
