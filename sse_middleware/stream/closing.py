"""`Closing`: how a stream ends before its producer does.

Its client leaves, a limit is reached, something fails.

Rules of this file:
- What happens first is why the stream has ended. The rest follows from it.
- A stream that is ended early, by a drain or by a limit, sends its farewell and completes its body.
  If that takes longer than `cleanup_timeout` seconds, the stream is given up.
- A farewell goes between two events. Within a foreign event it waits up to `EVENT_TIMEOUT` seconds
  for the event's end. Then the body ends without a farewell.
- A cooperative producer that waits for ``http.disconnect`` ends by itself. It is only cancelled
  after `cleanup_timeout` seconds. One part of it may go on sending while another part still handles
  the disconnect. So its `send` is slowed down, and what it sends is not a reason to cancel it.
- A producer that waits for room is not cancelled: it ends anyway.
- A producer that has begun its own cleanup is not cancelled: it has `cleanup_timeout` seconds. One
  that can put nothing more, but does not clean up, has `finish_timeout` seconds. Any other is
  cancelled.
- A producer with ``on_disconnect="finish"`` goes on without its client. What it puts is dropped.
- Nothing here suspends, so timers and other tasks may call it.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from sse_middleware.errors import printable
from sse_middleware.event_loop.cancel_scope import EdgeCancelScope
from sse_middleware.event_loop.loop import call_later
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.introspection.generators import Stage
from sse_middleware.records import CloseReason
from sse_middleware.registry.registry import Slot
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Ending, Work
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.queue import Queue

logger = logging.getLogger(__name__)

Cause = TypeVar("Cause")

UNREAD_MESSAGE_TIMEOUT = 0.1
"""Seconds for a message that no client will read. Servers take such a message at once, or never."""

DISCONNECT_GRACE = 1.0
"""Seconds in which a cooperative producer may still send once it can read that its client has left:
most producers notice it at once, some before their next event. Later its `send` is slowed down."""

EVENT_TIMEOUT = 1.0
"""Seconds that a farewell waits for the end of a foreign event."""


class Closing:
    """How one open stream ends.

    Args:
        connection: whose end ends the stream.
        settings: how the stream is sent.
        control: makes the frames of the stream itself.
        scope: guards the producer.
        tasks: have the context of the request.
    """

    __slots__ = (
        "_connection",
        "_late_after",
        "_outbox",
        "_scope",
        "_tasks",
        "_timers",
        "_work",
        "client_left",
        "control",
        "failure",
        "reason",
        "settings",
        "slot",
    )

    # What is known once the stream is open.
    _outbox: Queue
    _work: Work
    slot: Slot

    def __init__(
        self,
        connection: Connection,
        settings: StreamSettings,
        control: ControlFrames,
        scope: EdgeCancelScope,
        tasks: DaemonTaskGroup,
    ) -> None:
        self.reason: CloseReason | None = None
        """Why the stream has ended; ``None`` while it is open, or if its producer finished."""
        self.failure: BaseException | None = None
        """What the endpoint's task must raise."""
        self.client_left = False
        self._connection = connection
        self.settings = settings
        self.control = control
        self._scope = scope
        self._tasks = tasks
        # From when on a cooperative producer is late. ``None`` if it is no such producer.
        self._late_after: float | None = None
        self._timers: tuple[Callable[[], object], ...] = ()

    def cancel_timers(self) -> None:
        """Let no timer fire any more: the stream has ended."""
        for cancel in self._timers:
            cancel()

    def drain(self, delay: float) -> None:
        """End the stream after `drain_grace` and this many seconds."""
        end = partial(self.close_early, CloseReason.DRAINED)
        self._call_later(self.settings.drain_grace + delay, end)

    def close_early(self, reason: CloseReason) -> None:
        """Complete the body, and cancel the producer."""
        # Another request may drain, and a timer of another stream may call this. The farewell and
        # the filter of a subscription are functions of the user's, for this request.
        self._tasks.call(self._close_early, reason)

    def _close_early(self, reason: CloseReason) -> None:
        self._call_later(self.settings.cleanup_timeout, partial(self._give_up, reason))
        outbox = self._outbox
        if outbox.closed:
            return
        self._note(reason)
        if outbox.between_events:
            self._complete_early(reason)
        else:
            outbox.when_between_events(partial(self._complete_early, reason))
            self._call_later(EVENT_TIMEOUT, partial(self._complete_early, reason))

    def _complete_early(self, reason: CloseReason) -> None:
        outbox = self._outbox
        if outbox.closed:
            return
        busy = not outbox.awaited
        if outbox.between_events:
            self.put_farewell(reason)
        outbox.close(Ending.COMPLETE)
        if busy:  # one that waits for the end of the connection is about to read it
            self._end_producer(told=self._connection.awaited)

    def _end_producer(self, *, told: bool) -> None:
        """End a producer that is busy.

        Args:
            told: whether it is about to read that its client has left.
        """
        if told and self._late_after is not None:
            self._late_after = self.slot.clock() + DISCONNECT_GRACE
            self._call_later(self.settings.cleanup_timeout, self._scope.cancel)
            return
        end_work(self._work, self._scope, self.settings.finish_timeout, self._call_later)

    @property
    def is_overdue(self) -> bool:
        """Whether a cooperative producer should send nothing more by now."""
        return self._late_after is not None and self.slot.clock() >= self._late_after

    def put_farewell(self, reason: CloseReason) -> None:
        """Complete the body with the farewell."""
        self._note(reason)
        self._put(self.control.farewell, reason)
        self._outbox.close(Ending.COMPLETE)

    def producer_failed(self, error: BaseException, *, started: bool) -> None:
        """Break the body off. If the body has `started`, an error event comes before that."""
        self._note(CloseReason.ERROR)
        self.failure = error
        told = False
        outbox = self._outbox
        if started and isinstance(error, Exception) and outbox.between_events and not outbox.closed:
            told = self._put(self.control.of_error, error)
        ends_well = told and self.settings.complete_after_error
        outbox.close(Ending.COMPLETE if ends_well else Ending.BROKEN)

    def cleanup_failed(self, error: BaseException) -> None:
        """Keep what the producer raised when it was closed."""
        self._note(CloseReason.ERROR)
        self.failure = self.failure or error

    def fail(self, error: BaseException) -> None:
        """Give up: the stream itself can't go on."""
        self.cleanup_failed(error)
        self._abandon()

    def ping(self) -> bytes:
        """Make a keep-alive, or fail."""
        try:
            return self.control.ping()
        except BaseException as error:
            self.fail(error)
            # The writer takes an OSError for the server's, and a cancellation for its own.
            raise RuntimeError("the keep-alive could not be made") from error

    def connection_lost(self) -> None:
        """Notice the end of the connection."""
        if self._outbox.completing:  # our own last message ends it
            if not self._connection.complete:  # and the server still works on that message
                self._call_later(UNREAD_MESSAGE_TIMEOUT, self._last_message_unread)
            return
        if self.slot.stopping:  # some servers call that a disconnect
            self.drain(0)
            return
        self.client_left = True
        self._note(CloseReason.CLIENT_DISCONNECTED)
        if self._may_finish():
            self._outbox.leave_unread()
        else:
            self._abandon()

    def send_failed(self) -> None:
        """Notice by an error that the client has gone: from ASGI 2.4 on, `send` raises one."""
        self._note(CloseReason.CLIENT_DISCONNECTED)
        self.connection_lost()

    def send_timed_out(self) -> bool:
        """Notice that the client doesn't read. Returns whether the producer goes on."""
        self._note(CloseReason.SEND_TIMEOUT)
        if self._may_finish():
            self._outbox.leave_unread()
            return True
        self._abandon()
        return False

    def _may_finish(self) -> bool:
        """Whether the producer goes on without its client."""
        return self.settings.resolved("on_disconnect") == "finish" and not self._outbox.closed

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
        """Drop what waits, and cancel the producer unless it is spared or ends anyway."""
        outbox = self._outbox
        # What a producer does after its last frame is not for this client.
        busy = not (outbox.awaited or outbox.closed or spare)
        outbox.end(Ending.ABANDONED)
        if busy:
            self._end_producer(told=self._connection.end_was_read)

    def _note(self, reason: CloseReason) -> None:
        self.reason = self.reason or reason

    def _put(self, make: Callable[[Cause], bytes], cause: Cause) -> bool:
        """Put a control frame. Returns whether there is one: the user's function may fail."""
        try:
            frame = make(cause)
        except BaseException:  # also what would end the event loop: the body would not be closed
            shown = printable(cause)
            logger.exception("no last event is sent, because making it from %s failed", shown)
            return False
        self._outbox.put(frame, bool(frame))
        return bool(frame)

    def _call_later(self, seconds: float, callback: Callable[[], object]) -> None:
        self._timers = (*self._timers, call_later(seconds, callback))


def end_work(
    work: Work,
    scope: EdgeCancelScope,
    finish_timeout: float,
    call_later: Callable[[float, Callable[[], object]], object],
) -> None:
    """Cancel work, unless it ends anyway.

    Args:
        work: it doesn't wait for room.
        scope: guards it.
        finish_timeout: seconds that it has if it can put nothing more.
        call_later: has a function called after some seconds.
    """
    stage = work.stage()
    if stage is Stage.PRODUCING:
        scope.cancel()
    elif stage is Stage.CLEANING_UP:
        scope.begin_cleanup()
    else:
        call_later(finish_timeout, partial(_end_finishing, work, scope))


def _end_finishing(work: Work, scope: EdgeCancelScope) -> None:
    """End work that has not ended by itself. It may be cleaning up by now."""
    if work.stage() is Stage.CLEANING_UP:
        scope.begin_cleanup()
    else:
        scope.cancel()
