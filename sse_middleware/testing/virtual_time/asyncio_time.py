"""`VirtualLoop`: asyncio in virtual time, with a selector that doesn't sleep, and without I/O."""

import asyncio
import math
import selectors
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from sse_middleware.testing.virtual_time.schedule import RealIOError, Schedule, VirtualTimeError


class _Selector(selectors.DefaultSelector):
    """Lets time pass where another selector would sleep. Accepts only the loop's wake-up pipe."""

    def __init__(self, schedule: Schedule, count_busy: Callable[[], int]) -> None:
        super().__init__()
        self._schedule = schedule
        self._count_busy = count_busy

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.get_map():
            raise RealIOError(f"waiting for {fileobj!r}")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        schedule = self._schedule
        idle = timeout is None or timeout > 0
        deadline = math.inf if timeout is None else schedule.now + timeout
        # Threads are counted before the selector sees what they report.
        busy = self._count_busy() if idle else 0
        wait = schedule.seconds_to_wait(deadline, busy) if idle else 0.0
        events = super().select(None if wait == math.inf else wait)
        if events:
            schedule.thread_called()
        elif idle:
            schedule.let_time_pass(deadline, busy)
        return events


def _refusal(name: str) -> Any:
    """Return a method of an asyncio loop that begins no I/O."""

    async def refuse(_self: asyncio.AbstractEventLoop, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise RealIOError(f"{name}() was called")

    return refuse


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop in virtual time. Any other wait for a file reaches the selector and fails."""

    create_connection = _refusal("create_connection")
    create_datagram_endpoint = _refusal("create_datagram_endpoint")
    create_server = _refusal("create_server")
    create_unix_connection = _refusal("create_unix_connection")
    create_unix_server = _refusal("create_unix_server")
    connect_read_pipe = _refusal("connect_read_pipe")
    connect_write_pipe = _refusal("connect_write_pipe")
    getaddrinfo = _refusal("getaddrinfo")
    getnameinfo = _refusal("getnameinfo")
    sock_connect = _refusal("sock_connect")
    subprocess_exec = _refusal("subprocess_exec")
    subprocess_shell = _refusal("subprocess_shell")

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._jobs = set[object]()
        schedule.begin(self.call_soon, self._break)
        super().__init__(_Selector(schedule, self._count_busy))

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._schedule.now

    @property
    def _clock_resolution(self) -> float:
        """How far a timer may be ahead of the clock and still be due: not at all.

        asyncio's own resolution is a nanosecond. Half a year on the clock swallows it, and then no
        timer is ever due.
        """
        return math.ulp(self._schedule.now)

    @_clock_resolution.setter
    def _clock_resolution(self, _seconds: float) -> None:
        """Ignore the value that asyncio sets at the start."""

    def call_at(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As in asyncio, except that a timer at infinity is not set."""
        # anyio sleeps forever in this way. A real timer would count as a deadline.
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # as above
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As in asyncio. Also counts the job as busy."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the name is asyncio's
        """As in asyncio. Also counts its threads as busy."""
        self._jobs.add(self)  # the threads end in real time, so a virtual timeout is useless
        await super().shutdown_default_executor()
        self._jobs.discard(self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As in asyncio, except that real I/O in a callback fails the run."""
        error = context.get("exception")
        if isinstance(error, RealIOError):  # raised in a callback, so nothing else reports it
            self._schedule.fail(error)
        else:
            super().call_exception_handler(context)

    def _count_busy(self) -> int:
        return len(self._jobs) + sum(map(self._is_busy, threading.enumerate()))

    def _is_busy(self, thread: threading.Thread) -> bool:
        """Whether a thread is a worker of ours or of anyio for this loop, and has work.

        anyio doesn't count its workers, but the queue of a worker knows whether its work is done.
        """
        if getattr(thread, "works_for", None) is self:
            return True
        if getattr(thread, "loop", None) is not self or getattr(thread, "stopping", False):
            return False
        unfinished: int = getattr(getattr(thread, "queue", None), "unfinished_tasks", 1)
        return unfinished > 0

    def _break(self, error: VirtualTimeError) -> NoReturn:
        """Let ``run_until_complete`` raise `error`. Called in the selector or in a callback."""
        raise error
