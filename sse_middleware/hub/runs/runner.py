"""`Runner`: produces a run, in a task of the hub's own.

Rules of this file:
- The task has the context variables of whoever asked for the run. It outlives the request.
- Whoever asked waits until the run has begun, or until it is known that another one produces it.
- The generator is cancelled once, and has `cleanup_timeout` seconds for its ``finally`` blocks. One
  that can yield nothing more has `finish_timeout` seconds.
- What happens first is how the run ends.
- An error is recorded as `error_event` makes it. Its traceback goes to the log.
"""

import logging
from collections.abc import Callable

from anyio import Event

from sse_middleware.content import checked_content, origin_of
from sse_middleware.errors import RunTooLargeError, printable
from sse_middleware.event_loop.cancel_scope import EdgeCancelScope, edge_cancel_scope, is_only
from sse_middleware.event_loop.loop import call_later
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.hub.run import RUN_TOPIC, NewRun, Run, RunState
from sse_middleware.hub.runs.log import RunLog
from sse_middleware.hub.runs.log_writer import LogWriter
from sse_middleware.hub.runs.plan import LEASE, RunPlan, kept_while_running
from sse_middleware.hub.runs.run_encoder import RunEncoder, without_id
from sse_middleware.hub.store_calls import retried
from sse_middleware.hub.worker import Worker
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.running_request import RUNNING_REQUEST
from sse_middleware.stream.abc import Producer
from sse_middleware.stream.closing import end_work
from sse_middleware.stream.producers import close_producer, producer_of

logger = logging.getLogger(__name__)


