"""How a stream ends before its source does: its client leaves, a limit is reached, something fails.

Rules of this file:
- What happens first is why the stream has ended; the rest follows from it.
- A stream that is ended early, by a drain or by a limit, says farewell and ends its body in good
  order. What has not come to that within `cleanup_timeout` seconds is given up.
- A source that waits for the end of the connection has a moment to end by itself. Any other is
  cancelled. One that waits for room, or that has nothing more to put, is not: it ends anyway.
- A source that shall finish goes on without its client, and what it puts is dropped.
- Nothing here suspends, so that timers and other tasks may call it.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from sse_middleware.backends import later
from sse_middleware.cancellation import CancelOnce
from sse_middleware.connection import Connection
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings

logger = logging.getLogger(__name__)

Cause = TypeVar("Cause")

LAST_WORDS = 0.1
"""Seconds for a message that no client will read: it takes none, unless it would take all."""

HEEDING = 1.0
"""Seconds that a producer has to end by itself when it has read that its client left: most need
none, and some do nothing before their next event."""


class OwnFrames(Protocol):
    """What a stream says of its own accord."""

    same_ping: bytes
    """The keep-alive if it is known to be always the same, or ``b""``."""

    def ping(self) -> bytes:
        """Make a keep-alive."""

    def of_error(self, error: Exception) -> bytes:
        """Make the last frame of a stream that failed, or ``b""``."""

    def farewell(self, reason: CloseReason) -> bytes:
        """Make the last frame of a stream that is ended early, or ``b""``."""


class Ends:
    """The ends of one open stream.

    Args:
        outbox: of the stream.
        producing: guards the source.
        connection: whose end ends the stream.
        settings: how the stream is sent.
        own: what it says of its own accord.
        heeding: whether the source ends by itself if it waits for the end of the connection.
    """

    __slots__ = (
        "_connection",
        "_heeding",
        "_outbox",
        "_own",
        "_producing",
        "_settings",
        "_timers",
        "client_left",
        "failure",
        "reason",
    )

    def __init__(
        self,
        outbox: Outbox,
        producing: CancelOnce,
        connection: Connection,
        settings: StreamSettings,
        own: OwnFrames,
        *,
        heeding: bool,
    ) -> None:
        self.reason: CloseReason | None = None
        """Why the stream has ended, if it is not that its source has."""
        self.failure: BaseException | None = None
        """What the endpoint's task shall raise."""
        self.client_left = False
        self._outbox = outbox
        self._producing = producing
        self._connection = connection
        self._settings = settings
        self._own = own
        self._heeding = heeding
        self._timers: tuple[Callable[[], object], ...] = ()

    def over(self) -> None:
        """Forget what was to come: the stream has ended."""
        for cancel in self._timers:
            cancel()

    def drain(self, delay: float) -> None:
        """Come to the end after `drain_grace` and so many seconds."""
        end = partial(self.early, CloseReason.DRAINED)
        self._later(self._settings.drain_grace + delay, end)

    def early(self, reason: CloseReason) -> None:
        """End the body in good order, and cancel the source."""
        self._later(self._settings.cleanup_timeout, partial(self._give_up, reason))
        if self._outbox.closed:
            return
        busy = not self._outbox.awaited
        self.say_farewell(reason)
        # One that listens is about to read that its response is complete.
        if self._heeding and self._connection.listened:
            self._later(HEEDING, self._producing.cancel)
        elif busy:
            self._producing.cancel()

    def say_farewell(self, reason: CloseReason) -> None:
        """Complete the body with the farewell."""
        self._note(reason)
        self._put(self._own.farewell, reason)
        self._outbox.close(Ending.COMPLETE)

    def source_failed(self, error: BaseException, *, started: bool) -> None:
        """Break the body off, behind an event that says why if it has `started`."""
        self._note(CloseReason.ERROR)
        self.failure = error
        if started and isinstance(error, Exception) and not self._outbox.closed:
            self._put(self._own.of_error, error)
        self._outbox.close(Ending.BROKEN)

    def closing_failed(self, error: Exception) -> None:
        """Keep what the source raised when it was closed."""
        self._note(CloseReason.ERROR)
        self.failure = self.failure or error

    def fail(self, error: Exception) -> None:
        """Give up: the stream itself can't go on."""
        self.closing_failed(error)
        self._abandon()

    def ping(self) -> bytes:
        """Make a keep-alive, or fail."""
        try:
            return self._own.ping()
        except Exception as error:
            self.fail(error)  # also an OSError, which is not the server's here
            raise

    def leave(self) -> None:
        """Notice the end of the connection."""
        if self._outbox.completing:  # it is our own last message that ends it
            if not self._connection.complete:  # and the server is not done with that
                self._later(LAST_WORDS, self._leave_last)
            return
        self.client_left = True
        self._note(CloseReason.CLIENT_DISCONNECTED)
        if self._settings.own("on_disconnect") == "finish" and not self._outbox.closed:
            self._outbox.leave_unread()
            return
        ends_itself = self._heeding and self._connection.heeded
        if ends_itself and not self._outbox.closed:
            self._later(HEEDING, self._producing.cancel)
        self._abandon(spare=ends_itself)

    def send_failed(self) -> None:
        """Notice that the client has gone, by an error: from ASGI 2.4 on, `send` raises one."""
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self.leave()

    def overdue(self) -> None:
        """Notice that the client doesn't read."""
        self._note(CloseReason.SEND_TIMEOUT)
        self._abandon()

    def cancelled(self) -> None:
        """Notice that the request is cancelled from outside; its source knows."""
        self._note(CloseReason.CANCELLED)
        self._abandon(spare=True)

    def stopped(self) -> None:
        """Notice that nothing is sent any more."""
        if not self._outbox.closed:  # the writer was cancelled
            self._note(CloseReason.CANCELLED)
            self._abandon()
        self._outbox.moved.set()

    def _leave_last(self) -> None:
        # hypercorn puts an end to the request first, then to the connection, all in one `send`.
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self._outbox.close(Ending.ABANDONED)

    def _give_up(self, reason: CloseReason) -> None:
        """End what has not ended in good order: its client doesn't read, or its source goes on."""
        self._note(reason)
        self._abandon()

    def _abandon(self, *, spare: bool = False) -> None:
        """Give up what waits, and the source, unless it ends by itself or is to be spared."""
        outbox = self._outbox
        # What a source does behind its last frame is not for this client.
        busy = not (outbox.awaited or outbox.closed or spare)
        outbox.close(Ending.ABANDONED)
        if busy:
            self._producing.cancel()

    def _note(self, reason: CloseReason) -> None:
        self.reason = self.reason or reason

    def _put(self, make: Callable[[Cause], bytes], cause: Cause) -> None:
        """Put a frame of our own, unless the user's function fails that makes it."""
        try:
            frame = make(cause)
        except Exception:
            logger.exception("there is no last event, for it could not be made of %r", cause)
        else:
            self._outbox.put(frame, bool(frame))

    def _later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers = (*self._timers, later(seconds, callback))
