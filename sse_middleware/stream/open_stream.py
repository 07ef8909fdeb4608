"""`OpenStream`: a stream from its opening to the last byte, whatever happens in between.

Rules of this file:
- Two tasks run beside the producer: the writer, and the watcher of the connection. They never
  raise: what goes wrong in them is kept for the endpoint's task.
- Everything that was yielded before an exception is delivered, then the exception goes on.
- A cancelled producer is cancelled once. It is closed in any case, in the endpoint's task and
  within `cleanup_timeout` seconds.
- `closing` says how a stream ends before its producer does.
"""

import logging
from typing import TYPE_CHECKING, Protocol

import anyio
from starlette.types import Send

from sse_middleware.event_loop.cancel_scope import EdgeCancelScope
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Ending
from sse_middleware.stream.closing import UNREAD_MESSAGE_TIMEOUT, Closing
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.opening import Opening
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

FAREWELL_TIMEOUT = 1.0
"""Seconds for the farewell where the server has cancelled the request of a client that is still
there: a server cancels a thousand requests at once, and all of them send one."""


class _Closable(Protocol):
    """What produced the frames."""

    async def close(self, within: float) -> None:
        """Release what is held, in this many seconds."""


class OpenStream:
    """One open response body of events.

    Args:
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        control: what the stream itself says.
        scope: guards the producer.
        opening: how the response begins, and the stream's slot.
        cooperative: whether the producer ends by itself if it waits for the end of the connection.
    """

    __slots__ = (
        "_closing",
        "_connection",
        "_outbox",
        "_scope",
        "_settings",
        "_slot",
        "_writer",
        "_written",
        "drain",
    )

    def __init__(
        self,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        control: ControlFrames,
        scope: EdgeCancelScope,
        opening: Opening,
        *,
        cooperative: bool,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._scope = scope
        self._slot = opening.slot
        self._written = False
        self._outbox = outbox = Outbox(settings.max_buffer)
        self._closing = closing = Closing(
            outbox, scope, connection, settings, control, cooperative=cooperative
        )
        self.drain: Callable[[float], None] = closing.drain
        """Ends the stream after `drain_grace` and this many seconds."""
        if settings.send_timeout is not None:
            outbox.ready.limit_sends(settings.send_timeout, closing.send_timed_out)
        self._writer = Writer(
            outbox, send, control.same_ping, closing.ping, settings, opening, closing.close_early
        )
        if not connection.shared:
            self._writer.has_sent = anyio.Event()
        scope.on_outer_cancel(closing.request_cancelled)

    def start(self, tasks: DaemonTaskGroup) -> Outbox:
        """Begin the response, and return where the producer puts its frames."""
        tasks.create_task(self._write(self._closing))
        tasks.create_task(self._watch(self._closing))
        self._slot.opened(self)
        return self._outbox

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return self._writer.events, self._writer.size, self._outbox.size

    async def settle(self, error: BaseException) -> bool:
        """Keep what the producer raised. Returns false for what must go on as it is."""
        closing, scope = self._closing, self._scope
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if not (cancelled and scope.is_cancelled()):
            started = self._writer.started or self._outbox.size > 0
            closing.producer_failed(error, started=started)
            return True
        if not scope.cancel_called:
            if self._may_send_farewell() and scope.uncancel() and await self._send_farewell():
                return True
            closing.request_cancelled()
        return False

    async def close_producer(self, producer: _Closable) -> None:
        """Close the producer, and bound that."""
        self._outbox.close(Ending.COMPLETE)  # unless it has ended otherwise
        # No scope of our own around it: a generator that stands at a `yield` may be inside of some.
        self._scope.begin_cleanup()
        try:
            await producer.close(self._settings.cleanup_timeout)
        except Exception as error:
            self._closing.cleanup_failed(error)

    async def finish(self, producer: object) -> None:
        """Wait until all is sent."""
        closing = self._closing
        if self._scope.cleanup_timed_out:
            logger.warning("%r took more than cleanup_timeout to close", producer)
        try:
            await self._until_written()
        except anyio.get_cancelled_exc_class():
            closing.request_cancelled()
            raise
        answered = self._writer.started or self._connection.complete
        if closing.client_left and not answered and closing.failure is None:
            await self._answer_nobody()

    def release(self) -> BaseException | None:
        """Give back what the stream held. Returns what the endpoint's task must raise."""
        closing = self._closing
        failure, closing.failure = closing.failure, None
        closing.cancel_timers()
        self._slot.closed(closing.reason or CloseReason.FINISHED, failure)
        self._slot.give_back()
        return failure

    def _may_send_farewell(self) -> bool:
        return self._slot.draining and not self._outbox.closed

    async def _send_farewell(self) -> bool:
        """Send the farewell where a server that stops has cancelled what it doesn't wait for.

        Returns whether it was sent. Then the request ends as any other: daphne stops as soon as the
        first of its requests has ended as cancelled.
        """
        self._closing.put_farewell(CloseReason.DRAINED)
        with anyio.move_on_after(FAREWELL_TIMEOUT, shield=True):
            await self._until_written()
        return self._written

    async def _until_written(self) -> None:
        outbox = self._outbox
        while not (self._written or outbox.ending is Ending.ABANDONED):
            await outbox.moved.wait()

    async def _answer_nobody(self) -> None:
        """Send the status line although the client has left: a middleware above may wait for it."""
        with anyio.move_on_after(
            UNREAD_MESSAGE_TIMEOUT, shield=True
        ):  # some servers block for ever
            try:
                await self._writer.send_nothing()
            except Exception as error:
                logger.debug("the status line could not be sent: %r", error)

    async def _watch(self, closing: Closing) -> None:
        try:
            if self._writer.has_sent is not None:
                await self._writer.has_sent.wait()
            await self._connection.watch(closing.connection_lost)
        except Exception as error:
            closing.fail(error)

    async def _write(self, closing: Closing) -> None:
        # Few frames deep: those of a silent stream stay in memory, and each keep-alive resumes
        # every one of them.
        writer = self._writer
        try:
            try:
                if await writer.commit():
                    await writer.send_frames()
            except OSError:
                closing.send_failed()
            except Exception as error:
                closing.fail(error)
            if self._outbox.unread:
                await writer.discard()
        finally:
            writer.close()
            self._written = True
            closing.writer_stopped()
