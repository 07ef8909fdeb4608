"""The open streams of one application in one event loop: their slots, drain and counters."""

import logging
from asyncio import AbstractEventLoop
from dataclasses import dataclass
from functools import partial
from typing import Protocol
from weakref import WeakKeyDictionary

from anyio import from_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware.errors import printable
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
from sse_middleware.registry.slots import Full, Held, Slots
from sse_middleware.settings import Policy
from sse_middleware.shutdown.loop_end import LoopEnd

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
        registry: the registry that it belongs to.
        client: the client that it is counted for, ``None`` if clients aren't counted.
        info: for observers, ``None`` if there are none.
        server: the server that the request came to, if it is known.
    """

    __slots__ = (
        "_began",
        "_registry",
        "client",
        "clock",
        "ended",
        "info",
        "reason",
        "server",
        "stream",
    )

    def __init__(
        self,
        registry: "Registry",
        client: str | None,
        info: StreamInfo | None,
        server: object | None = None,
    ) -> None:
        self._registry = registry
        self._began = 0.0
        self.clock = registry.clock
        """The event loop's clock, in seconds. All its streams share it."""
        self.client = client
        self.info = info
        self.server = server
        """The server that the request came to, if it is known."""
        self.stream: RegisteredStream | None = None
        """The stream, while it is open."""
        self.reason: CloseReason | None = None
        """Why the stream has ended, once it has."""
        self.ended = False
        """Whether the stream has ended. The slot may be held longer."""

    @property
    def timers(self) -> CoalescedTimers:
        """The timers that the stream shares with the others."""
        return self._registry.timers

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
        self._registry.end(self)
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
        self.clock = clock()
        self.timers = CoalescedTimers()
        """The timers of the streams' keep-alives."""
        self.counters = Counters()
        self._slots: Slots[Slot] = Slots(policy, None if before is None else before.held)
        self.drain = Drain(policy, self._slots)

    @property
    def held(self) -> Held:
        """How many slots are taken."""
        return self._slots.held

    def enter(self, client: str | None, info: StreamInfo | None) -> Slot | Full:
        """Admit a stream, or say why not."""
        server = self.drain.listen()
        full = Full.DRAINING if self.drain.includes(server) else self._slots.why_full(client)
        if full is not None:
            self.counters.refused()
            if info is not None:
                self.tell(StreamClosed(info, CloseReason.REFUSED, 0, 0, 0.0))
            return full
        slot = Slot(self, client, info, server)
        self._slots.take(slot)
        return slot

    def end(self, slot: Slot) -> None:
        """Note that the stream of a slot has ended."""
        self._slots.end(slot)
        self.drain.stream_ended()

    def leave(self, slot: Slot) -> None:
        """Take a slot back."""
        self._slots.give_back(slot)
        self.drain.stream_ended()

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
            draining=self.drain.begun.is_set(),
        )


class Registries:
    """One registry for each event loop, as an application may run in several.

    A registry ends with its application even if the event loop goes on (a `RunVar` would keep it),
    and with its event loop even if the application goes on.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._of_loop: WeakKeyDictionary[object, _InLoop] = WeakKeyDictionary()

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
        here = self._of_loop.get(token)
        return (self._begin(token) if here is None else here).registry

    async def run_lifespan(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan of a server. The shutdown of the last one waits for the streams to end.

        Several servers in one event loop share one registry. A registry that was drained is
        replaced, because another server may follow one that has ended.
        """
        token = current_token()
        here = self._of_loop.get(token) or self._begin(token)
        if here.registry.drain.begun.is_set():
            here.registry = Registry(self.policy, here.registry)
        here.lifespans += 1
        lifespan = _Lifespan(here, receive)
        try:
            await app(scope, lifespan.receive, send)
        finally:
            lifespan.end()

    def _begin(self, token: object) -> "_InLoop":
        for other in list(self._of_loop):
            if isinstance(other, AbstractEventLoop) and other.is_closed():  # it told nobody
                self._end(other)
        here = _InLoop(Registry(self.policy), LoopEnd(partial(self._end, token)))
        self._of_loop[token] = here
        return here

    def _end(self, token: object) -> None:
        self._of_loop.pop(token).registry.drain.close()


@dataclass(eq=False)
class _InLoop:
    """What belongs to an application in one event loop."""

    registry: Registry
    loop_end: LoopEnd
    lifespans: int = 0
    """How many have begun and not ended."""


class _Lifespan:
    """A lifespan that has begun."""

    def __init__(self, here: _InLoop, receive: Receive) -> None:
        self._here = here
        self._receive = receive
        self._ended = False

    async def receive(self) -> Message:
        """Receive as from the server, but a shutdown only when the streams have ended.

        Most servers have waited for them already. granian ends what is left of their tasks with
        the lifespan.
        """
        message = await self._receive()
        if message["type"] == "lifespan.shutdown":
            self.end()
            if not self._here.lifespans:
                await self._here.registry.drain.shut_down()
        return message

    def end(self) -> None:
        """Note that it has ended. Later calls change nothing."""
        self._here.lifespans -= not self._ended
        self._ended = True
