"""One open stream: from the first item to the last byte, whatever happens in between.

Rules of this file:
- The producer keeps the endpoint's task. An anyio task group adds two children: the writer, and the
  watcher of the connection.
- The children never raise. What goes wrong in them is kept, the producer is cancelled, and the
  endpoint's task raises it, alone, after the task group: no ExceptionGroup leaves this file.
- Everything that was yielded before an exception is delivered, then the exception goes on.
- A producer that waits for the end of the connection has a moment to end by itself. Any other is
  cancelled when its client leaves.
- A cancelled producer is cancelled once, and its source is closed in any case, in this task and
  within `cleanup_timeout` seconds.
"""

import logging
from collections.abc import Callable
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from starlette.types import Message, Send

from sse_middleware.backends import cancel_once, signal
from sse_middleware.connection import Connection
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.settings import StreamSettings
from sse_middleware.writer import Writer

logger = logging.getLogger(__name__)

LAST_WORDS = 0.1
"""Seconds for a message that no client will read: it takes none, unless it would take all."""

HEEDING = 1.0
"""Seconds that a producer has to end by itself when it has read that its client left: most need
none, and some do nothing before their next event."""


class Feed(Protocol):
    """What a stream sends: frames, put into its outbox."""

    async def feed(self, sink: Outbox) -> None:
        """Put every frame, and wait for room when told to."""

    async def close(self, within: float) -> None:
        """Release what is held, also if nothing was ever fed, in so many seconds."""


class Stream:
    """One response body of events.

    Args:
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        ping: makes a keep-alive.
        farewell: makes the last frame of a stream that failed, or ``b""``.
        heeding: whether the producer ends by itself if it waits for the end of the connection.
    """

    def __init__(
        self,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        ping: Callable[[], bytes],
        farewell: Callable[[Exception], bytes],
        *,
        heeding: bool = False,
    ) -> None:
        self._connection = connection
        self._farewell = farewell
        self._heeding = heeding
        self._cleanup_timeout = settings.cleanup_timeout
        self._outbox = Outbox(settings.max_buffer)
        self._writer = Writer(self._outbox, send, ping, settings)
        self._producing = cancel_once(settings.cleanup_timeout)
        self._produced = self._written = self._over = False
        self._client_left = self._cancelled_outside = False
        self._writer_ended = signal()
        self._failure: BaseException | None = None

    async def run(self, source: Feed, start: Message | None = None) -> None:
        """Send everything that `source` feeds.

        Returns when the body is complete or the client has gone. Raises what the source raised,
        what `send` raised, and a cancellation from outside.

        Args:
            source: where the events come from.
            start: the ``http.response.start`` message; without it the source may `open` the stream.
        """
        async with anyio.create_task_group() as self._tasks:
            with self._producing:
                if start is not None:
                    self.open(start)
                try:
                    await self._produce(source)
                finally:
                    await self._close(source)
            await self._finish(source)
            self._over = True
            self._tasks.cancel_scope.cancel()  # an exception ends the group by itself
        if self._cancelled_outside:
            await checkpoint_if_cancelled()
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    def open(self, start: Message) -> None:
        """Begin the response. Until then the source is on its own, as if there were no stream.

        Args:
            start: the ``http.response.start`` message.
        """
        self._writer.start = start
        self._producing.shield()
        self._tasks.start_soon(self._write)
        self._tasks.start_soon(self._watch)

    @property
    def outbox(self) -> Outbox:
        """Where an open stream's source puts its frames."""
        return self._outbox

    async def _produce(self, source: Feed) -> None:
        try:
            await source.feed(self._outbox)
        except BaseException as error:
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            if cancelled and self._producing.is_cancelled():
                raise
            self._failure = error
            self._say_farewell(error)
            self._outbox.close(Ending.BROKEN)
        else:
            self._outbox.close(Ending.COMPLETE)
        self._produced = True
        if self._writer.start:
            await self._until_written()

    async def _until_written(self) -> None:
        while not (self._written or self._outbox.ending is Ending.ABANDONED):
            await self._writer_ended.wait()

    def _say_farewell(self, error: BaseException) -> None:
        begun = self._writer.started or self._outbox.size
        if not isinstance(error, Exception) or self._outbox.closed or not begun:
            return
        try:
            self._outbox.put(self._farewell(error))
        except Exception:
            logger.exception("error_event failed on %r", error)

    async def _close(self, source: Feed) -> None:
        # No scope of our own around it: a generator that stands at a `yield` may be inside of some.
        self._producing.begin_cleanup()
        try:
            await source.close(self._cleanup_timeout)
        except Exception as error:
            self._failure = self._failure or error

    async def _finish(self, source: Feed) -> None:
        if self._producing.gave_up:
            logger.warning("%r took more than cleanup_timeout to close", source)
        answered = self._writer.started or self._connection.complete
        if self._client_left and not answered and self._failure is None:
            await self._answer_nobody()

    async def _answer_nobody(self) -> None:
        """Send the status line although the client has left: a middleware above may wait for it."""
        with anyio.move_on_after(LAST_WORDS, shield=True):  # some servers then block for ever
            try:
                await self._writer.send_nothing()
            except Exception as error:
                logger.debug("nobody was answered: %r", error)

    def _leave(self) -> None:
        """Notice the end of the connection."""
        if self._writer.completing:  # it is our own last message that ends it
            if not self._connection.complete:  # and the server is not done with that
                self._tasks.start_soon(self._abandon_late)
            return
        self._client_left = True
        ends_itself = self._heeding and self._connection.heeded
        # What a source does behind its last frame is not for this client.
        spare = self._outbox.closed
        if ends_itself and not spare:
            self._tasks.start_soon(self._cancel_late)
        self._abandon(spare=ends_itself or spare)

    async def _abandon_late(self) -> None:
        # hypercorn puts an end to the request first, then to the connection, all in one `send`.
        await anyio.sleep(LAST_WORDS)
        self._abandon(spare=True)

    async def _cancel_late(self) -> None:
        await anyio.sleep(HEEDING)
        self._producing.cancel()

    def _abandon(self, *, spare: bool = False) -> None:
        """Give up what waits, and the producer, unless it is to be spared."""
        busy = not (self._outbox.awaited or self._produced or spare)
        self._outbox.close(Ending.ABANDONED)
        self._writer_ended.set()
        if busy:  # otherwise the producer wakes up by itself, and can be closed at its `yield`
            self._producing.cancel()

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._abandon()

    async def _watch(self) -> None:
        try:
            if not self._connection.shared:
                await self._writer.has_sent.wait()
            await self._connection.watch(self._leave)
            await anyio.sleep_forever()  # what follows the response may still be cancelled
        except anyio.get_cancelled_exc_class():
            if not self._over:
                self._cancelled_outside = True
                self._abandon()
            raise
        except Exception as error:
            self._fail(error)

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except OSError:
            self._leave()  # from ASGI 2.4 on, this says that the client has gone
        except Exception as error:
            self._fail(error)
        finally:
            self._written = True
            self._writer_ended.set()