class Runner:
    """Begins a run, unless there is one, and produces it.

    Args:
        worker: whose store it is written to.
        plan: how it is produced.
        token: a new one.
        reported: what `ItemHints` has reported about runs.
    """

    def __init__(self, worker: Worker, plan: RunPlan, token: str, reported: set[str]) -> None:
        self.ended = Event()
        """Set when the run has ended, or belongs to another one."""
        self.decided = Event()
        """Set when `run` is known, or why there is none."""
        self.run: Run | None = None
        """The run of the topic, this one's or another one's."""
        self._refusal: Exception | None = None
        self.token = token
        self._store = worker.store
        self._plan = plan
        self._clock = worker.clock
        self._asked = worker.clock()
        self._reported = reported
        self._control = ConfiguredControlFrames(ControlFrameRules(plan.settings))
        self._log = RunLog(plan.max_bytes, self._too_large)
        self._writer = LogWriter(worker, plan, token, self._log, self.stop, self._fenced)
        self._producer: Producer | None = None
        self._scope: EdgeCancelScope | None = None
        self._state: RunState | None = None
        self._failure: BaseException | None = None
        self._timers: list[Callable[[], object]] = []

    @property
    def key(self) -> str:
        """What names the run."""
        return self._plan.topic.removeprefix(RUN_TOPIC)

    @property
    def began(self) -> int | None:
        """The clock at which the run began. ``None`` if it hasn't, or is another one's."""
        run = self.run
        return run.start if run is not None and run.token == self.token else None

    @property
    def state(self) -> RunState:
        """What the run does, or how it has ended."""
        if self._state is None and self.ended.is_set():
            return RunState.DONE
        return self._state or RunState.RUNNING

    @property
    def size(self) -> int:
        """How many bytes its events have."""
        return self._log.taken

    async def work(self) -> None:
        """Begin the run and produce it. It raises nothing but a cancellation."""
        RUNNING_REQUEST.set(None)
        try:
            if await self._begins():
                await self._produce_and_write()
        finally:
            self.decided.set()
            self.ended.set()
            self._let_go()

    def _let_go(self) -> None:
        """Refer to nothing that refers to this. So nothing waits for the garbage collector."""
        self._producer = self._scope = self._failure = None
        self._log.let_go()
        self._writer.let_go()

    def raise_refusal(self) -> None:
        """Raise why there is no run, if there is none."""
        refusal, self._refusal = self._refusal, None
        try:
            if refusal is not None:
                raise refusal
        finally:
            del refusal  # its traceback holds this frame

    def stop(self) -> None:
        """End the run: it is not wanted any more."""
        self._end(RunState.STOPPED)

    def drain(self) -> None:
        """End the run: the hub is closed."""
        self._end(RunState.DRAINED)

    async def _begins(self) -> bool:
        """Win the lease. Returns false if there is a run, or if the store is or was away."""
        began, plan = self._clock(), self._plan
        keep = kept_while_running(plan.ttl)
        new = NewRun(self.token, keep, LEASE, plan.restart, plan.unwatched_limit)
        try:  # the same token doesn't begin another one
            self.run = await retried(lambda: self._store.begin_run(plan.topic, new), self._asked)
        except Exception as error:
            self._refusal = error
            return False
        self._writer.begin(began)
        if self.run.token != self.token:
            return False
        if not self.run.is_running:  # the answer came after the end of the lease
            self._fenced()
            return False
        if self.run.stopping:  # somebody was quicker than the answer
            self.stop()
        return True

    async def _produce_and_write(self) -> None:
        async with daemon_task_group() as tasks:
            tasks.create_task(self._writer.run())
            if self._makes_producer():
                self.decided.set()
                await self._produce()
            state = self._state or RunState.DONE
            self._writer.end(state, self._last_events())
            await self._writer.ended.wait()

    def _makes_producer(self) -> bool:
        """Call the factory. Returns false if that fails, which whoever asked for the run learns."""
        settings = self._plan.settings
        try:
            first = without_id(self._control.first())  # it may fail, so it is made first
            content = checked_content(self._plan.factory())
            name = origin_of(None, content)
            for_browsers = settings.preset is None
            hints = ItemHints(name, self._reported, event_source=for_browsers, of_hub=True)
            encoding = ItemEncoding(settings, self._plan.item_type, name)
            self._producer = producer_of(content, RunEncoder(encoding, hints))
            self._control = ConfiguredControlFrames(ControlFrameRules(settings), hints)
            self._log.put(first)
        except Exception as error:
            self._refusal = error
            self._fail(error)
            return False
        return True

    async def _produce(self) -> None:
        """Have everything produced, and close the generator."""
        producer = self._producer
        assert producer is not None  # noqa: S101 - it was made
        self._scope = scope = edge_cancel_scope(self._plan.settings.cleanup_timeout)
        scope.tell(self)
        try:
            with scope:
                await self._produce_and_close(producer, scope)
        finally:
            for cancel in self._timers:
                cancel()

    async def _produce_and_close(self, producer: Producer, scope: EdgeCancelScope) -> None:
        try:
            if self._state is None:
                await scope.run(producer.produce(self._log))
        except BaseException as error:
            if not self._settles(error, scope):
                raise
        finally:
            self._log.close()
            await self._close(producer, scope)

    def _settles(self, error: BaseException, scope: EdgeCancelScope) -> bool:
        """Keep what was raised. Returns false for a cancellation, which must go on."""
        if is_only(error, scope.cancelled_type) and scope.is_cancelled():
            return scope.cancel_called and isinstance(error, BaseExceptionGroup)
        self._fail(error)
        return True

    async def _close(self, producer: Producer, scope: EdgeCancelScope) -> None:
        if scope.abandoned:
            return
        scope.begin_cleanup()
        try:
            await scope.run(close_producer(producer, self._plan.settings.cleanup_timeout))
        except Exception as error:
            self._fail(error)

    def _end(self, state: RunState) -> None:
        """End the run early, unless it ends already."""
        if self._state is not None or self._log.closed:
            return
        self._state = state
        busy = not self._log.awaited  # otherwise it ends by itself
        self._log.close()
        if busy and self._scope is not None and self._producer is not None:
            timeout = self._plan.settings.finish_timeout
            end_work(self._producer, self._scope, timeout, self._call_later)

    def _call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers.append(call_later(seconds, callback))

    def _fail(self, error: BaseException) -> None:
        logger.error("a run failed: %s", self._name(), exc_info=error)
        if self._state is None:
            self._state, self._failure = RunState.ERROR, error

    def _too_large(self) -> None:
        """End the run: its events take too much."""
        self._failure = RunTooLargeError(self._plan.max_bytes)
        logger.error("a run failed: %s: %s", self._name(), self._failure)
        self._end(RunState.ERROR)

    def _fenced(self) -> None:
        """End the run: nothing more of it can be written."""
        self._end(RunState.ABORTED)

    def on_suspend(self) -> None:
        """Do nothing: the writer has a task of its own. See `Block`."""

    def on_outer_cancel(self) -> None:
        """Do nothing: no scope surrounds the hub's tasks. See `Block`."""

    def on_abandon(self) -> None:
        """Know that nothing could end the generator. See `Block`."""
        logger.error("a run swallows each cancellation, and goes on: %s", self._name())

    def _last_events(self) -> list[bytes]:
        """Return the event that tells an error, if there is to be one."""
        failure = self._failure
        if self._state is not RunState.ERROR or not isinstance(failure, Exception):
            return []
        try:
            frame = without_id(self._control.of_error(failure))
        except Exception:
            logger.exception("no event tells the error of a run: %s", self._name())
            return []
        return [frame] if frame else []

    def _name(self) -> str:
        return printable(self._plan.topic.removeprefix(RUN_TOPIC))
