"""`ListeningLoop`: the task that keeps a worker's topics up to date.

Rules of this file:
- While somebody subscribes to a topic, there is one listener. A topic is added to it before it is
  read. So nothing is missed in between.
- Topics are read in chunks, so that a chunk doesn't hold up the store for long.
- A tick is asked for every few seconds, and when topics are ahead of the watermark. If none comes
  back in a few seconds in which the event loop responds, the listener is replaced. A second in
  which the loop was blocked counts as one.
- If anything fails, the listener is replaced after a wait. Then all topics are read again. If the
  store answers anybody meanwhile, the wait is over.
- Without subscribers there is no listener and no timer.
"""

import logging
from collections.abc import Sequence
from itertools import islice

from anyio import fail_after, move_on_after

from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.hub.abc import Listener
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.store_calls import STORE_TIMEOUT, answered
from sse_middleware.hub.topic import NEVER, Topic
from sse_middleware.hub.worker import LINGER, Worker

logger = logging.getLogger(__name__)

CHUNK = 64
"""How many topics are read at once."""

READ_LIMIT = 256
"""How many events of a topic are read at once."""

TICK = 5.0
"""Seconds between two ticks."""

PATIENCE = 5
"""Seconds in which a tick must come back."""


class ListenerLostError(Exception):
    """The listener must be replaced."""


class ListeningLoop:
    """Listens to a store for a worker.

    Args:
        worker: whose topics are read.
        backoff: says how long to wait after a failure.
    """

    def __init__(self, worker: Worker, backoff: Backoff) -> None:
        self._worker = worker
        self._backoff = backoff
        self._wakeup = wakeup()
        self._pause = checkpoint()
        self._next_tick = 0.0
        self._expected = 0
        """How many ticks must have come."""
        self._patience = 0
        self._is_away = False
        self._second_ends = 0.0
        worker.on_need = self._wakeup.set

    async def run(self) -> None:
        """Listen whenever somebody subscribes, until the worker is closed.

        The task is cancelled then. But anyio before 4.6 may swallow that at the end of a timeout.
        """
        worker = self._worker
        while not worker.closed:
            if not worker.topics:
                await self._wakeup.wait()
                continue
            try:
                await self._listen()
            except Exception as error:
                self._note_away(error)
                await worker.recovery.wait(self._backoff)

    def _note_away(self, error: Exception) -> None:
        """Log the first failure as a warning. The next ones say nothing new."""
        level = logging.DEBUG if self._is_away else logging.WARNING
        self._is_away = True
        logger.log(level, "the store of a hub is away: %r", error)

    def _note_there(self) -> None:
        """Log that a tick has come back, if the store was away."""
        self._backoff.reset()
        if self._is_away:
            self._is_away = False
            logger.info("the store of a hub is there again")

    async def _listen(self) -> None:
        """Listen until nobody subscribes any more. Raises why the listener must be replaced."""
        worker = self._worker
        worker.suspect = False
        if worker.state is None:
            worker.note((await answered(worker.store.read((), 0, 0))).state)
        listener = worker.store.listen(worker.on_event, worker.on_tick, worker.suspect_listener)
        self._next_tick = self._expected = 0
        try:
            while worker.topics and not worker.closed:
                await self._step(listener)
        finally:
            listener.close()
            worker.lose_listener()

    async def _step(self, listener: Listener) -> None:
        """Do what comes first: read, tick, or wait."""
        worker = self._worker
        if worker.suspect:
            raise ListenerLostError("the connection that listens is broken")
        if worker.unsynced:
            await self._sync(listener, self._next_chunk())
            await self._pause()
            return
        if worker.ticked < self._expected:
            await self._wait_for_tick()
        elif worker.clock() >= self._next_tick:
            if self._expected:
                self._note_there()
            await self._tick(listener)
        else:
            await self._rest(self._next_tick)
        if forgotten := worker.forget_idle():
            listener.remove(forgotten)

    async def _tick(self, listener: Listener) -> None:
        worker = self._worker
        self._expected = worker.ticked + 1
        self._patience = PATIENCE
        now = worker.clock()
        self._next_tick, self._second_ends = now + TICK, now + 1
        await answered(listener.tick())

    async def _wait_for_tick(self) -> None:
        """Wait until a second has passed. Raises if that was the last one."""
        clock = self._worker.clock
        if clock() < self._second_ends:
            await self._rest(self._second_ends)
            return
        self._second_ends = clock() + 1
        self._patience -= 1
        if not self._patience:
            raise ListenerLostError("what the store sends does not come")

    async def _rest(self, until: float) -> None:
        """Wait for a time, or until something is needed."""
        worker = self._worker
        if worker.idle:
            until = min(until, next(iter(worker.idle.values())) + LINGER)
        with move_on_after(max(0, until - worker.clock())):
            await self._wakeup.wait()

    def _next_chunk(self) -> Sequence[Topic]:
        """Return topics that are read in the same way."""
        unsynced = self._worker.unsynced
        kind = _kind(next(iter(unsynced)))
        return tuple(islice((topic for topic in unsynced if _kind(topic) == kind), CHUNK))

    async def _sync(self, listener: Listener, chunk: Sequence[Topic]) -> None:
        """Listen to topics, and read them."""
        worker = self._worker
        fill, fresh = _kind(chunk[0])
        added = [topic for topic in chunk if topic.listener is not listener]
        after = 0 if fill or fresh else min(topic.base for topic in chunk)
        limit = 0 if fresh and not fill else READ_LIMIT
        with fail_after(STORE_TIMEOUT):
            if added:
                await listener.add([topic.name for topic in added])
                for topic in added:
                    topic.listener = listener
            snapshot = await worker.store.read([topic.name for topic in chunk], after, limit)
        worker.note(snapshot.state)
        if worker.suspect:
            return
        for topic in chunk:
            kept = snapshot.topics[topic.name]
            if topic.apply(kept, snapshot.state, fill=fill) and not topic.to_fill:
                worker.unsynced.pop(topic, None)
            worker.pump.wake_all_of(topic)
            if kept.entries and topic.base > worker.watermark:
                worker.ahead[topic] = None
        if worker.ahead:
            self._next_tick = 0


def _kind(topic: Topic) -> tuple[bool, bool]:
    """Say how a topic is read: whether all of it, and whether it never was."""
    return topic.to_fill, topic.base == NEVER
