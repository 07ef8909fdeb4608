"""How virtual time passes on any loop, and how a run fails. The rules are those of `clock`."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

logger = logging.getLogger(__name__)


START = 1000.0
"""What the clock shows when a run begins. Not zero, so that nobody takes it for "not set"."""


_BLINK = 0.001
"""Real seconds of the first wait for threads; each further one is as long as all before it."""


_MOMENT = 0.05
"""Real seconds that other threads have at least, where only they can go on."""


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


class Schedule:
    """How time passes in one run, whichever event loop runs.

    Times are seconds of the virtual clock, waits are real seconds. Used in the event loop's thread.
    """

    def __init__(self, grace: float, *, held: bool) -> None:
        self.grace = grace
        self.held = held
        self.now = START
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
        self.now = START
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
