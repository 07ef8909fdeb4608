"""`Stream`: runs the work that makes a response, and the stream that it opens while it runs.

Rules of this file:
- The work keeps the endpoint's task, so context variables, cancel scopes and dependencies stay
  whole. A native stream opens at once. An adopted one opens when the application's response turns
  out to be events, in the middle of the application's own `send`.
- Until then there is only the scope that guards the work: no outbox, no tasks.
- Once it is open, a watcher of the connection accompanies the producer, unless that watches it
  itself, and a writer while there is something to send. These tasks never raise: their errors are
  kept for the endpoint's task, which raises them alone.
- The caller of `start` awaits the work itself, so an open stream keeps no coroutine of this object.
  What the work raises is kept, and `finish` goes on with it.
- Everything that was yielded before an exception is delivered, then the exception goes on.
- A cancelled producer is cancelled once. It is closed in any case, in the endpoint's task and
  within `cleanup_timeout` seconds.
- Its base, `Closing`, says how a stream ends before its producer does.
"""

import logging
from asyncio import Task
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from math import inf
from typing import Any

import anyio
from starlette.types import Send

from sse_middleware.errors import printable
from sse_middleware.event_loop.cancel_scope import edge_cancel_scope, is_only, uncancelled_block
from sse_middleware.event_loop.raised_again import raise_again
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Ending, Work
from sse_middleware.stream.closing import UNREAD_MESSAGE_TIMEOUT, Closing
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.stream.writer import Writer

logger = logging.getLogger(__name__)

Begin = Callable[[], Coroutine[Any, Any, None]]
"""Returns the work of a stream."""

FAREWELL_TIMEOUT = 1.0
"""Seconds for the farewell if the server has cancelled the request of a client that is still there:
a server cancels a thousand requests at once, and each of them sends a farewell."""

_SWALLOWS = (
    "%s has swallowed every cancellation until one second after cleanup_timeout: it is abandoned, "
    "and another stream may have its place"
)

_WAITS_FOR_THREAD = (
    "%s has waited for a worker thread until one second after cleanup_timeout: it is abandoned, "
    "and keeps its place among the streams until the thread has returned"
)


