"""Virtual time: when everything waits, time jumps to the next deadline, and an hour is nothing.

    time = VirtualTime("asyncio")
    time.run(main)       # or time.backend_options, wherever anyio takes them
    assert time.elapsed == 3600

Rules of this file:
- Nothing is patched. The event loop is told another time through anyio's backend options: asyncio
  by a loop of its own, trio by a clock that is an instrument too.
- Time moves only when nothing can run, nothing is due, and no worker thread of the run is busy. A
  worker thread that is busy for longer than `grace` real seconds counts as blocked: time moves on
  without it, until a thread calls into the loop again.
- Time moves to the next deadline and no further. Where there is none, and no worker thread that
  could go on, nothing will ever happen: a `DeadlockError`, after a moment for other threads.
- While time is held, it moves only within `VirtualTime.flowing`, and waiting is no deadlock. Both
  ends of that block are in the event loop, so no other thread can come in between.
- Real I/O would take real time. It is a `RealIOError` where it is begun or, where only its waiting
  can be seen, of the run.
- An error of the run cancels the blocks of `run` and `flowing`, so that they clean up, and is
  raised there. Where there are none, or the cleanup hangs as well, it breaks the event loop.
"""

import asyncio
import logging
import math
import selectors
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NoReturn

import anyio

from sse_middleware.errors import ConfigurationError

logger = logging.getLogger(__name__)

_START = 1000.0
"""What the clock shows when a run begins. Not zero, so that nobody takes it for "not set"."""

_BLINK = 0.001
"""Real seconds of the first wait for threads; each further one is as long as all before it."""

_MOMENT = 0.05
"""Real seconds that other threads have at least, where only they can go on."""

_IDLE = 3600.0
"""Real seconds that trio is told to wait where it is woken anyway."""


class VirtualTimeError(RuntimeError):
    """A test does what can't be done in virtual time."""


class DeadlockError(VirtualTimeError):
    """Everything waits, and there is nothing that anything could wait for."""

    def __init__(self) -> None:
        super().__init__(
            "everything waits, and nothing will ever happen: no timer is set and no worker thread "
            "is busy. If another thread is to call into the event loop, start it with anyio's or "
            "asyncio's to_thread, raise `grace`, or hold the time with held=True"
        )


class RealIOError(VirtualTimeError):
    """The code under test waits for a socket, a pipe, a process or a name server."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"real I/O in virtual time: {what}. Call the application without a network, e.g. "
            "through httpx.ASGITransport, replace what it talks to, or run this test in real time"
        )


class Flow:
    """A block in which time passes; it is cancelled, and raises `error`, when the run fails."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.error: VirtualTimeError | None = None
        self.ended_by: BaseException | None = None
        self.is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the time within this part of the block, as outside of it."""
        self.is_paused = True
        try:
            yield
        finally:
            self.is_paused = False


class _Course:
    """How time passes in one run, whichever event loop runs.

    Times are seconds of the virtual clock, waits are real seconds. Used in the event loop's thread.
    """

    def __init__(self, grace: float, *, held: bool) -> None:
        self.grace = grace
        self.held = held
        self.now = _START
        self.flows: list[Flow] = []
        self.blocked = 0
        self._waited = self._waiting = 0.0

    def begin(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        break_loop: Callable[[VirtualTimeError], object],
    ) -> None:
        """Begin a run.

        Args:
            call_soon: has a function called by the event loop, which it wakes.
            break_loop: ends the run with an error, by whatever means.
        """
        self.now = _START
        self.flows = []
        self.hear()
        self._call_soon = call_soon
        self._break_loop = break_loop

    def patience(self, deadline: float, busy: int) -> float:
        """Return how long to wait for calls from threads before `lapse`; ``inf`` is for ever.

        Args:
            deadline: when the first timer is due, or ``inf``.
            busy: how many worker threads of the run are at work.
        """
        missing = self._notice(deadline, busy) - self._waited
        part = max(_BLINK, self._waited)  # a thread that ends its work may say nothing
        self._waiting = missing if missing == math.inf else max(0.0, min(missing, part))
        return self._waiting

    def hear(self) -> None:
        """Know that a thread has called in, so those that seemed blocked may not be."""
        self.blocked = 0
        self._waited = 0.0

    def lapse(self, deadline: float, busy: int) -> None:
        """Let time pass, or fail, where nothing has happened for long enough."""
        self._waited += self._waiting
        if self._stands() or self._waited < self._notice(deadline, busy):
            return
        self._waited = 0.0
        self.blocked = busy
        if deadline < math.inf:
            self.now = deadline
        elif not busy:
            self.fail(DeadlockError())

    def _notice(self, deadline: float, busy: int) -> float:
        """Return how long threads have to call in before time moves on."""
        if self._stands():
            return math.inf
        if deadline == math.inf:
            return max(self.grace, _MOMENT)
        return self.grace if busy > self.blocked else 0.0

    def fail(self, error: VirtualTimeError) -> None:
        """End the blocks in which time passes with `error`, or else the run."""
        flows = [flow for flow in self.flows if flow.error is None]
        flows = [flow for flow in flows if not flow.is_paused] or flows
        for flow in flows:
            flow.error = error
            self._call_soon(flow.scope.cancel)
        if not flows:
            logger.error("%s", str(error))  # a record outlives the run, which the error holds
            self._break_loop(error)

    def unwinds(self) -> bool:
        """Whether a block has failed and cleans up."""
        return any(flow.error is not None for flow in self.flows)

    def _stands(self) -> bool:
        return self.held and all(flow.is_paused for flow in self.flows)


class _Selector(selectors.DefaultSelector):
    """Lets time pass where another selector would sleep. Knows the loop's own wake-up pipe only."""

    def __init__(self, course: _Course, busy: Callable[[], int]) -> None:
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


