"""`VirtualTime`: when everything waits, time jumps to the next deadline, so an hour takes no time.

    time = VirtualTime("asyncio")
    time.run(main)       # or time.backend_options, wherever anyio takes them
    assert time.elapsed == 3600

Rules of this file:
- Nothing is patched. anyio's backend options give the event loop another clock: asyncio gets a loop
  of its own, trio gets a clock that is an instrument too.
- Time moves only when nothing can run, nothing is due, and no worker thread of the run is busy. A
  worker thread that is busy for more than `grace` real seconds counts as blocked. Then time moves
  on without it, until a thread calls into the loop again.
- Time moves to the next deadline and no further. If there is no deadline, and no worker thread that
  could go on, nothing will ever happen. After a moment for other threads, this is a
  `DeadlockError`.
- While time is held, it moves only within `VirtualTime.flowing`, and waiting is not a deadlock. The
  event loop both enters and leaves that block, so no other thread can come in between.
- Real I/O would take real time, so it is a `RealIOError`. The code that begins the I/O gets it. If
  only the waiting can be seen, the run gets it.
- An error of the run cancels the blocks of `run` and `flowing`, so that they clean up, and is
  raised there. If there are none, or if the cleanup hangs as well, it breaks the event loop.
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
    """A clock for tests. Give it to anyio, and time passes only when everything waits.

    There is one run at a time, and each starts the clock anew. A test that calls in from another
    thread, through a blocking portal, holds the time. Its calls that wait let time pass by using
    `flowing`.

    Args:
        backend: ``"asyncio"`` or ``"trio"``.
        grace: real seconds that a worker thread may be busy before it counts as blocked and time
            moves on without it. If no worker thread is busy, time moves at once.
        held: let time pass only within `run` and `flowing`.

    Raises:
        ConfigurationError: the backend is unknown or not installed, or `grace` is not a duration.
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
        self._schedule = Schedule(grace, held=held)
        self._options = _options(backend, self._schedule)

    @property
    def backend(self) -> str:
        """The name of the event loop, as anyio knows it."""
        return self._backend

    @property
    def backend_options(self) -> dict[str, Any]:
        """The options that make anyio run the backend in this time."""
        return dict(self._options)

    @property
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        """What the fixture `anyio_backend` of anyio's pytest plugin must return."""
        return self._backend, self.backend_options

    @property
    def elapsed(self) -> float:
        """Virtual seconds since the run began, to the nanosecond. Kept until the next run."""
        return round(self._schedule.now - START, 9)

    @property
    def held(self) -> bool:
        """Whether time passes only within `run` and `flowing`. Set this before the run begins."""
        return self._schedule.held

    @held.setter
    def held(self, held: bool) -> None:
        self._schedule.held = held

    def run(self, async_function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run ``async_function(*args)`` in a new event loop, and return its result.

        Raises:
            DeadlockError: everything waits for what will never happen. The cause shows where.
            RealIOError: something waits for a file, and the code that began the I/O got no error.
        """
        options = self.backend_options
        if self._backend == "trio":  # anyio before 4.14 would forget the options
            import trio  # noqa: PLC0415 - trio is optional

            return trio.run(self._run_flowing, async_function, args, **options)
        return anyio.run(self._run_flowing, async_function, args, backend_options=options)

    @contextmanager
    def flowing(self) -> Iterator[Flow]:
        """Let a held time pass within this block, and end the block if the run fails.

        Enter it in the event loop, around what is awaited there. So time stands still again before
        the calling thread learns of the end. `run` does this for the whole run. The block is a
        cancel scope. Code that enters another cancel scope inside it, and keeps that open after the
        waiting, needs `Flow.paused`::

            with time.flowing() as flow:
                async with manager as value:
                    with flow.paused():
                        yield value

        Raises:
            DeadlockError: as `run`.
            RealIOError: as `run`.
            VirtualTimeError: the event loop doesn't run in this time.
        """
        if anyio.current_time() != self._schedule.now:
            raise VirtualTimeError(
                "this event loop does not run in this time: start it with "
                f"backend={self._backend!r} and the `backend_options`, which anyio hands to trio "
                "since 4.14"
            )
        flow = Flow()
        flows = self._schedule.flows
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

    async def _run_flowing(
        self, async_function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> Any:
        with self.flowing():
            return await async_function(*args)


def _options(backend: str, schedule: Schedule) -> dict[str, Any]:
    """Return the options that anyio passes to a backend. Raises `ConfigurationError`."""
    if backend == "asyncio":
        return {"loop_factory": partial(VirtualLoop, schedule)}
    if backend != "trio":
        raise ConfigurationError(f"backend must be 'asyncio' or 'trio', got {backend!r}")
    try:
        time = TrioTime(schedule)
    except ImportError as error:
        raise ConfigurationError(
            "backend 'trio' needs trio 0.27 or later, and it is not installed"
        ) from error
    return {"clock": time, "instruments": [time]}
