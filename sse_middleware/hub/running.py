"""`RunningHub`: what an open hub has in its event loop."""

import logging
import threading
from collections.abc import Sequence
from itertools import chain

from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.loop import clock, current_token, soon_caller
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.hub.abc import Snapshot, Store
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.from_threads import LoopCalls
from sse_middleware.hub.ids import Position, format_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.listening import ListeningLoop
from sse_middleware.hub.paging import Pages
from sse_middleware.hub.published_event import ReadEvents
from sse_middleware.hub.revocations import Revocations
from sse_middleware.hub.runs.runs import Runs
from sse_middleware.hub.store_calls import answered
from sse_middleware.hub.worker import Worker

logger = logging.getLogger(__name__)


class RunningHub:
    """A hub in the running event loop. See `wanted.OpenHub`.

    Args:
        store: where events are.
        tasks: where it runs.
    """

    def __init__(self, store: Store, tasks: DaemonTaskGroup) -> None:
        self.token = current_token()
        """The event loop."""
        self.thread = threading.get_ident()
        self.store = store
        self.worker = Worker(store, clock(), soon_caller())
        self.pages = Pages(self.worker, tasks.create_task, Backoff)
        self.read_events = ReadEvents()
        self.guard = Revocations(lambda: self)
        self.calls = LoopCalls(tasks.create_task)
        self.tasks = tasks
        self.runs = Runs(lambda: self, tasks)
        tasks.create_task(ListeningLoop(self.worker, Backoff()).run())

    async def look_at_store(self) -> None:
        """Find out what the store is, unless it is away. Raises `ConfigurationError`."""
        try:
            await self.read((), 0, 0)
        except ConfigurationError:
            raise
        except Exception as error:
            logger.warning("a hub opens while its store is away: %r", error)

    async def know_store(self) -> None:
        """Find out what the store is, unless that is known. Raises why it can't be read."""
        if self.worker.state is None:
            await self.read((), 0, 0)

    async def read(self, names: Sequence[str], after: int, limit: int) -> Snapshot:
        """Read from the store. Raises why it can't be read."""
        snapshot = await answered(self.store.read(names, after, limit))
        self.worker.note(snapshot.state)
        return snapshot

    async def append(self, topic: str, block: bytes, keep: Keep, once: str | None) -> str:
        """Publish an event. Returns its id."""
        worker = self.worker
        await self.know_store()
        appended = await self.store.append(topic, (block,), keep, once=once)
        if worker.recovery.waiting:
            worker.recovery.note()
        (clock,) = appended.clocks
        if appended.mark != worker.mark:  # the store has begun anew, which the worker will see
            return format_position(Position(clock, appended.mark))
        worker.top = max(worker.top, clock)
        return worker.ids.of(clock)

    def end(self) -> None:
        """End all subscriptions, the calls of threads, and who waits for a run to begin."""
        self.calls.close()
        self.worker.closed = True
        self.worker.on_need()
        self.runs.end()
        topics = self.worker.topics.values()
        for subscription in dict.fromkeys(chain(*(topic.subscribers for topic in topics))):
            subscription.end()
