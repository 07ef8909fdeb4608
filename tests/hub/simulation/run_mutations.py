"""Mistakes that the runs of a hub could make. Each is a small part of the real code, replaced.

A test that passes with one of these would not have noticed it.
"""

import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from sse_middleware.hub import hub_runs, topic
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun, Run, RunAppend, RunState, StoredRun
from sse_middleware.hub.runs import watches
from sse_middleware.hub.runs.log_writer import LogWriter
from sse_middleware.hub.runs.plan import LEASE
from sse_middleware.hub.runs.viewer import Viewer
from tests.hub.simulation.mutations import Patch


def _patch_takes(patch: Patch, change: Callable[[StoredRun, RunAppend, int], Any]) -> None:
    """Have a run be asked another question about an append."""
    real = StoredRun.takes

    def takes(self: StoredRun, append: RunAppend, now: int) -> bool:
        return real(self, *change(self, append, now))

    patch.setattr(StoredRun, "takes", takes)


def no_fence_by_token(patch: Patch) -> None:
    """Let a producer append to the run of another one."""
    _patch_takes(patch, lambda run, append, now: (replace(append, token=run.token), now))


def no_fence_by_lease(patch: Patch) -> None:
    """Let a producer append after its lease was over."""

    def change(run: StoredRun, append: RunAppend, now: int) -> tuple[RunAppend, int]:
        return append, now if append.end is RunState.ABORTED else min(now, run.until - 1)

    _patch_takes(patch, change)


def no_number(patch: Patch) -> None:
    """Make a repeated append twice."""
    _patch_takes(patch, lambda run, append, now: (replace(append, number=run.number), now))


def end_in_two_steps(patch: Patch) -> None:
    """Write the end, and note it afterwards."""
    note, renew, append = StoredRun.note, StoredRun.renew, LogWriter._append
    ends = dict[str, tuple[RunState, int]]()

    def note_nothing(self: StoredRun, append: RunAppend, last: int, now: int) -> None:
        if append.end in (None, RunState.ABORTED):
            note(self, append, last, now)
        else:
            note(self, replace(append, end=None), last, now)
            ends[self.token] = append.end, last

    def renew_or_end(self: StoredRun, token: str, seconds: float, now: int) -> bool:
        if token in ends:
            self.state, self.end = ends.pop(token)
        return renew(self, token, seconds, now)

    async def append_and_end(
        self: LogWriter, events: Sequence[bytes], keep: Keep, end: RunState | None = None
    ) -> None:
        await append(self, events, keep, end)
        if end is not None:
            await self._store.renew_run(self._topic, self._token, keep, LEASE)

    patch.setattr(StoredRun, "note", note_nothing)
    patch.setattr(StoredRun, "renew", renew_or_end)
    patch.setattr(LogWriter, "_append", append_and_end)


def abort_while_held(patch: Patch) -> None:
    """Abort a run without a look at its lease."""

    def change(run: StoredRun, append: RunAppend, now: int) -> tuple[RunAppend, int]:
        return append, max(now, run.until) if append.end is RunState.ABORTED else now

    _patch_takes(patch, change)
    patch.setattr(Run, "is_orphaned", property(lambda self: self.state is RunState.RUNNING))


def one_look(patch: Patch) -> None:
    """Look at a run once, and not again."""
    patch.setattr(watches, "_seconds_until_next_look", lambda _: math.inf)


def stop_by_message_only(patch: Patch) -> None:
    """Announce a stop, and don't note it."""
    patch.setattr(StoredRun, "stop", lambda _: None)


def stop_stays(patch: Patch) -> None:
    """Let the next run of a topic have the stop of the one before."""
    stays, begun, stopping = StoredRun.stays, StoredRun.begun, [False]

    def stays_noted(self: StoredRun, new: NewRun) -> bool:
        stopping[0] = self.stopping
        return stays(self, new)

    def begun_stopping(*values: Any) -> StoredRun:
        return replace(begun(*values), stopping=stopping[0])

    patch.setattr(StoredRun, "stays", stays_noted)
    patch.setattr(StoredRun, "begun", begun_stopping)


def events_after_end(patch: Patch) -> None:
    """Write what waits after the end."""
    real = LogWriter._append

    async def append(
        self: LogWriter, events: Sequence[bytes], keep: Keep, end: RunState | None = None
    ) -> None:
        await real(self, events if end is None else [events[-1], *events[:-1]], keep, end)

    patch.setattr(LogWriter, "_append", append)


def another_run_untold(patch: Patch) -> None:
    """Begin with another run, whatever was missed of the one before."""
    real = Viewer._opened

    def opened_at_start(self: Viewer, wake: Callable[[], object]) -> None:
        real(self, wake)
        if self.run is not None:
            self._cursor.move(self.run.start - 1)

    patch.setattr(Viewer, "_opened", opened_at_start)


def earlier_run_in_ring(patch: Patch) -> None:
    """Leave in a ring what was there before a run began."""
    patch.setattr(topic, "STARTED", b"\0")


def wait_behind_end(patch: Patch) -> None:
    """Let a viewer that begins after the end of its run wait for the end."""
    real = Viewer.look_at

    def look_at(self: Viewer, run: Run | None) -> None:
        real(self, None if run is None else replace(run, end=0))

    patch.setattr(Viewer, "look_at", look_at)


def begins_again(patch: Patch) -> None:
    """Begin a run for a client that comes back."""
    unknown = ContextVar[Any]("unknown", default=None)
    patch.setattr(hub_runs, "RUNNING_REQUEST", unknown)


RUN_MUTATIONS: MappingProxyType[str, Callable[[Patch], None]] = MappingProxyType(
    {
        mutation.__name__: mutation
        for mutation in (
            no_fence_by_token,
            no_fence_by_lease,
            no_number,
            end_in_two_steps,
            abort_while_held,
            one_look,
            stop_by_message_only,
            stop_stays,
            events_after_end,
            another_run_untold,
            earlier_run_in_ring,
            wait_behind_end,
            begins_again,
        )
    }
)
