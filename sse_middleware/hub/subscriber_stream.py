"""A subscription as the source of a stream.

Rules of this file:
- The stream's outbox holds no events. The writer pulls what lies after the subscriber's position.
- The pump runs the writer. The endpoint's task watches the connection, and is woken by any other
  end, too. So no other task is needed, unless a middleware outside has wrapped `receive`.
- A subscription that must wait for the store, to open, has a task for that.
- A stream begins with an id and no data, and so do its keep-alives. So a client that drops has a
  position, also if it has heard nothing (WHATWG HTML, 9.2.6: an id without data moves the last
  event id and dispatches nothing).
- A subscription never ends by itself, so its stream always ends with its client.
- With `max_delay`, what is new may wait for more. The rest of what was there doesn't, as for a
  producer that waits for room.
- What a filter raises, the endpoint's task raises, like an error of any other producer.
"""

from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any

from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.raised_again import raise_again
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.hub.cursor import id_of
from sse_middleware.hub.subscription import Subscription
from sse_middleware.introspection.generators import Stage
from sse_middleware.items.control_frames import ConfiguredControlFrames, ControlFrameRules
from sse_middleware.items.hints import ItemHints
from sse_middleware.stream.abc import Ending, FrameSink
from sse_middleware.stream.queue import Queue
from sse_middleware.validation import UNSET

_Coroutine = Coroutine[Any, Any, None]


class SubscriberOutbox(Queue):
    """The frames that a subscriber may have now, and the control frames of its stream.

    Args:
        subscription: the subscriber.
        bound: about how many bytes one message may have.
    """

    __slots__ = ("_companions", "_failure", "_opened", "_own", "_subscription")

    def __init__(self, subscription: Subscription, bound: int) -> None:
        super().__init__(bound)
        self._subscription = subscription
        self._own = b""  # frames of the stream itself, and what comes before them
        self._opened = False
        self._failure: Exception | None = None
        self._companions: (
            tuple[DaemonTaskGroup, Callable[[], _Coroutine], Callable[[], bool]] | None
        ) = None

    def accompany(
        self, tasks: DaemonTaskGroup, watch: Callable[[], _Coroutine], apart: Callable[[], bool]
    ) -> None:
        """Have the endpoint's task watch the connection: it has nothing else to do."""
        self._companions = tasks, watch, apart

    def begin(self) -> None:
        """Send the position and what there is, in one message. The subscription is open."""
        self._keep(self._subscription.position_frame())
        self._opened = True
        self.pull()

    def pull(self) -> None:
        """Have the writer take what there is, once until it has."""
        if self._subscription.ended:
            self.moved.set()
        if self.patient:
            self.in_room = self._subscription.has_more
        elif self.raised:
            return
        if not self.closed:
            self.raised = True
            self.writer.run()

    def wake(self) -> None:
        """Have the writer run now: no producer puts more in the same step."""
        self.writer.run()

    def take(self) -> bytes:
        """Return everything that may be sent now, joined. If the filter fails, the stream does."""
        if self.size or self.closed or not self._opened:
            return self._take_own()
        # No call more than needed: this is paid for each event of each subscriber.
        subscription = self._subscription
        try:
            pulled = subscription.take(self._bound)
        except Exception as error:
            self._fail(error)
            return b""
        self.events += subscription.taken
        if subscription.ended:  # with what was pulled
            self.moved.set()
        return pulled

    def _take_own(self) -> bytes:
        """Return the frames of the stream itself, and then what may be pulled."""
        own, self._own, self.size = self._own, b"", 0
        return own if self.closed or not self._opened else own + self.take()

    def put(self, frame: bytes, events: int = 1) -> bool:
        """Add a frame of the stream itself. What may be sent comes before a farewell."""
        self._pull_before()
        if not self.closed:
            self._keep(frame)
            self.events += events
        return self.size >= self._bound

    def end(self, ending: Ending) -> None:
        """Close. What may be sent is still sent."""
        if ending is not Ending.ABANDONED:
            self._pull_before()
        super().end(ending)

    def _pull_before(self) -> None:
        """Pull what may be sent before anything else is."""
        if self._opened and not self.closed:
            self._keep(self._take_own())

    def _keep(self, frames: bytes) -> None:
        self._own += frames
        self.size = len(self._own)

    def last_id(self, *, sending: bool) -> str:
        """Return the id of the position up to which all was sent."""
        cursor = self._subscription.cursor
        return id_of(cursor.before if sending else cursor.at)

    def follow(self) -> _Coroutine:
        """Watch the connection until the subscription or the stream ends.

        Raises:
            Exception: what kept the subscription from opening, or what the filter raised.
        """
        assert self._companions is not None  # noqa: S101 - the stream is open
        (tasks, watch, apart), self._companions = self._companions, None
        self.awaited = True
        if self._subscription.open_at_once(self.pull):
            self.begin()
        else:
            tasks.create_task(self._open(), copy_context())
            if self.size:  # the first frame of a preset
                self.raised = True
                self.writer.run()
        return tasks.run_until_over(watch(), self, apart=apart())

    async def _open(self) -> None:
        """Open the subscription, which waits for the store."""
        try:
            await self._subscription.open(self.pull)
            self.begin()
        except Exception as error:
            self._fail(error)

    def is_over(self) -> bool:
        """Whether the endpoint's task must go on."""
        return self.closed or self._subscription.ended

    def conclude(self) -> None:
        """Raise what the stream fails by."""
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise_again(failure)
            finally:
                del failure  # its traceback holds this frame

    def _fail(self, error: Exception) -> None:
        """Have the endpoint's task raise an error."""
        self._failure = error
        self._subscription.stop()
        self.moved.set()

    def leave_unread(self) -> None:
        """End: nobody needs a subscription without its client."""
        self.close(Ending.ABANDONED)


