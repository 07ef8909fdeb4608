"""`Registry`: the open streams of one application in one event loop, and a `Slot` for each."""

import logging
import time
from collections.abc import Iterator
from typing import Protocol

from starlette.types import Scope

from sse_middleware.errors import printable
from sse_middleware.event_loop.loop import clock
from sse_middleware.event_loop.timers import CoalescedTimers
from sse_middleware.records import (
    CloseReason,
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
    StreamStats,
)
from sse_middleware.registry.counters import Counters
from sse_middleware.registry.described import described
from sse_middleware.registry.drain import Drain
from sse_middleware.registry.recent_closes import RecentCloses
from sse_middleware.registry.taken_slots import Full, TakenSlots
from sse_middleware.settings import Policy
from sse_middleware.shutdown.listener import Server

logger = logging.getLogger(__name__)


class RegisteredStream(Protocol):
    """What a registry knows about an open stream."""

    def drain(self, delay: float) -> None:
        """End after `drain_grace` and this many seconds."""

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""

    def last_id(self) -> str:
        """Return the last id that was sent, ``""`` if there was none."""


class Slot:
    """The place of one stream among the open ones.

    Args:
        registry: the registry that it belongs to.
        client: the client that it is counted for, ``None`` if clients aren't counted.
        info: for observers, ``None`` if there are none.
        server: the server that the request came to, if it is known.
        scope: the request's.
    """

    __slots__ = (
        "_began",
        "_described",
        "_registry",
        "client",
        "clock",
        "ended",
        "info",
        "reason",
        "scope",
        "server",
        "stream",
        "told_to_end",
    )

    def __init__(
        self,
        registry: "Registry",
        client: str | None,
        info: StreamInfo | None,
        server: Server | None,
        scope: Scope | None,
    ) -> None:
        self._registry = registry
        self._began = 0.0
        self._described = info
        self.clock = registry.clock
        """The event loop's clock, in seconds. All its streams share it."""
        self.client = client
        self.info = info
        self.server = server
        """The server that the request came to, if it is known."""
        self.scope = scope
        """The request's, until the stream has ended."""
        self.stream: RegisteredStream | None = None
        """The stream, while it is open."""
        self.reason: CloseReason | None = None
        """Why the stream has ended, once it has."""
        self.told_to_end = False
        """Whether a drain has begun before the stream was open."""
        self.ended = False
        """Whether the stream has ended. The slot may be held longer."""

    @property
    def timers(self) -> CoalescedTimers:
        """The timers that the stream shares with the others."""
        return self._registry.timers

    @property
    def limited(self) -> bool:
        """Whether there is a limit on open streams, so that it matters how long this is held."""
        return self._registry.limited

    @property
    def draining(self) -> bool:
        """Whether the application is draining."""
        return self._registry.drain.includes(self.server)

    @property
    def stopping(self) -> bool:
        """Whether a disconnect may only mean that the server has been told to stop."""
        return self._registry.drain.stopping(self.server)

    def drain(self, delay: float) -> None:
        """End the stream, if it is open, after `drain_grace` and this many seconds."""
        if self.stream is None:
            self.told_to_end = True
        else:
            self.stream.drain(delay)

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return (0, 0, 0) if self.stream is None else self.stream.counts()

    def described(self) -> StreamInfo | None:
        """Return what identifies the stream. ``None`` if nobody asked before it has ended."""
        if self._described is None and self.scope is not None:
            self._described = self._registry.described(self.scope)
        return self._described

    def opened(self, stream: RegisteredStream) -> None:
        """Note that the stream is open, from this moment on."""
        self.stream, self._began = stream, self.clock()
        self._registry.counters.opened += 1
        if self.info is not None:
            self._registry.tell(StreamOpened(self.info))
        if self.told_to_end:
            stream.drain(0)

    def tell(self, record: StreamRecord) -> None:
        """Tell the observers."""
        self._registry.tell(record)

    def tell_sent(self, events: int, size: int, at: float, *, ping: bool, first: bool) -> None:
        """Tell the observers of a message, if there are any.

        Args:
            events: how many it had.
            size: its bytes.
            at: when it was sent, by `clock`.
            ping: whether it was a keep-alive.
            first: whether no event was sent before.
        """
        if self.info is None:
            return
        if ping:
            self.tell(PingSent(self.info, size))
            return
        if events and first:
            self.tell(FirstEvent(self.info, self.seconds(at)))
        self.tell(EventsSent(self.info, events, size))

    @property
    def began(self) -> float:
        """When the stream was opened, by `clock`."""
        return self._began

    def seconds(self, now: float) -> float:
        """Return how long the stream has been open."""
        return now - self._began

    def closed(self, reason: CloseReason, error: BaseException | None) -> None:
        """Note that the stream, which was open, has ended."""
        events, size, _ = self.counts()
        registry = self._registry
        registry.counters.closed(reason, events, size)
        if registry.recent is not None and (stream := self.described()) is not None:
            counts = events, size, self.seconds(self.clock())
            registry.recent.closed(stream, reason, counts, error)
        self.stream, self.reason = None, reason
        registry.end(self)
        if self.info is not None:
            seconds = self.seconds(self.clock())
            self.tell(StreamClosed(self.info, reason, events, size, seconds, error))

    def give_back(self) -> None:
        """Make room for another stream. It must be called once."""
        self._registry.leave(self)


