"""`Schedule`: decides when virtual time passes, and how a run fails, on any event loop.

The rules of `clock` hold here.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

logger = logging.getLogger(__name__)

START = 1000.0
"""The time when a run begins. It is not 0, so that nobody takes it for "not set"."""

_FIRST_WAIT = 0.001
"""Real seconds of the first wait for threads. Each later one is as long as all before it."""

_MIN_DEADLOCK_WAIT = 0.05
"""Real seconds that other threads have at least, if nothing else can go on."""


class VirtualTimeError(RuntimeError):
    """A test does something that is impossible in virtual time."""


class DeadlockError(VirtualTimeError):
    """Everything waits, and nothing will ever happen."""

    def __init__(self) -> None:
        super().__init__(
            "everything waits, and nothing will ever happen: no timer is set and no worker thread "
            "is busy. If another thread is going to call into the event loop, start it with "
            "anyio's or asyncio's to_thread, raise `grace`, or hold the time with held=True"
        )


class RealIOError(VirtualTimeError):
    """The code under test waits for a socket, a pipe, a process or a name server."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"real I/O in virtual time: {what}. Call the application without a network, for "
            "example with EventClient or StreamingTransport, replace what it talks to, or run this "
            "test in real time"
        )


class Flow:
    """A block in which time passes. If the run fails, it is cancelled and raises `error`."""

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.error: VirtualTimeError | None = None
        self.ended_by: BaseException | None = None
        self.is_paused = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the time within this part of the block."""
        self.is_paused = True
        try:
            yield
        finally:
            self.is_paused = False


class Schedule:
    """Decides when time passes in one run, on any event loop.

    Times are seconds of the virtual clock, waits are real seconds. Call it only in the thread of
    the event loop.
    """

    def __init__(self, grace: float, *, held: bool) -> None:
        self.grace = grace
        self.held = held
        self.now = START
        self.flows: list[Flow] = []
        self.blocked = 0
        self._waited = self._current_wait = 0.0

    def begin(
        self,
        call_soon: Callable[[Callable[[], object]], object],
        break_loop: Callable[[VirtualTimeError], object],
    ) -> None:
        """Begin a run.

        Args:
            call_soon: wakes the event loop, and lets it call a function.
            break_loop: ends the run with an error, by any means.
        """
        self.now = START
        self.flows = []
        self.thread_called()
        self._call_soon = call_soon
        self._break_loop = break_loop

    def seconds_to_wait(self, deadline: float, busy: int) -> float:
        """Return how long to wait for calls from threads before `let_time_pass`.

        ``inf`` means for ever.

        Args:
            deadline: when the first timer is due, or ``inf``.
            busy: how many worker threads of the run are busy.
        """
        missing = self._required_wait(deadline, busy) - self._waited
        part = max(_FIRST_WAIT, self._waited)  # a thread that has finished may not wake the loop
        self._current_wait = missing if missing == math.inf else max(0.0, min(missing, part))
        return self._current_wait

    def thread_called(self) -> None:
        """Note that a thread has called in, so threads that seemed blocked may not be."""
        self.blocked = 0
        self._waited = 0.0

    def let_time_pass(self, deadline: float, busy: int) -> None:
        """Let time pass, or fail, if nothing has happened for long enough."""
        self._waited += self._current_wait
        if self._stands_still() or self._waited < self._required_wait(deadline, busy):
            return
        self._waited = 0.0
        self.blocked = busy
        if deadline < math.inf:
            self.now = deadline
        elif not busy:
            self.fail(DeadlockError())

    def _required_wait(self, deadline: float, busy: int) -> float:
        """Return how long threads have to call in before time moves on."""
        if self._stands_still():
            return math.inf
        if deadline == math.inf:
            return max(self.grace, _MIN_DEADLOCK_WAIT)
        return self.grace if busy > self.blocked else 0.0

    def fail(self, error: VirtualTimeError) -> None:
        """Raise `error` in the blocks in which time passes, or else end the run with it."""
        flows = [flow for flow in self.flows if flow.error is None]
        flows = [flow for flow in flows if not flow.is_paused] or flows
        for flow in flows:
            flow.error = error
            self._call_soon(flow.scope.cancel)
        if not flows:
            # Only the text: a log record outlives the run, and the error holds the run.
            logger.error("%s", str(error))
            self._break_loop(error)

    def is_cleaning_up(self) -> bool:
        """Whether a block has failed and is cleaning up."""
        return any(flow.error is not None for flow in self.flows)

    def _stands_still(self) -> bool:
        return self.held and all(flow.is_paused for flow in self.flows)
