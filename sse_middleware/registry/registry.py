"""The open streams of one application in one event loop: their slots, drain and counters."""

import logging
from typing import Protocol
from weakref import WeakKeyDictionary

from anyio import from_thread
from starlette.types import Message, Receive

from sse_middleware.event_loop.loop import clock, current_token
from sse_middleware.event_loop.timers import CoalescedTimers
from sse_middleware.records import (
    CloseReason,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
    StreamStats,
)
from sse_middleware.registry.counters import Counters
from sse_middleware.registry.drain import Drain
from sse_middleware.registry.slots import Full, Slots
from sse_middleware.settings import Policy

logger = logging.getLogger(__name__)


class RegisteredStream(Protocol):
    """What a registry knows of an open stream."""

    def drain(self, delay: float) -> None:
        """End after `drain_grace` and this many seconds."""

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""


class Slot:
    """The place of one stream among the open ones.

    Args:
        registry: that it is in.
        client: whose it is, ``None`` if that doesn't count.
        info: for observers, ``None`` if there are none.
    """

    __slots__ = ("_began", "_registry", "client", "clock", "info", "reason", "stream")

    def __init__(self, registry: "Registry", client: str | None, info: StreamInfo | None) -> None:
        self._registry = registry
        self._began = 0.0
        self.clock = registry.clock
        """The event loop's, in seconds: one for all its streams."""
        self.client = client
        self.info = info
        self.stream: RegisteredStream | None = None
        """The stream, while it is open."""
        self.reason: CloseReason | None = None
        """Why the stream has ended, once it has."""

    @property
    def timers(self) -> CoalescedTimers:
        """The timers that the stream shares with the others."""
        return self._registry.timers

    @property
    def draining(self) -> bool:
        """Whether the application is draining."""
        return self._registry.drain.begun.is_set()

    def drain(self, delay: float) -> None:
        """End the stream, if it is open, after `drain_grace` and this many seconds."""
        if self.stream is not None:
            self.stream.drain(delay)

    def counts(self) -> tuple[int, int, int]:
        """Return the events and the bytes that were sent, and the bytes that wait."""
        return (0, 0, 0) if self.stream is None else self.stream.counts()

    def opened(self, stream: RegisteredStream) -> None:
        """Note that the stream is open, from this moment on."""
        self.stream, self._began = stream, self.clock()
        self._registry.counters.opened += 1
        if self.info is not None:
            self._registry.tell(StreamOpened(self.info))
        if self.draining:
            stream.drain(0)

    def tell(self, record: StreamRecord) -> None:
        """Tell the observers."""
        self._registry.tell(record)

    def seconds(self, now: float) -> float:
        """Return how long the stream has been open."""
        return now - self._began

    def closed(self, reason: CloseReason, error: BaseException | None) -> None:
        """Note that the stream, which was open, has ended."""
        events, size, _ = self.counts()
        self._registry.counters.closed(reason, events, size)
        self.stream, self.reason = None, reason
        if self.info is not None:
            seconds = self.seconds(self.clock())
            self.tell(StreamClosed(self.info, reason, events, size, seconds, error))

    def give_back(self) -> None:
        """Make room for another stream. To be called once."""
        self._registry.leave(self)


class Registry:
    """The open streams. Made in the event loop that it is for."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.clock = clock()
        self.timers = CoalescedTimers()
        """Of the streams' keep-alives."""
        self.counters = Counters()
        self._slots: Slots[Slot] = Slots(policy)
        self.drain = Drain(policy, self._slots)

    def enter(self, client: str | None, info: StreamInfo | None) -> Slot | Full:
        """Admit a stream, or say why not."""
        full = Full.DRAINING if self.drain.begun.is_set() else self._slots.why_full(client)
        if full is not None:
            self.counters.refused()
            if info is not None:
                self.tell(StreamClosed(info, CloseReason.REFUSED, 0, 0, 0.0))
            return full
        self.drain.listen()
        slot = Slot(self, client, info)
        self._slots.take(slot)
        return slot

    def leave(self, slot: Slot) -> None:
        """Take a slot back."""
        self._slots.give_back(slot)
        self.drain.slot_given_back()

    def until_shutdown(self, receive: Receive) -> Receive:
        """Return the `receive` of a lifespan, whose shutdown waits for the streams to end.

        Most servers have waited for them already. One ends their tasks when the lifespan is over.
        """

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self.drain.shut_down()
            return message

        return received

    def tell(self, record: StreamRecord) -> None:
        """Tell the observers. None of them can do harm by it."""
        for observer in self.policy.observers:
            try:
                observer(record)
            except Exception:
                logger.exception("observer %r failed on %r", observer, record)

    def stats(self) -> StreamStats:
        """Return the counts at this moment."""
        return self.counters.stats(
            [slot.counts() for slot in self._slots],
            clients=self._slots.clients,
            draining=self.drain.begun.is_set(),
        )


class Registries:
    """One registry for each event loop, as an application may run in several.

    They end with the application, also where its event loop goes on: a `RunVar` would keep them.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._of_loop: WeakKeyDictionary[object, Registry] = WeakKeyDictionary()

    def current(self) -> Registry:
        """Return the registry of the running event loop.

        In a worker thread, that of the event loop which the thread works for.

        Raises:
            RuntimeError: there is no event loop.
        """
        try:
            token = current_token()
        except RuntimeError:
            return from_thread.run_sync(self.current)
        registry = self._of_loop.get(token)
        return self.renewed() if registry is None else registry

    def renewed(self) -> Registry:
        """Begin anew in the running event loop: another server may follow one that has ended."""
        self._of_loop[current_token()] = registry = Registry(self.policy)
        return registry
