"""`Watches`: looks after the runs that are viewed in this process.

Rules of this file:
- While a run has viewers here, one task looks at it: when its lease should be over, and often
  enough for its producer to know that it is watched.
- If nobody produces it any more, it is aborted. Several processes may try that, one of them does.
- If the run is gone, or another one has begun, its viewers end. So does a viewer that has come back
  after the end. So none waits for ever.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from anyio import move_on_after

from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.abc import Store
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.run import FencedError, Run, RunAppend, RunState, end_marker
from sse_middleware.hub.runs.plan import LEASE, kept_after_end, ttl_of
from sse_middleware.hub.runs.viewer import Viewer
from sse_middleware.hub.store_calls import answered
from sse_middleware.hub.worker import Worker

logger = logging.getLogger(__name__)

MARGIN = 0.1
"""Seconds after the end of a lease at which it is looked at."""

AFTER_END = 3.0
"""Seconds between two looks at a run that has ended, while it has viewers."""


async def look_at(store: Store, topic: str, *, watched: bool = False) -> Run | None:
    """Return the run of a topic. If nobody produces it any more, it is aborted first.

    Raises:
        Exception: the store is away.
    """
    run = await answered(store.find_run(topic, watched=watched))
    if run is None or not run.is_orphaned:
        return run
    append = RunAppend(run.token, 0, LEASE, RunState.ABORTED)
    keep = kept_after_end(ttl_of(run.token))
    try:
        await answered(store.append(topic, (end_marker(RunState.ABORTED),), keep, run=append))
    except FencedError:  # somebody else has done it
        logger.debug("a run was aborted elsewhere")
    return await answered(store.find_run(topic))


class _Watch:
    """Looks at one run."""

    def __init__(self, worker: Worker, topic: str) -> None:
        self.viewers = dict[Viewer, None]()
        self.changed = wakeup()
        self._store = worker.store
        self._recovery = worker.recovery
        self._topic = topic
        self._backoff = Backoff()
        self._limited = False

    async def run(self) -> None:
        """Look at the run for as long as it has viewers."""
        while self.viewers:
            try:
                run = await look_at(self._store, self._topic, watched=True)
            except Exception as error:
                logger.debug("a run could not be looked at: %r", error)
                await self._recovery.wait(self._backoff)
                continue
            self._backoff.reset()
            self._recovery.note()
            self._limited = run is not None and run.unwatched_limit is not None
            for viewer in tuple(self.viewers):
                viewer.look_at(run)
            if self.viewers:
                with move_on_after(_seconds_until_next_look(run)):
                    await self.changed.wait()
        if self._limited:
            await self._note_last_look()

    async def _note_last_look(self) -> None:
        """Note that the run was watched until now."""
        try:
            await answered(self._store.find_run(self._topic, watched=True))
        except Exception as error:
            logger.debug("it was not noted that a run was watched: %r", error)


def _seconds_until_next_look(run: Run | None) -> float:
    """Return how long nothing need be known of a run."""
    if run is None or not run.is_running:
        return AFTER_END
    limit = LEASE if run.unwatched_limit is None else run.unwatched_limit / 2
    return min(run.held + MARGIN, limit)


class Watches:
    """The runs that are viewed.

    Args:
        worker: whose store has them.
        create_task: starts a task of the hub.
    """

    def __init__(
        self, worker: Worker, create_task: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._worker = worker
        self._create_task = create_task
        self._watches = dict[str, _Watch]()

    def watch(self, viewer: Viewer) -> None:
        """Look after a viewer's run. See `Watched`."""
        watch = self._watches.get(viewer.topic)
        if watch is None:
            watch = self._watches[viewer.topic] = _Watch(self._worker, viewer.topic)
            watch.viewers[viewer] = None
            self._create_task(watch.run())
        watch.viewers[viewer] = None

    def forget(self, viewer: Viewer) -> None:
        """Look after it no more. See `Watched`."""
        watch = self._watches.get(viewer.topic)
        if watch is None or viewer not in watch.viewers:
            return
        del watch.viewers[viewer]
        if not watch.viewers:
            del self._watches[viewer.topic]
            watch.changed.set()
