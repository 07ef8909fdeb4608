"""`Drain`: ends all streams of an application in good order.

Rules of this file:
- A drain tells every open stream at once. If their ends are to be spread, each has its own delay.
- It begins once, when the server is told to stop or when the application asks for it.
- It listens for the server's end from the first stream on, until the drain is over, or until the
  lifespan or the event loop ends.
- If several uvicorn servers share an event loop, each ends only its own streams. The drain begins
  when the last one that serves the application stops.
- If a server's end has begun the drain, it is over when all streams have ended and another server
  sends a request. If the application has begun it, it is over with the next lifespan.
- The listening holds only a weak reference to the drain, so it ends with the application.
"""

from collections.abc import Callable, Iterable, Sized
from typing import Protocol
from weakref import finalize, ref

import anyio

from sse_middleware.settings import Policy
from sse_middleware.shutdown.listener import Listening, Server, listen


class _Draining(Protocol):
    """A slot, as far as it counts here."""

    server: Server | None

    def drain(self, delay: float) -> None:
        """End the stream, if it is open, after `drain_grace` and this many seconds."""


class _Slots(Sized, Iterable[_Draining], Protocol):
    """The slots that are taken. They come and go."""

    open: int
    """How many belong to streams that have not ended."""


class Drain:
    """The drain of one application in one event loop.

    Args:
        policy: says whether the server's end begins it, and how the ends are spread.
        slots: the slots of the open streams.
    """

    def __init__(self, policy: Policy, slots: _Slots) -> None:
        self.begun = anyio.Event()
        """Set when the streams are told to end."""
        self.active = False
        """Whether `begun` is set. Each stream looks at it."""
        self._policy = policy
        self._slots = slots
        self._emptied = anyio.Event()
        self._told_by_server = False
        self._listening: Listening | None = None
        self._stop_listening: Callable[[], object] | None = None

    def listen(self) -> Server | None:
        """Begin when the server is told to stop, if the policy wants a drain.

        Returns:
            The server of the running request, if it is known.
        """
        if not self._policy.drain:
            return None
        if self.active:
            return self._begin_anew()
        if self._listening is None:
            self._listening = self._listen()
        return self._listening.server_of_request()

    def _begin_anew(self) -> Server | None:
        """Serve again if the running request came to a server that has not stopped."""
        if not (self._told_by_server and self._emptied.is_set()):
            return None
        self._listening = listening = self._listen()
        if not listening.goes_on():
            self.close()
            return None
        self.begun, self._emptied = anyio.Event(), anyio.Event()
        self.active = self._told_by_server = False
        return listening.server_of_request()

    def _listen(self) -> Listening:
        """Listen, without keeping this drain alive: the end of the drain ends the listening."""
        weak = ref(self)

        def begin() -> None:
            if (drain := weak()) is not None:
                drain.begin_with_server()

        def server_stops(server: Server, *, last: bool) -> None:
            if (drain := weak()) is not None:
                drain.server_stops(server, last=last)

        listening = listen(
            begin, server_stops, lambda: bool((drain := weak()) and drain.is_in_use())
        )
        self._stop_listening = finalizer = finalize(self, listening.end)
        finalizer.atexit = False
        return listening

    def is_in_use(self) -> bool:
        """Whether there are open streams."""
        return self._slots.open > 0

    def includes(self, server: Server | None) -> bool:
        """Whether the streams of a server are told to end."""
        return self.active or (server is not None and server.is_stopping())

    def stopping(self, server: Server | None) -> bool:
        """Whether an ``http.disconnect`` may mean that the server has been told to stop.

        Some servers send it then, although the client is still there.
        """
        if server is not None:
            return server.disconnects()
        return self._listening is not None and self._listening.disconnects()

    def server_stops(self, server: Server, *, last: bool) -> None:
        """Tell the streams of a server to end, and those whose server is not known.

        Args:
            server: the server that has been told to stop.
            last: whether no other server serves the application.
        """
        if last:
            self.begin_with_server()
        else:
            self._tell([slot for slot in self._slots if slot.server in (server, None)])

    def begin_with_server(self) -> None:
        """As `begin`, because a server stops. The drain is over when another server serves."""
        self._told_by_server = self._told_by_server or not self.active
        self.begin()

    def begin(self) -> None:
        """Tell every open stream to end."""
        if self.active:
            return
        self.active = True
        self.begun.set()
        self._tell(list(self._slots))
        self.stream_ended()

    def _tell(self, slots: list[_Draining]) -> None:
        for number, slot in enumerate(slots):
            slot.drain(self._policy.drain_spread * number / len(slots))

    def stream_ended(self) -> None:
        """Notice the end of a stream, which may be the last one. The drain has begun."""
        if not self._slots.open:
            self._emptied.set()
            self.close()

    async def run(self) -> None:
        """Tell every open stream to end, and wait until the last one has ended."""
        self.begin()
        await self._emptied.wait()

    async def shut_down(self) -> None:
        """As `run`, at the shutdown of the lifespan, if the policy wants a drain."""
        if self._policy.drain:
            self.begin_with_server()
            await self._emptied.wait()
        self.close()

    def close(self) -> None:
        """Stop listening for the server's end."""
        stop, self._stop_listening, self._listening = self._stop_listening, None, None
        if stop is not None:
            stop()
