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

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import anyio

from sse_middleware.errors import ConfigurationError
from sse_middleware.testing.virtual_time.asyncio_time import VirtualLoop
from sse_middleware.testing.virtual_time.schedule import START, Flow, Schedule, VirtualTimeError
from sse_middleware.testing.virtual_time.trio_time import TrioTime


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
        self._course = Schedule(grace, held=held)
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
        return round(self._course.now - START, 9)

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


def _options(backend: str, course: Schedule) -> dict[str, Any]:
    """Return anyio's options for a backend, or refuse it."""
    if backend == "asyncio":
        return {"loop_factory": partial(VirtualLoop, course)}
    if backend != "trio":
        raise ConfigurationError(f"backend must be 'asyncio' or 'trio', got {backend!r}")
    try:
        time = TrioTime(course)
    except ImportError as error:
        raise ConfigurationError(
            "backend 'trio' needs trio 0.27 or later, and it is not installed"
        ) from error
    return {"clock": time, "instruments": [time]}
