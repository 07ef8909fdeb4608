"""The open streams of one application in one event loop: how many there may be, and how they end.

Rules of this file:
- Who is admitted holds a slot until it is given back, whatever happens in between.
- A drain tells every open stream at once, ends them one after the other if they are to be spread,
  and admits no other. It is begun once, by whoever is first: the server's end or the application.
- What is counted is counted whether anyone observes or not; records are made only for observers.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Protocol
from weakref import WeakKeyDictionary

import anyio
from anyio import from_thread
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive

from sse_middleware.alarms import Alarms
from sse_middleware.backends import clock, running_loop
from sse_middleware.checks import check_count, check_seconds, is_function
from sse_middleware.errors import ConfigurationError
from sse_middleware.records import (
    CloseReason,
    Observer,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
    StreamStats,
)
from sse_middleware.shutdown import listen

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What holds for all streams of an application together."""

    drain: bool = True
    """Whether the end of the server drains."""
    drain_spread: float = 0.0
    """Seconds over which the ends of a drain's streams are spread."""
    max_streams: int | None = None
    max_streams_per_client: int | None = None
    client_key: Callable[[HTTPConnection], str | None] = lambda _: None
    observers: Sequence[Observer] = ()

    def __post_init__(self) -> None:
        """Refuse what can't work, so that no protection is missing where one was wanted."""
        if not isinstance(self.drain, bool):
            raise ConfigurationError(f"drain must be True or False, got {self.drain!r}")
        check_seconds("drain_spread", self.drain_spread, "0 ends all at once", zero=True)
        for name in ("max_streams", "max_streams_per_client"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), "streams")
        if not is_function(self.client_key):
            allowed = "a function that is not async"
            raise ConfigurationError(f"client_key must be {allowed}, got {self.client_key!r}")
        observers = self.observers
        if not (isinstance(observers, list | tuple) and all(map(is_function, observers))):
            allowed = "a list of functions that are not async"
            raise ConfigurationError(f"observers must be {allowed}, got {observers!r}")
        object.__setattr__(self, "observers", tuple(observers))


class Full(Enum):
    """Why a stream isn't admitted."""

    DRAINING = "the server is about to stop"
    STREAMS = "too many streams are open"
    CLIENT = "too many streams of this client are open"


class OpenStream(Protocol):
    """What a registry knows of a stream."""

    def drain(self, delay: float) -> None:
        """End after `drain_grace` and so many seconds."""

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
        self.stream: OpenStream | None = None
        """The stream, while it is open."""
        self.reason: CloseReason | None = None
        """Why the stream has ended, once it has."""

    @property
    def alarms(self) -> Alarms:
        """The timers that the stream shares with the others."""
        return self._registry.alarms

    @property
    def draining(self) -> bool:
        """Whether the application is draining."""
        return self._registry.draining.is_set()

    def opened(self, stream: OpenStream) -> None:
        """Note that the stream is open, from this moment on."""
        self.stream, self._began = stream, self.clock()
        self._registry.opened += 1
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
        events, size, _ = self.stream.counts() if self.stream else (0, 0, 0)
        self._registry.closed[reason] += 1
        self._registry.events += events
        self._registry.size += size
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
        self.draining = anyio.Event()
        """Set from the moment on when streams are told to end."""
        self.alarms = Alarms()
        """Of the streams' keep-alives."""
        self.clock = clock()
        self.opened = self.events = self.size = 0
        self.closed: Counter[CloseReason] = Counter()
        self.policy = policy
        self._slots: dict[Slot, None] = {}
        self._clients: Counter[str] = Counter()
        self._unlisten: Callable[[], None] | None = None
        self._emptied = anyio.Event()

    def enter(self, client: str | None, info: StreamInfo | None) -> Slot | Full:
        """Admit a stream, or say why not."""
        full = self._full(client)
        if full is not None:
            self.closed[CloseReason.REFUSED] += 1
            if info is not None:
                self.tell(StreamClosed(info, CloseReason.REFUSED, 0, 0, 0.0))
            return full
        if self.policy.drain and self._unlisten is None:
            self._unlisten = listen(self.begin_drain)
        slot = Slot(self, client, info)
        self._slots[slot] = None
        if client is not None:
            self._clients[client] += 1
        return slot

    def _full(self, client: str | None) -> Full | None:
        policy = self.policy
        if self.draining.is_set():
            return Full.DRAINING
        if policy.max_streams is not None and len(self._slots) >= policy.max_streams:
            return Full.STREAMS
        most = policy.max_streams_per_client
        if most is not None and client is not None and self._clients[client] >= most:
            return Full.CLIENT
        return None

    def leave(self, slot: Slot) -> None:
        """Take a slot back."""
        del self._slots[slot]
        if slot.client is not None:
            self._clients[slot.client] -= 1
            if not self._clients[slot.client]:
                del self._clients[slot.client]
        if not self._slots and self.draining.is_set():
            self._drained()

    def begin_drain(self) -> None:
        """Tell every open stream to end."""
        if self.draining.is_set():
            return
        self.draining.set()
        count = len(self._slots)
        if not count:
            self._drained()
        for number, slot in enumerate(self._slots):
            if slot.stream is not None:
                slot.stream.drain(self.policy.drain_spread * number / count)

    def _drained(self) -> None:
        self._emptied.set()
        self._stop_listening()

    async def drain(self) -> None:
        """Tell every open stream to end, and wait until the last one has."""
        self.begin_drain()
        await self._emptied.wait()

    def until_shutdown(self, receive: Receive) -> Receive:
        """Return the `receive` of a lifespan, whose shutdown waits for the streams to end.

        Most servers have waited for them already; one ends their tasks when the lifespan is over.
        """

        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._shut_down()
            return message

        return received

    async def _shut_down(self) -> None:
        if self.policy.drain:
            await self.drain()
        self._stop_listening()

    def _stop_listening(self) -> None:
        unlisten, self._unlisten = self._unlisten, None
        if unlisten is not None:
            unlisten()

    def tell(self, record: StreamRecord) -> None:
        """Tell the observers, none of whom can do harm by it."""
        for observer in self.policy.observers:
            try:
                observer(record)
            except Exception:
                logger.exception("observer %r failed on %r", observer, record)

    def stats(self) -> StreamStats:
        """Return the counts at this moment."""
        counts = [slot.stream.counts() for slot in self._slots if slot.stream is not None]
        events, size, waiting = map(sum, zip((0, 0, 0), *counts, strict=True))
        return StreamStats(
            open=len(self._slots),
            clients=len(self._clients),
            draining=self.draining.is_set(),
            opened=self.opened,
            closed=MappingProxyType({reason: self.closed[reason] for reason in CloseReason}),
            events=self.events + events,
            size=self.size + size,
            waiting=waiting,
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
            loop = running_loop()
        except RuntimeError:
            return from_thread.run_sync(self.current)
        registry = self._of_loop.get(loop)
        return self.renewed() if registry is None else registry

    def renewed(self) -> Registry:
        """Begin anew in the running event loop: another server may follow one that has ended."""
        self._of_loop[running_loop()] = registry = Registry(self.policy)
        return registry
