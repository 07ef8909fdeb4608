"""One open stream: from the first item to the last byte, whatever happens in between.

Rules of this file:
- The producer keeps the endpoint's task. It has two companions: the writer, and the watcher of the
  connection. They never raise: what goes wrong in them is kept, the producer is cancelled, and the
  endpoint's task raises it, alone.
- Everything that was yielded before an exception is delivered, then the exception goes on.
- A cancelled producer is cancelled once, and its source is closed in any case, in this task and
  within `cleanup_timeout` seconds.
- How a stream ends before its source does stands in `ends`.
"""

import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import anyio
from starlette.types import Send

from sse_middleware.cancellation import cancel_once
from sse_middleware.companions import companions
from sse_middleware.connection import Connection
from sse_middleware.ends import LAST_WORDS, Ends, OwnFrames
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.records import CloseReason
from sse_middleware.registry import Slot
from sse_middleware.settings import StreamSettings
from sse_middleware.writer import Opening, Writer

logger = logging.getLogger(__name__)

PARTING = 1.0
"""Seconds for the farewell to a client that is there, of a request that its server has cancelled: a
thousand requests are cancelled at once, and all of them have something to say."""


class Feed(Protocol):
    """What a stream sends: frames, put into its outbox."""

    def feed(self, stream: "Stream") -> Coroutine[Any, Any, None]:
        """Open the stream if it is one, put every frame, and wait for room when told to."""

    async def close(self, within: float) -> None:
        """Release what is held, also if nothing was ever fed, in so many seconds."""


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
        "_companions",
        "_connection",
        "_ends",
        "_heeding",
        "_outbox",
        "_own",
        "_producing",
        "_send",
        "_settings",
        "_slot",
        "_writer",
        "_written",
        "drain",
    )

    drain: Callable[[float], None]
    """Ends an open stream after `drain_grace` and so many seconds."""

    _outbox: Outbox
    _slot: Slot
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
        # A request that may become a stream has one of these, so the rest waits for `open`.
        self._send = send
        self._connection = connection
        self._settings = settings
        self._own = own
        self._heeding = heeding
        self._producing = cancel_once(settings.cleanup_timeout, shielding=not heeding)
        self._companions = companions()
        self._ends: Ends | None = None
        self._written = False

    async def run(self, source: Feed) -> None:
        """Send everything that `source` feeds.

        Returns when the body is complete or the client has gone. Raises what the source raised,
        what `send` raised, and a cancellation from outside.
        """
        failure: BaseException | None = None
        try:
            async with self._companions:
                with self._producing:
                    try:
                        await self._producing.heed(source.feed(self))
                    except BaseException as error:
                        if not await self._settle(error):
                            raise
                    finally:
                        if self._ends is not None:
                            await self._close(source, self._ends)
                if self._ends is not None:
                    await self._finish(source, self._ends)
        finally:
            if self._ends is not None:
                failure = self._over(self._ends)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    def open(self, opening: Opening) -> Outbox:
        """Begin the response, and return where the source puts its frames.

        Until then the source is on its own, as if there were no stream.
        """
        settings, connection, producing = self._settings, self._connection, self._producing
        self._slot = opening.slot  # which is this stream's to give back
        self._outbox = outbox = Outbox(settings.max_buffer)
        self._ends = ends = Ends(
            outbox, producing, connection, settings, self._own, heeding=self._heeding
        )
        self.drain = ends.drain
        if settings.send_timeout is not None:
            outbox.ready.limit(settings.send_timeout, ends.overdue)
        self._writer = Writer(
            outbox, self._send, self._own.same_ping, ends.ping, settings, opening, ends.early
        )
        if not connection.shared:
            self._writer.has_sent = anyio.Event()
        producing.notice(ends.cancelled)
        self._companions.start(self._write(ends))
        self._companions.start(self._watch(ends))
        opening.slot.opened(self)
        return outbox

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return self._writer.events, self._writer.size, self._outbox.size

    def refuse(self) -> None:
        """Cancel the source of a stream that was not opened, and never will be."""
        self._producing.cancel()

    async def _settle(self, error: BaseException) -> bool:
        """Keep what the source raised. Returns false for what must go on as it is."""
        ends, producing = self._ends, self._producing
        if ends is None:
            return False
        cancelled = isinstance(error, anyio.get_cancelled_exc_class())
        if not (cancelled and producing.is_cancelled()):
            started = self._writer.started or self._outbox.size > 0
            ends.source_failed(error, started=started)
            return True
        if not producing.requested:
            if self._has_last_words() and producing.take_back() and await self._say_farewell(ends):
                return True
            ends.cancelled()
        return False

    def _has_last_words(self) -> bool:
        return self._slot.draining and not self._outbox.closed

    async def _say_farewell(self, ends: Ends) -> bool:
        """Say farewell where a server that stops has cancelled what it doesn't wait for.

        Returns whether it was said. Then the request ends as any other: daphne stops as soon as the
        first of its requests has ended as cancelled.
        """
        ends.say_farewell(CloseReason.DRAINED)
        with anyio.move_on_after(PARTING, shield=True):
            await self._until_written()
        return self._written

    async def _until_written(self) -> None:
        outbox = self._outbox
        while not (self._written or outbox.ending is Ending.ABANDONED):
            await outbox.moved.wait()

    async def _close(self, source: Feed, ends: Ends) -> None:
        self._outbox.close(Ending.COMPLETE)  # unless it has ended otherwise
        # No scope of our own around it: a generator that stands at a `yield` may be inside of some.
        self._producing.begin_cleanup()
        try:
            await source.close(self._settings.cleanup_timeout)
        except Exception as error:
            ends.closing_failed(error)

    async def _finish(self, source: Feed, ends: Ends) -> None:
        if self._producing.gave_up:
            logger.warning("%r took more than cleanup_timeout to close", source)
        try:
            await self._until_written()
        except anyio.get_cancelled_exc_class():
            ends.cancelled()
            raise
        answered = self._writer.started or self._connection.complete
        if ends.client_left and not answered and ends.failure is None:
            await self._answer_nobody()

    async def _answer_nobody(self) -> None:
        """Send the status line although the client has left: a middleware above may wait for it."""
        with anyio.move_on_after(LAST_WORDS, shield=True):  # some servers then block for ever
            try:
                await self._writer.send_nothing()
            except Exception as error:
                logger.debug("nobody was answered: %r", error)

    def _over(self, ends: Ends) -> BaseException | None:
        """Give back what the stream held. Returns what is to be raised."""
        failure, ends.failure = ends.failure, None
        ends.over()
        self._slot.closed(ends.reason or CloseReason.FINISHED, failure)
        self._slot.give_back()
        return failure

    async def _watch(self, ends: Ends) -> None:
        try:
            if self._writer.has_sent is not None:
                await self._writer.has_sent.wait()
            await self._connection.watch(ends.leave)
        except Exception as error:
            ends.fail(error)

    async def _write(self, ends: Ends) -> None:
        # Few frames deep: those of a stream that is silent stay in memory, and each is resumed for
        # each keep-alive.
        writer = self._writer
        try:
            try:
                if await writer.commit():
                    await writer.send_frames()
            except OSError:
                ends.send_failed()
            except Exception as error:
                ends.fail(error)
            if self._outbox.unread:
                await writer.discard()
        finally:
            writer.close()
            self._written = True
            ends.stopped()
