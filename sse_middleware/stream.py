"""One open stream: from the first item to the last byte, whatever happens in between.

Rules of this file:
- The producer keeps the endpoint's task. An anyio task group adds two children: the writer, and the
  watcher of the connection.
- The children never raise. What goes wrong in them is kept, the producer is cancelled, and the
  endpoint's task raises it, alone, after the task group: no ExceptionGroup leaves this file.
- Everything that was yielded before an exception is delivered, then the exception goes on.
- A producer that waits for the end of the connection has a moment to end by itself. Any other is
  cancelled when its client leaves.
- A stream that is ended early, by a drain or by a limit, says farewell and ends its body in good
  order. Its producer is cancelled as if the client had left.
- A cancelled producer is cancelled once, and its source is closed in any case, in this task and
  within `cleanup_timeout` seconds.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
from anyio.lowlevel import checkpoint_if_cancelled
from starlette.types import Send

from sse_middleware.backends import later
from sse_middleware.cancellation import cancel_once
from sse_middleware.connection import Connection
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.signals import signal
from sse_middleware.writer import Opening, Writer

if TYPE_CHECKING:
    from sse_middleware.registry import Slot

logger = logging.getLogger(__name__)

Cause = TypeVar("Cause")

LAST_WORDS = 0.1
"""Seconds for a message that no client will read: it takes none, unless it would take all."""

PARTING = 1.0
"""Seconds for the farewell to a client that is there, of a request that its server has cancelled: a
thousand requests are cancelled at once, and all of them have something to say."""

HEEDING = 1.0
"""Seconds that a producer has to end by itself when it has read that its client left: most need
none, and some do nothing before their next event."""


class Feed(Protocol):
    """What a stream sends: frames, put into its outbox."""

    async def feed(self, sink: Outbox) -> None:
        """Put every frame, and wait for room when told to."""

    async def close(self, within: float) -> None:
        """Release what is held, also if nothing was ever fed, in so many seconds."""


class OwnFrames(Protocol):
    """What a stream says of its own accord."""

    def ping(self) -> bytes:
        """Make a keep-alive."""

    def of_error(self, error: Exception) -> bytes:
        """Make the last frame of a stream that failed, or ``b""``."""

    def farewell(self, reason: CloseReason) -> bytes:
        """Make the last frame of a stream that is ended early, or ``b""``."""


class Stream:
    """One response body of events.

    Args:
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        own: what it says of its own accord.
        heeding: whether the producer ends by itself if it waits for the end of the connection.
    """

    __slots__ = (
        "_cancelled_outside",
        "_client_left",
        "_connection",
        "_failure",
        "_heeding",
        "_outbox",
        "_over",
        "_own",
        "_produced",
        "_producing",
        "_reason",
        "_send",
        "_settings",
        "_slot",
        "_tasks",
        "_timers",
        "_writer",
        "_writer_ended",
        "_written",
    )

    _writer: Writer

    def __init__(
        self,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        own: OwnFrames,
        *,
        heeding: bool = False,
    ) -> None:
        self._send = send
        self._connection = connection
        self._settings = settings
        self._own = own
        self._heeding = heeding
        self._outbox = Outbox(settings.max_buffer)
        self._slot: Slot | None = None
        self._writer_ended = signal()
        self._producing = cancel_once(settings.cleanup_timeout)
        self._produced = self._written = self._over = False
        self._client_left = self._cancelled_outside = False
        self._reason: CloseReason | None = None
        self._timers: tuple[Callable[[], object], ...] = ()
        self._failure: BaseException | None = None

    async def run(self, source: Feed, opening: Opening | None = None) -> None:
        """Send everything that `source` feeds.

        Returns when the body is complete or the client has gone. Raises what the source raised,
        what `send` raised, and a cancellation from outside.

        Args:
            source: where the events come from.
            opening: how the response begins; without it the source may `open` the stream.
        """
        try:
            async with anyio.create_task_group() as self._tasks:
                with self._producing:
                    if opening is not None:
                        self.open(opening)
                    try:
                        await self._produce(source)
                    finally:
                        await self._close(source)
                await self._finish(source)
                self._over = True
                self._tasks.cancel_scope.cancel()  # an exception ends the group by itself
        finally:
            failure, self._failure = self._failure, None
            for cancel in self._timers:
                cancel()
            if self._slot is not None:
                reason = self._reason or CloseReason.FINISHED
                self._slot.closed(reason, anyio.current_time(), failure)
        if self._cancelled_outside:
            await checkpoint_if_cancelled()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    def open(self, opening: Opening) -> None:
        """Begin the response. Until then the source is on its own, as if there were no stream."""
        settings = self._settings
        self._slot = opening.slot
        outbox, send = self._outbox, self._send
        outbox.ready.share(opening.slot.alarms)
        if settings.send_timeout is not None:
            send = outbox.ready.within(settings.send_timeout, send, self._on_overdue)
        self._writer = Writer(outbox, send, self._ping, settings, opening, self._end)
        if not self._connection.shared:
            self._writer.has_sent = anyio.Event()
        self._producing.shield()
        self._tasks.start_soon(self._write)
        self._tasks.start_soon(self._watch)
        opening.slot.opened(self, anyio.current_time())

    @property
    def outbox(self) -> Outbox:
        """Where the source of an open stream puts its frames."""
        return self._outbox

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return self._writer.events, self._writer.size, self._outbox.size

    def drain(self, delay: float) -> None:
        """End after `drain_grace` and so many seconds."""
        end = partial(self._end, CloseReason.DRAINED)
        self._later(self._settings.drain_grace + delay, end)

    def refuse(self) -> None:
        """Cancel the source of a stream that was not opened, and never will be."""
        self._producing.cancel()

    def _later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers = (*self._timers, later(seconds, callback))

    def _end(self, reason: CloseReason) -> None:
        """End the body in good order, and cancel the source."""
        self._later(self._settings.cleanup_timeout, partial(self._give_up, reason))
        if self._outbox.closed:
            return
        busy = not self._outbox.awaited
        self._say_farewell(reason)
        # One that listens is about to read that its response is complete.
        if self._heeding and self._connection.listened:
            self._later(HEEDING, self._producing.cancel)
        elif busy:
            self._producing.cancel()

    def _give_up(self, reason: CloseReason) -> None:
        """End what has not ended in good order: its client doesn't read, or its source goes on."""
        self._note(reason)
        self._abandon()

    def _say_farewell(self, reason: CloseReason) -> None:
        self._note(reason)
        self._put(self._own.farewell, reason)
        self._outbox.close(Ending.COMPLETE)

    def _note(self, reason: CloseReason) -> None:
        """Keep the first reason: the others follow from it."""
        self._reason = self._reason or reason

    async def _produce(self, source: Feed) -> None:
        try:
            await source.feed(self._outbox)
        except BaseException as error:
            cancelled = isinstance(error, anyio.get_cancelled_exc_class())
            if cancelled and self._producing.is_cancelled():
                if not (await self._say_last_words() and self._producing.take_back()):
                    raise
            else:
                self._note(CloseReason.ERROR)
                self._failure = error
                self._say_why(error)
                self._outbox.close(Ending.BROKEN)
        else:
            self._outbox.close(Ending.COMPLETE)
        self._produced = True
        if self._slot is not None:
            await self._until_written()

    async def _say_last_words(self) -> bool:
        """Say farewell where a server that stops has cancelled what it doesn't wait for.

        Returns whether it was said. Then the request ends as any other: daphne stops as soon as the
        first of its requests has ended as cancelled.
        """
        if self._slot is None or not self._slot.draining or self._outbox.closed:
            return False
        self._say_farewell(CloseReason.DRAINED)
        with anyio.move_on_after(PARTING, shield=True):
            await self._until_written()
        return self._written

    async def _until_written(self) -> None:
        while not (self._written or self._outbox.ending is Ending.ABANDONED):
            await self._writer_ended.wait()

    def _say_why(self, error: BaseException) -> None:
        if self._slot is None or self._outbox.closed or not isinstance(error, Exception):
            return
        if self._writer.started or self._outbox.size:
            self._put(self._own.of_error, error)

    def _put(self, make: Callable[[Cause], bytes], cause: Cause) -> None:
        """Put a frame of our own, unless the user's function fails that makes it."""
        try:
            frame = make(cause)
        except Exception:
            logger.exception("there is no last event, for it could not be made of %r", cause)
        else:
            self._outbox.put(frame, bool(frame))

    def _ping(self) -> bytes:
        try:
            return self._own.ping()
        except Exception as error:
            self._fail(error)  # also an OSError, which is not the server's here
            raise

    async def _close(self, source: Feed) -> None:
        # No scope of our own around it: a generator that stands at a `yield` may be inside of some.
        self._producing.begin_cleanup()
        try:
            await source.close(self._settings.cleanup_timeout)
        except Exception as error:
            self._note(CloseReason.ERROR)
            self._failure = self._failure or error

    async def _finish(self, source: Feed) -> None:
        if self._producing.gave_up:
            logger.warning("%r took more than cleanup_timeout to close", source)
        if self._slot is None:
            return
        await self._until_written()  # a source that was ended early has not waited for that
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
                self._later(LAST_WORDS, self._abandon_last)
            return
        self._client_left = True
        self._note(CloseReason.CLIENT_DISCONNECTED)
        ends_itself = self._heeding and self._connection.heeded
        # What a source does behind its last frame is not for this client.
        spare = self._outbox.closed
        if ends_itself and not spare:
            self._later(HEEDING, self._producing.cancel)
        self._abandon(spare=ends_itself or spare)

    def _abandon_last(self) -> None:
        # hypercorn puts an end to the request first, then to the connection, all in one `send`.
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self._abandon(spare=True)

    def _abandon(self, *, spare: bool = False) -> None:
        """Give up what waits, and the producer, unless it is to be spared."""
        busy = not (self._outbox.awaited or self._produced or spare)
        self._outbox.close(Ending.ABANDONED)
        self._writer_ended.set()
        if busy:  # otherwise the producer wakes up by itself, and can be closed at its `yield`
            self._producing.cancel()

    def _on_overdue(self) -> None:
        self._note(CloseReason.SEND_TIMEOUT)
        self._abandon()

    def _fail(self, error: Exception) -> None:
        self._note(CloseReason.ERROR)
        self._failure = self._failure or error
        self._abandon()

    async def _watch(self) -> None:
        try:
            if self._writer.has_sent is not None:
                await self._writer.has_sent.wait()
            await self._connection.watch(self._leave)
            await anyio.sleep_forever()  # what follows the response may still be cancelled
        except anyio.get_cancelled_exc_class():
            if not self._over:
                self._cancelled_outside = True
                self._note(CloseReason.CANCELLED)
                self._abandon()
            raise
        except Exception as error:
            self._fail(error)

    async def _write(self) -> None:
        try:
            await self._writer.run()
        except OSError:  # from ASGI 2.4 on, this says that the client has gone
            self._note(CloseReason.CLIENT_DISCONNECTED)
            self._leave()
        except Exception as error:
            self._fail(error)
        finally:
            self._written = True
            self._writer_ended.set()
