"""`Closing`: how a stream ends before its producer does.

Its client leaves, a limit is reached, something fails.

Rules of this file:
- What happens first is why the stream has ended. The rest follows from it.
- A stream that is ended early, by a drain or by a limit, sends its farewell and completes its body.
  If that takes longer than `cleanup_timeout` seconds, the stream is given up.
- A cooperative producer, one that waits for ``http.disconnect`` itself, has a moment to end by
  itself. Any other is cancelled. A producer that waits for room, or that has nothing more to put,
  is not cancelled: it ends anyway.
- A producer with ``on_disconnect="finish"`` goes on without its client. What it puts is dropped.
- Nothing here suspends, so timers and other tasks may call it.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sse_middleware.event_loop.cancel_scope import EdgeCancelScope
from sse_middleware.event_loop.loop import call_later
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Ending
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.outbox import Outbox

logger = logging.getLogger(__name__)

Cause = TypeVar("Cause")

UNREAD_MESSAGE_TIMEOUT = 0.1
"""Seconds for a message that no client will read. Servers take it at once, or never."""

DISCONNECT_GRACE = 1.0
"""Seconds that a cooperative producer has to end once it can read that its client left: most need
none, and some do nothing before their next event."""


class Closing:
    """How one open stream ends.

    Args:
        outbox: of the stream.
        scope: guards the producer.
        connection: whose end ends the stream.
        settings: how the stream is sent.
        control: what the stream itself says.
        cooperative: whether the producer ends by itself if it waits for the end of the connection.
    """

    __slots__ = (
        "_connection",
        "_control",
        "_cooperative",
        "_outbox",
        "_scope",
        "_settings",
        "_timers",
        "client_left",
        "failure",
        "reason",
    )

    def __init__(
        self,
        outbox: Outbox,
        scope: EdgeCancelScope,
        connection: Connection,
        settings: StreamSettings,
        control: ControlFrames,
        *,
        cooperative: bool,
    ) -> None:
        self.reason: CloseReason | None = None
        """Why the stream has ended, if it is not that its producer has."""
        self.failure: BaseException | None = None
        """What the endpoint's task must raise."""
        self.client_left = False
        self._outbox = outbox
        self._scope = scope
        self._connection = connection
        self._settings = settings
        self._control = control
        self._cooperative = cooperative
        self._timers: tuple[Callable[[], object], ...] = ()

    def cancel_timers(self) -> None:
        """Forget what was to come: the stream has ended."""
        for cancel in self._timers:
            cancel()

    def drain(self, delay: float) -> None:
        """End the stream after `drain_grace` and this many seconds."""
        end = partial(self.close_early, CloseReason.DRAINED)
        self._call_later(self._settings.drain_grace + delay, end)

    def close_early(self, reason: CloseReason) -> None:
        """Complete the body, and cancel the producer."""
        self._call_later(self._settings.cleanup_timeout, partial(self._give_up, reason))
        if self._outbox.closed:
            return
        busy = not self._outbox.awaited
        self.put_farewell(reason)
        # One that waits for the end of the connection is about to read it.
        if self._cooperative and self._connection.awaited:
            self._call_later(DISCONNECT_GRACE, self._scope.cancel)
        elif busy:
            self._scope.cancel()

    def put_farewell(self, reason: CloseReason) -> None:
        """Complete the body with the farewell."""
        self._note(reason)
        self._put(self._control.farewell, reason)
        self._outbox.close(Ending.COMPLETE)

    def producer_failed(self, error: BaseException, *, started: bool) -> None:
        """Break the body off. If it has `started`, an event before that says why."""
        self._note(CloseReason.ERROR)
        self.failure = error
        if started and isinstance(error, Exception) and not self._outbox.closed:
            self._put(self._control.of_error, error)
        self._outbox.close(Ending.BROKEN)

    def cleanup_failed(self, error: Exception) -> None:
        """Keep what the producer raised when it was closed."""
        self._note(CloseReason.ERROR)
        self.failure = self.failure or error

    def fail(self, error: Exception) -> None:
        """Give up: the stream itself can't go on."""
        self.cleanup_failed(error)
        self._abandon()

    def ping(self) -> bytes:
        """Make a keep-alive, or fail."""
        try:
            return self._control.ping()
        except Exception as error:
            self.fail(error)  # also an OSError, which is not the server's here
            raise

    def connection_lost(self) -> None:
        """Notice the end of the connection."""
        if self._outbox.completing:  # our own last message ends it
            if not self._connection.complete:  # and the server still works on that message
                self._call_later(UNREAD_MESSAGE_TIMEOUT, self._last_message_unread)
            return
        self.client_left = True
        self._note(CloseReason.CLIENT_DISCONNECTED)
        if self._settings.resolved("on_disconnect") == "finish" and not self._outbox.closed:
            self._outbox.leave_unread()
            return
        ends_itself = self._cooperative and self._connection.end_was_read
        if ends_itself and not self._outbox.closed:
            self._call_later(DISCONNECT_GRACE, self._scope.cancel)
        self._abandon(spare=ends_itself)

    def send_failed(self) -> None:
        """Notice by an error that the client has gone: from ASGI 2.4 on, `send` raises one."""
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self.connection_lost()

    def send_timed_out(self) -> None:
        """Notice that the client doesn't read."""
        self._note(CloseReason.SEND_TIMEOUT)
        self._abandon()

    def request_cancelled(self) -> None:
        """Notice that the request is cancelled from outside. The producer has noticed it, too."""
        self._note(CloseReason.CANCELLED)
        self._abandon(spare=True)

    def writer_stopped(self) -> None:
        """Notice that nothing more is sent."""
        if not self._outbox.closed:  # the writer was cancelled
            self._note(CloseReason.CANCELLED)
            self._abandon()
        self._outbox.moved.set()

    def _last_message_unread(self) -> None:
        # hypercorn ends first the request, then the connection, all in one `send`.
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self._outbox.close(Ending.ABANDONED)

    def _give_up(self, reason: CloseReason) -> None:
        """End a stream that was closed early and hasn't ended.

        Its client doesn't read, or its producer goes on.
        """
        self._note(reason)
        self._abandon()

    def _abandon(self, *, spare: bool = False) -> None:
        """Give up what waits, and cancel the producer unless it is spared or ends anyway."""
        outbox = self._outbox
        # What a producer does after its last frame is not for this client.
        busy = not (outbox.awaited or outbox.closed or spare)
        outbox.close(Ending.ABANDONED)
        if busy:
            self._scope.cancel()

    def _note(self, reason: CloseReason) -> None:
        self.reason = self.reason or reason

    def _put(self, make: Callable[[Cause], bytes], cause: Cause) -> None:
        """Put a control frame, unless the user's function that makes it fails."""
        try:
            frame = make(cause)
        except Exception:
            logger.exception("no last event is sent, because making it of %r failed", cause)
        else:
            self._outbox.put(frame, bool(frame))

    def _call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers = (*self._timers, call_later(seconds, callback))
