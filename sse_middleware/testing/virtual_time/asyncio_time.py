"""Virtual time on asyncio: a selector that doesn't sleep, and a loop that begins no I/O."""

import asyncio
import math
import selectors
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from sse_middleware.testing.virtual_time.schedule import RealIOError, Schedule, VirtualTimeError


class _Selector(selectors.DefaultSelector):
    """Lets time pass where another selector would sleep. Knows the loop's own wake-up pipe only."""

    def __init__(self, course: Schedule, busy: Callable[[], int]) -> None:
        super().__init__()
        self._course = course
        self._busy = busy

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.get_map():
            raise RealIOError(f"waiting for {fileobj!r}")
        return super().register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        course = self._course
        idle = timeout is None or timeout > 0
        deadline = math.inf if timeout is None else course.now + timeout
        busy = self._busy() if idle else 0  # before the look at what they have reported
        wait = course.patience(deadline, busy) if idle else 0.0
        events = super().select(None if wait == math.inf else wait)
        if events:
            course.hear()
        elif idle:
            course.lapse(deadline, busy)
        return events


def _refusal(name: str) -> Any:
    """Return a method of an asyncio loop that begins no I/O."""

    async def refuse(_self: asyncio.AbstractEventLoop, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise RealIOError(f"{name}() was called")

    return refuse


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's loop with its course of time. Whatever else waits for files meets the selector."""

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

    def __init__(self, course: Schedule) -> None:
        self._course = course
        self._jobs = set[object]()
        course.begin(self.call_soon, self._break)
        super().__init__(_Selector(course, self._busy))

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._course.now

    @property
    def _clock_resolution(self) -> float:
        """How much a timer may be ahead of the time and still be due: nothing.

        asyncio's own nanosecond is lost in a clock that shows half a year, and nothing is ever due.
        """
        return math.ulp(self._course.now)

    @_clock_resolution.setter
    def _clock_resolution(self, _seconds: float) -> None:
        """Keep what asyncio sets at the beginning from changing it."""

    def call_at(  # type: ignore[override]  # typeshed ties the arguments to the callback
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """As asyncio, but a deadline that never comes is no deadline."""
        if when == math.inf:  # how anyio sleeps forever; a timer would be a deadline
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # as above
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """As asyncio, and know that the job is at work."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the name is asyncio's
        """As asyncio, and know that its threads are at work."""
        self._jobs.add(self)  # its threads end in real time, so the timeout would not be theirs
        await super().shutdown_default_executor()
        self._jobs.discard(self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """As asyncio, but real I/O that a callback began fails the run."""
        error = context.get("exception")
        if isinstance(error, RealIOError):  # raised in a callback: nobody else hears of it
            self._course.fail(error)
        else:
            super().call_exception_handler(context)

    def _busy(self) -> int:
        return len(self._jobs) + sum(map(self._works, threading.enumerate()))

    def _works(self, thread: threading.Thread) -> bool:
        """Whether a thread is one of anyio's, of this loop, and has work.

        anyio counts its workers nowhere, but a queue knows whether what it handed out is done.
        """
        if getattr(thread, "loop", None) is not self or getattr(thread, "stopping", False):
            return False
        unfinished: int = getattr(getattr(thread, "queue", None), "unfinished_tasks", 1)
        return unfinished > 0

    def _break(self, error: VirtualTimeError) -> NoReturn:
        """Let ``run_until_complete`` raise `error`; called in the selector or in a callback."""
        raise error
