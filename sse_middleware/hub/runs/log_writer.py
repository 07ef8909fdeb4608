"""`LogWriter`: appends the events of a run to its topic, and holds the run's lease.

Rules of this file:
- What comes within `GATHERED` seconds is appended together, or as soon as `ENOUGH` bytes wait.
- An append whose outcome is unknown is made again, with the same number. The store makes it once.
- The lease is renewed every `RENEWED` seconds. Then the writer also learns whether the run is to
  stop.
- If the store refuses an append, or the lease is over, the run is another one's or aborted. Then
  nothing more is written.
- The end is written together with what waits, in one append.
"""

import logging
import math
from collections.abc import Callable, Sequence

from anyio import Event

from sse_middleware.event_loop.alarm import Alarm
from sse_middleware.hub.backoff import LONGEST, Backoff
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import FencedError, Run, RunAppend, RunState, end_marker
from sse_middleware.hub.runs.log import RunLog
from sse_middleware.hub.runs.plan import LEASE, RunPlan, kept_after_end, kept_while_running
from sse_middleware.hub.store_calls import answered
from sse_middleware.hub.worker import Worker, nothing

logger = logging.getLogger(__name__)

GATHERED = 0.01
"""Seconds between the beginnings of two appends, unless much waits."""

ENOUGH = 4096
"""Bytes that are appended at once."""

RENEWED = 3.0
"""Seconds between two renewals of the lease."""


class LogWriter:
    """Writes one run.

    Args:
        worker: whose store it is written to.
        plan: of the run.
        token: of the run.
        log: what is to be written.
        on_stop: called if the run is to stop.
        on_fenced: called if the run is no longer this one's.
    """

    def __init__(
        self,
        worker: Worker,
        plan: RunPlan,
        token: str,
        log: RunLog,
        on_stop: Callable[[], object],
        on_fenced: Callable[[], object],
    ) -> None:
        self.ended = Event()
        """Set when nothing more is written."""
        self._store = worker.store
        self._recovery = worker.recovery
        self._topic = plan.topic
        self._ttl = plan.ttl
        self._token = token
        self._keep = kept_while_running(plan.ttl)
        self._log = log
        self._clock = clock = worker.clock
        self._alarm = Alarm(clock, log.raised.set)
        self._on_stop = on_stop
        self._on_fenced = on_fenced
        limit = plan.unwatched_limit
        self._renewed_each = RENEWED if limit is None else min(RENEWED, limit / 2)
        self._held_from = self._renew_at = clock()
        self._appended = 0.0
        self._number = 0
        self._fenced = False
        self._is_away = False
        self._there_from = -math.inf
        """Since when the store is there, as far as it was asked."""
        self._end: tuple[RunState, Sequence[bytes]] | None = None

    def begin(self, began: float) -> None:
        """Know that the lease was won, by a call at some time of the clock."""
        self._held_from = began
        self._renew_at = began + self._renewed_each

    def end(self, state: RunState, last: Sequence[bytes]) -> None:
        """Write what waits, the last events, and the end. Then nothing more is written."""
        self._end = state, last
        self._log.raised.set()

    def let_go(self) -> None:
        """Never call back."""
        self._on_stop = self._on_fenced = nothing

    async def run(self) -> None:
        """Write until the end."""
        try:
            while not (self._fenced or self._end):
                await self._wait()
                if self._clock() >= self._renew_at:
                    await self._renew()
                if events := self._log.take():
                    await self._append(events, self._keep)
            if self._end is not None and not self._fenced:
                state, last = self._end
                events = [*self._log.take(), *last, end_marker(state)]
                await self._append(events, kept_after_end(self._ttl), state)
        finally:
            self._alarm.stop()
            self.ended.set()

    async def _wait(self) -> None:
        """Sleep until there is something to do."""
        log = self._log
        while self._end is None:
            now, due = self._clock(), self._renew_at
            if log.size:
                log.wanted = ENOUGH
                due = min(due, self._appended + GATHERED)
            if now >= due or log.size >= ENOUGH:
                break
            self._alarm.set(due)
            await log.raised.wait()
        log.wanted = 1

    async def _append(
        self, events: Sequence[bytes], keep: Keep, end: RunState | None = None
    ) -> None:
        """Append events, for as long as the lease may last."""
        append = RunAppend(self._token, self._number, LEASE, end)
        backoff = Backoff()
        while not self._fenced:
            self._appended = began = self._clock()
            try:
                await answered(self._store.append(self._topic, events, keep, run=append))
            except FencedError as error:
                self._fence(error)
            except Exception as error:
                logger.debug("a run could not be written: %r", error)
                self._is_away = True
                if self._is_over(error):
                    return
                await self._recovery.wait(backoff)
            else:
                self._recovery.note()
                self._number += 1
                self._held_from = began
                return

    async def _renew(self) -> None:
        """Make the lease last, and look whether the run is to stop."""
        began = self._clock()
        try:
            call = self._store.renew_run(self._topic, self._token, self._keep, LEASE)
            run = await answered(call)
        except Exception as error:
            logger.debug("the lease of a run could not be renewed: %r", error)
            self._renew_at = self._clock() + self._renewed_each / 3
            self._is_away = True
            self._is_over(error)
            return
        self._recovery.note()
        if run is None or run.token != self._token or not run.is_running:
            self._fence(FencedError("the run has another producer, or its lease was over"))
            return
        self._held_from, self._renew_at = began, began + self._renewed_each
        if run.stopping or self._is_abandoned(run):
            self._on_stop()

    def _is_abandoned(self, run: Run) -> bool:
        """Whether nobody has watched a run for as long as it allows.

        While the store was away, nobody could say that they watch.
        """
        now, limit = self._clock(), run.unwatched_limit
        if self._is_away:
            self._is_away, self._there_from = False, now
        if limit is None or run.unwatched <= limit:
            return False
        return now - self._there_from > limit + LONGEST

    def _is_over(self, error: Exception) -> bool:
        """Whether the lease is over for sure."""
        if self._clock() < self._held_from + LEASE:
            return False
        self._fence(error)
        return True

    def _fence(self, error: Exception) -> None:
        """Write nothing more."""
        logger.warning("a run ends, because it can't be written any more: %s", error)
        self._fenced = True
        self._on_fenced()