class _Loop(asyncio.SelectorEventLoop):
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

    def __init__(self, course: _Course) -> None:
        self._course = course
        self._jobs = set[object]()
        course.begin(self.call_soon, self._break)
        super().__init__(_Selector(course, self._busy))

    def time(self) -> float:
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
        if when == math.inf:  # how anyio sleeps forever; a timer would be a deadline
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # as above
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        job = super().run_in_executor(executor, func, *args)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109 - the name is asyncio's
        self._jobs.add(self)  # its threads end in real time, so the timeout would not be theirs
        await super().shutdown_default_executor()
        self._jobs.discard(self)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
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


class _NoNetwork:
    """What trio asks for sockets and for the addresses of names."""

    def socket(self, *_args: Any) -> NoReturn:
        raise RealIOError("a socket was asked for")

    async def getaddrinfo(self, host: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the address of {host!r} was asked for")

    async def getnameinfo(self, address: object, *_args: Any) -> NoReturn:
        raise RealIOError(f"the name of {address!r} was asked for")


class _TrioTime:
    """trio's `Clock` and `Instrument` in one. It asks for the methods and not for the classes.

    The clock is asked how long to wait when nothing can run. It answers with more than nothing,
    also where time is about to jump: a task in ``wait_all_tasks_blocked`` shortens that wait, and
    goes first. Where nobody has shortened it, the time passes, and trio is woken.
    """

    def __init__(self, course: _Course) -> None:
        import trio  # noqa: PLC0415 - no dependency
        from trio.testing import active_thread_count  # noqa: PLC0415

        self._course = course
        self._trio = trio
        self._active_threads = active_thread_count

    def before_run(self) -> None:
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


class VirtualTime:
    """A clock for tests: give it to anyio, and time passes when everything waits.

    One run at a time; each begins anew. A test that calls in from a thread of its own, through a
    blocking portal, holds the time, and lets it pass by `flowing` in the calls that wait.

    Args:
        backend: ``"asyncio"`` or ``"trio"``.
        grace: real seconds that a busy worker thread may take before it counts as blocked and time
            moves on without it. Nothing is waited for where no worker thread is busy.
        held: let time pass only within `run` and `flowing`.

    Raises:
        ConfigurationError: the backend is unknown or not installed, or `grace` is no duration.
    """

    def __init__(
        self,
        backend: Literal["asyncio", "trio"] = "asyncio",
        *,
        grace: float = 0.25,
        held: bool = False,
    ) -> None:
        if not 0 <= grace < math.inf:
            raise ConfigurationError(f"grace must be a number of seconds, 0 or more, got {grace!r}")
        self._backend = backend
        self._course = _Course(grace, held=held)
        self._options = _options(backend, self._course)

    @property
    def backend(self) -> str:
        """The name of the event loop, as anyio knows it."""
        return self._backend

    @property
    def backend_options(self) -> dict[str, Any]:
        """The options that make anyio's backend run in this time."""
        return dict(self._options)

    @property
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        """What a fixture `anyio_backend` returns to anyio's pytest plugin."""
        return self._backend, self.backend_options

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the run began, to the nanosecond; of the last run after it."""
        return round(self._course.now - _START, 9)

    @property
    def held(self) -> bool:
        """Whether time passes only within `run` and `flowing`. Set it before the run begins."""
        return self._course.held

    @held.setter
    def held(self, held: bool) -> None:
        self._course.held = held

    def run(self, async_function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run ``async_function(*args)`` in a new event loop and return what it returns.

        Raises:
            DeadlockError: everything waits for what will never happen. The cause shows where.
            RealIOError: something waits for a file, and the code that began it wasn't told.
        """
        options = self.backend_options
        if self._backend == "trio":  # anyio before 4.14 would forget the options
            import trio  # noqa: PLC0415 - no dependency

            return trio.run(self._flow, async_function, args, **options)
        return anyio.run(self._flow, async_function, args, backend_options=options)

    @contextmanager
    def flowing(self) -> Iterator[Flow]:
        """Let a time that is held pass within this block, and end the block if the run fails.

        It is entered in the event loop, around what is awaited there: so time stands still again
        before the thread that called in hears of the end. `run` does this for all of its run.
        It is a cancel scope: what begins another one within, and outlives the waiting, needs
        `Flow.paused`::

            with time.flowing() as flow:
                async with manager as value:
                    with flow.paused():
                        yield value

        Raises:
            DeadlockError: as `run`.
            RealIOError: as `run`.
            VirtualTimeError: the event loop runs in real time.
        """
        if anyio.current_time() != self._course.now:
            raise VirtualTimeError(
                "this event loop does not run in this time: start it with "
                f"backend={self._backend!r} and the `backend_options`, which anyio hands to trio "
                "since 4.14"
            )
        flow = Flow()
        flows = self._course.flows
        flows.append(flow)
        try:
            with flow.scope:
                try:
                    yield flow
                except BaseException as error:
                    flow.ended_by = error
                    raise
        finally:
            flows.remove(flow)
        if flow.error is not None:
            raise flow.error from flow.ended_by

    async def _flow(
        self, async_function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> Any:
        with self.flowing():
            return await async_function(*args)


def _options(backend: str, course: _Course) -> dict[str, Any]:
    """Return anyio's options for a backend, or refuse it."""
    if backend == "asyncio":
        return {"loop_factory": partial(_Loop, course)}
    if backend != "trio":
        raise ConfigurationError(f"backend must be 'asyncio' or 'trio', got {backend!r}")
    try:
        time = _TrioTime(course)
    except ImportError as error:
        raise ConfigurationError(
            "backend 'trio' needs trio 0.27 or later, and it is not installed"
        ) from error
    return {"clock": time, "instruments": [time]}