class Stream(Closing):
    """The work of a response that is, or may become, a body of events.

    Args:
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        control: makes the frames of the stream itself.
        shielding: whether a cancelled scope outside cancels the work only once.
        waits: whether the work runs nothing of the application's, and only waits for its end.
        running_in: the asyncio task that runs the work already, if there is one.
    """

    __slots__ = ("_kept", "_send", "_writer", "is_open")

    def __init__(
        self,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        control: ControlFrames,
        *,
        shielding: bool = True,
        waits: bool = False,
        running_in: Task[Any] | None = None,
    ) -> None:
        timeout = settings.cleanup_timeout
        scope = (
            uncancelled_block(timeout)
            if waits
            else edge_cancel_scope(timeout, shielding=shielding, task=running_in)
        )
        if running_in is not None:
            scope.__enter__()  # there is no `start`
        super().__init__(connection, settings, control, scope, daemon_task_group())
        self._send = send
        self._kept: BaseException | None = None
        self.is_open = False
        """Whether it has been opened."""

    def open(self, start: StreamStart, work: Work) -> Any:
        """Begin the response, and return where the producer puts its frames: what `start` makes.

        Until then the work is on its own, as if there were no stream.
        """
        scope = self._scope
        self.slot = slot = start.slot
        self._work = work
        if start.cooperative:
            self._late_after = inf
        self._outbox = outbox = start.outbox(self.settings.max_buffer, stepwise=scope.stepwise)
        self._writer = writer = Writer(self, outbox, self._send, start, self._tasks)
        outbox.writer = writer
        self.is_open = True
        scope.tell(self)
        if slot.limited:
            scope.note_threads()
        slot.opened(self)
        outbox.accompany(self._tasks, self._watch, self._connection.needs_own_task)
        if start.at_once:
            writer.wake()
        elif not scope.stepwise:
            writer.wait()
        return outbox

    def refuse(self) -> None:
        """Cancel the work. Its stream is not opened, and never will be."""
        self._scope.cancel()

    def start(self, begin: Begin) -> Awaitable[None]:
        """Begin the work, and return what runs it. Keep what either raises, and then `finish`.

        Args:
            begin: returns the work as a coroutine. It opens a native stream at once. The coroutine
                of an adopted one opens it while it runs.
        """
        if not self._tasks.entered:
            return self._enter_and_run(begin)
        self._scope.__enter__()
        return self._scope.run(begin())

    async def _enter_and_run(self, begin: Begin) -> None:
        await self._tasks.__aenter__()
        self._scope.__enter__()
        await self._scope.run(begin())

    def keep(self, error: BaseException) -> None:
        """Keep what the work has raised, for `finish`."""
        self._kept = error

    @property
    def has_failed(self) -> bool:
        """Whether the work has raised anything."""
        return self._kept is not None

    async def finish(self) -> None:
        """Send everything that the work has put, and end the stream.

        Returns when the body is complete or the client has gone. Raises what the work raised, what
        `send` raised, and a cancellation from outside.
        """
        error, self._kept = self._kept, None
        failure: BaseException | None = None
        try:
            async with self._tasks:
                with self._scope:
                    try:
                        if error is not None and not (self.is_open and await self._settle(error)):
                            raise_again(error)
                    finally:
                        del error  # its traceback holds this frame
                        if self.is_open:
                            await self._close_work()
                if self.is_open:
                    await self._finish()
        finally:
            if self.is_open:
                failure = self._end()
                del self._writer  # it refers to this object
        if failure is not None:
            try:
                raise_again(failure)
            finally:
                del failure  # its traceback holds this frame

    def on_suspend(self) -> None:
        """Send what waits: the work suspends."""
        if self._outbox.raised:
            self._writer.run()
        elif not self._writer.waiting:
            self._writer.wait()

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return self._writer.events, self._writer.size, self._outbox.size

    def last_id(self) -> str:
        """Return the last id that was sent, ``""`` if there was none."""
        writer = self._writer
        if writer.ids is not None:
            return writer.ids.last
        return self._outbox.last_id(sending=writer.send_began < inf) if writer.size else ""

    async def _settle(self, error: BaseException) -> bool:
        """Keep what the producer raised. Returns false for what the caller must raise again."""
        scope = self._scope
        cancelled = is_only(error, scope.cancelled_type)
        if cancelled and scope.cancel_called:
            # A task group of the generator's may have wrapped our own cancellation.
            return isinstance(error, BaseExceptionGroup)
        if not (cancelled and scope.is_cancelled()):
            started = self._writer.started or self._outbox.size > 0
            self.producer_failed(error, started=started)
            return True
        if self._may_send_farewell() and scope.uncancel() and await self._send_farewell():
            return True
        self.request_cancelled()
        return False

    async def _close_work(self) -> None:
        """Close what produced the frames, and bound that."""
        if not self._outbox.closed:
            # In a step of the work the writer need not be woken.
            (self._outbox.end if self._scope.stepwise else self._outbox.close)(Ending.COMPLETE)
        if self._scope.abandoned:
            return
        try:
            close = self._work.close(self.settings.cleanup_timeout)
            if close is not None:
                # No further scope: a generator at a `yield` may be inside scopes of its own.
                self._scope.begin_cleanup()
                await self._scope.run(close)
        except Exception as error:
            self.cleanup_failed(error)
        except BaseExceptionGroup as group:
            # A task group around a `yield` wraps what closes the generator.
            _, rest = group.split((GeneratorExit, self._scope.cancelled_type))
            if rest is not None:
                self.cleanup_failed(rest)

    async def _finish(self) -> None:
        """Wait until all is sent."""
        if self._scope.cleanup_timed_out and not self._scope.abandoned:
            logger.warning("%s took more than cleanup_timeout to close", printable(self._work))
        if self._outbox.ending is not Ending.ABANDONED:  # as it is where the client has left
            try:
                await self._until_written()
            except self._scope.cancelled_type:
                self.request_cancelled()
                raise
        answered = self._writer.started or self._connection.complete
        if self.client_left and not answered and self.failure is None:
            await self._answer_nobody()

    def _end(self) -> BaseException | None:
        """End what may outlast the work. Returns what it keeps for the endpoint's task."""
        failure, self.failure = self.failure, None
        self.cancel_timers()
        self._writer.close()
        self._outbox.release()
        if not self.slot.ended:
            reason, error = self.reason, failure
            if reason is None:
                reason, error = self._outbox.conclusion()
            self.slot.closed(reason, error)
            self._scope.when_idle(partial(self._work.when_idle, self.slot.give_back))
        return failure

    def end_unfinished(self) -> None:
        """End a body that its work has left unfinished. It is broken, unless the server stops."""
        if self.slot.draining and self._outbox.between_events:
            self.put_farewell(CloseReason.DRAINED)
        else:
            self._outbox.close(Ending.BROKEN)

    def on_outer_cancel(self) -> None:
        """Give up: the request is cancelled."""
        self.request_cancelled()

    def on_abandon(self) -> None:
        """Give up work that nothing can end. It keeps its slot if it waits for a thread."""
        logger.error(
            _WAITS_FOR_THREAD if self._scope.in_thread else _SWALLOWS, printable(self._work)
        )
        self._outbox.close(Ending.ABANDONED)
        self._end()

    def _may_send_farewell(self) -> bool:
        return self.slot.draining and not self._outbox.closed

    async def _send_farewell(self) -> bool:
        """Send the farewell, although a server that stops has cancelled the request.

        Returns whether it was sent. Then the request ends normally: daphne stops as soon as the
        first of its requests has ended as cancelled.
        """
        self.put_farewell(CloseReason.DRAINED)
        with anyio.move_on_after(FAREWELL_TIMEOUT, shield=True):
            await self._until_written()
        return self._writer.ended

    async def _until_written(self) -> None:
        outbox = self._outbox
        if outbox.raised:
            self._writer.run()
        while not (self._writer.ended or outbox.ending is Ending.ABANDONED):
            await outbox.moved.wait()

    async def _answer_nobody(self) -> None:
        """Send the status line although the client has left: a middleware above may wait for it."""
        # Some servers block for ever.
        with anyio.move_on_after(UNREAD_MESSAGE_TIMEOUT, shield=True):
            try:
                await self._writer.send_nothing()
            except Exception as error:
                logger.debug("the status line could not be sent: %s", printable(error))

    def _watch(self) -> Coroutine[Any, Any, None]:
        if self._connection.shared:
            return self._connection.watch(self)
        return self._watch_after(self._writer.first_frame())

    async def _watch_after(self, first_frame: anyio.Event) -> None:
        await first_frame.wait()
        await self._connection.watch(self)


async def run_stream(stream: Stream, begin: Begin) -> None:
    """Run the work of a stream from its beginning to its end."""
    try:
        work = stream.start(begin)
        del begin  # what only the start needs ends here
        await work
    except BaseException as error:
        stream.keep(error)
    await stream.finish()