class Registry:
    """The open streams. Made in the event loop that it is for.

    Args:
        policy: the application's.
        before: the registry that this one replaces. Slots that are still taken there count here.
    """

    def __init__(self, policy: Policy, before: "Registry | None" = None) -> None:
        self.policy = policy
        self.limited = (policy.max_streams, policy.max_streams_per_client) != (None, None)
        """Whether there is a limit on open streams."""
        self.asks_for_client = policy.max_streams_per_client is not None or bool(policy.observers)
        """Whether the client of each stream must be known."""
        self.clock = clock()
        self.timers = CoalescedTimers()
        """The timers of the streams' keep-alives."""
        self.counters = Counters()
        earlier = None if before is None else before._slots  # noqa: SLF001 - this class
        self._slots: TakenSlots[Slot] = TakenSlots(policy, earlier)
        self.drain = Drain(policy, self._slots)
        self.recent: RecentCloses | None = None
        """How the last streams ended, from when somebody has looked."""
        self.began = time.time()
        """Since when it counts, in seconds since 1970."""

    def enter(
        self, client: str | None, info: StreamInfo | None, scope: Scope | None = None
    ) -> Slot | Full:
        """Admit a stream, or say why not.

        Args:
            client: the client that it counts for, if clients are counted.
            info: for observers, if there are any.
            scope: the request's.
        """
        server = self.drain.listen()
        full = Full.DRAINING if self.drain.includes(server) else self._slots.why_full(client)
        if full is not None:
            self._note_refusal(info, scope)
            return full
        slot = Slot(self, client, info, server, scope)
        self._slots.take(slot)
        return slot

    def _note_refusal(self, info: StreamInfo | None, scope: Scope | None) -> None:
        self.counters.refused()
        if info is not None:
            self.tell(StreamClosed(info, CloseReason.REFUSED, 0, 0, 0.0))
        if self.recent is not None and scope is not None:
            self.recent.refused(info or self.described(scope))

    def slots(self) -> Iterator[Slot]:
        """Yield the slots that are taken, the oldest first."""
        return iter(self._slots)

    def described(self, scope: Scope) -> StreamInfo:
        """Return what identifies the stream of a request."""
        return described(self.policy, scope)

    def keep_closes(self) -> RecentCloses:
        """Return how the last streams ended. They are kept from the first call on."""
        if self.recent is None:
            self.recent = RecentCloses()
        return self.recent

    def end(self, slot: Slot) -> None:
        """Note that the stream of a slot has ended."""
        slot.scope = None
        self._slots.end(slot)
        if self.drain.active:
            self.drain.stream_ended()

    def leave(self, slot: Slot) -> None:
        """Take a slot back."""
        if not slot.ended:  # it was never open
            self.end(slot)
        self._slots.give_back(slot)

    def tell(self, record: StreamRecord) -> None:
        """Tell the observers. Whatever an observer raises is only logged."""
        for observer in self.policy.observers:
            try:
                observer(record)
            except BaseException:  # also what would end the event loop: a stream would not end
                logger.exception("observer %r failed on %s", observer, printable(record))

    def stats(self) -> StreamStats:
        """Return the counts at this moment."""
        return self.counters.stats(
            [slot.counts() for slot in self._slots],
            count=self._slots.open,
            clients=self._slots.clients,
            draining=self.drain.active,
        )