class SubscriberControlFrames(ConfiguredControlFrames):
    """The control frames of a subscriber. Its keep-alives move the client's position.

    Args:
        rules: how the others are made.
        hints: reports what looks like a mistake.
        subscription: has the position.
    """

    __slots__ = ("_subscription",)

    def __init__(
        self, rules: ControlFrameRules, hints: ItemHints, subscription: Subscription
    ) -> None:
        super().__init__(rules, hints)
        self.id_sent()
        self._subscription = subscription

    def _leave_out_blank_line(self) -> None:
        """Leave out the blank line after a comment. No keep-alive is the same as another."""
        super()._leave_out_blank_line()
        self.same_ping = b""

    def ping(self) -> bytes:
        """Return a keep-alive: the position, unless a setting or a preset wants another one."""
        if self._settings.resolved("ping") is not UNSET:
            return super().ping()
        cursor = self._subscription.cursor
        cursor.before = cursor.at
        return self._subscription.position_frame() or self._rules.default_ping(bare=self._bare)


class SubscriptionProducer:
    """Opens a subscription, and waits for its end.

    Args:
        subscription: what is streamed.

    Raises:
        ConfigurationError: another stream has had it.
    """

    __slots__ = ("_subscription",)

    def __init__(self, subscription: Subscription) -> None:
        if subscription.owned:
            raise ConfigurationError(
                "a subscription is for one stream, and this one has had another: call "
                "hub.subscribe(...) in the endpoint, for each request"
            )
        subscription.owned = True
        self._subscription = subscription

    def outbox(self, bound: int, *, stepwise: bool) -> SubscriberOutbox:  # noqa: ARG002 - no steps
        """Make the outbox of the stream."""
        return SubscriberOutbox(self._subscription, bound)

    def produce(self, sink: FrameSink) -> Coroutine[Any, Any, None]:
        """Have events pulled until the subscription ends, or until the sink wants no more."""
        assert isinstance(sink, SubscriberOutbox)  # noqa: S101 - `outbox` made it
        return sink.follow()

    def stage(self) -> Stage:
        """Return `Stage.PRODUCING`: there is always more."""
        return Stage.PRODUCING

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: nothing runs after `close`."""
        callback()

    def close(self, within: float) -> None:  # noqa: ARG002 - a `Work`
        """Close the subscription."""
        self._subscription.close()
