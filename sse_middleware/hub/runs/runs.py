"""`Runs`: the runs of an open hub.

Rules of this file:
- A topic of the hub's own has what is to be stopped. Each process that produces runs reads it. The
  store notes it as well, so a message that is lost is only late.
- When the hub is closed, runs go on for a while. Then they are ended.
"""

import logging
from collections.abc import Iterable

from anyio import CancelScope, Lock, move_on_after

from sse_middleware.errors import HubError
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.hub.abc import Store
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.run import Run
from sse_middleware.hub.runs.ended_runs import EndedRuns
from sse_middleware.hub.runs.plan import RunPlan, new_token
from sse_middleware.hub.runs.runner import Runner
from sse_middleware.hub.runs.watches import Watches, look_at
from sse_middleware.hub.store_calls import STORE_TIMEOUT, answered, retried
from sse_middleware.hub.topic_reader import TopicReader
from sse_middleware.hub.wanted import FindHub

logger = logging.getLogger(__name__)

STOPS = "\0stop"
"""The name of the topic. No topic of the application can have it."""


class Runs:
    """Begins, finds and stops runs.

    Args:
        hub: returns the open hub.
        tasks: where runs are produced.
    """

    def __init__(self, hub: FindHub, tasks: DaemonTaskGroup) -> None:
        self._hub = hub
        self._tasks = tasks
        self._runners = dict[str, Runner]()
        """By token."""
        self._reader: TopicReader | None = None
        self._opening = Lock()
        self._attempts = 0
        self._draining = self._ended = False
        self._recent: EndedRuns | None = None
        self._reported: set[str] = set()
        """What `ItemHints` has reported about runs."""
        self.watches = Watches(hub().worker, tasks.create_task)

    @property
    def runners(self) -> Iterable[Runner]:
        """What produces runs in this process, and what is about to."""
        return self._runners.values()

    def keep_ended(self) -> EndedRuns:
        """Return how the last runs ended. They are kept from the first call on."""
        if self._recent is None:
            self._recent = EndedRuns()
        return self._recent

    async def begin(self, plan: RunPlan) -> Run:
        """Begin a run, unless there is one. Returns the run of the topic.

        Raises:
            Exception: what the factory raised, or why the store can't be asked.
        """
        if self._draining:
            raise HubError("the hub is about to be closed, so it begins no more runs")
        runner = Runner(self._hub().worker, plan, new_token(plan.ttl), self._reported)
        self._runners[runner.token] = runner
        self._tasks.create_task(self._work(runner), plan.context)
        await runner.decided.wait()
        runner.raise_refusal()
        run = runner.run
        if run is None:
            raise HubError("the hub was closed before the run began")
        if run.is_orphaned:
            return await self.find(plan.topic) or run
        return run

    async def _work(self, runner: Runner) -> None:
        try:
            await self._hear_stops()
            await runner.work()
        finally:
            del self._runners[runner.token]
            if self._recent is not None:
                worker = self._hub().worker
                self._recent.note(runner, worker.time_of(worker.clock()))
            runner.decided.set()
            runner.ended.set()
            if not self._runners and self._reader is not None:
                self._reader.close()
                self._reader = None

    async def _hear_stops(self) -> None:
        """Hear what is to be stopped. Those who wait for the same attempt don't make another."""
        attempts = self._attempts
        async with self._opening:
            if self._reader is None and self._attempts == attempts:
                self._attempts += 1
                await self._listen()

    async def _listen(self) -> None:
        """Try to hear what is to be stopped. Without the store it is learned by renewals."""
        reader = TopicReader(self._hub, STOPS, self._note_stop, lambda _: None)
        with move_on_after(STORE_TIMEOUT):
            await reader.open()
            self._reader = reader

    def _note_stop(self, event: PublishedEvent) -> None:
        if (runner := self._runners.get(event.data)) is not None:
            runner.stop()

    async def find(self, topic: str) -> Run | None:
        """Return the run of a topic, ``None`` if there is none. Raises why it isn't known."""
        return await retried(lambda: look_at(self._store(), topic))

    async def stop(self, topic: str) -> bool:
        """Stop the run of a topic, wherever it is produced. Returns false if none runs."""
        run = await retried(lambda: self._store().stop_run(topic))
        if run is None or not run.is_running:
            return False
        if (runner := self._runners.get(run.token)) is not None:
            runner.stop()
            return True
        event = b"data: %b\n\n" % run.token.encode()
        try:
            await answered(self._store().append(STOPS, (event,), Keep(0)))
        except Exception as error:
            logger.debug("a stop is noted, and not announced: %r", error)
        return True

    async def drain(self, seconds: float) -> None:
        """Let runs go on for some seconds, then end them. Begin no more of them."""
        self._draining = True
        runners = tuple(self._runners.values())
        try:
            with move_on_after(seconds):
                await _all_ended(runners)
        finally:
            for runner in runners:
                runner.drain()
            with CancelScope(shield=True):  # each of them has a bound
                await _all_ended(runners)

    def _store(self) -> Store:
        """Return the store. Raises `HubError` once the hub is closed."""
        if self._ended:
            raise HubError("the hub was closed while its store was away")
        return self._hub().worker.store

    def end(self) -> None:
        """Let nobody wait any more, for a run that never began or for the store."""
        self._ended = True
        for runner in self._runners.values():
            runner.decided.set()


async def _all_ended(runners: Iterable[Runner]) -> None:
    for runner in runners:
        await runner.ended.wait()
