"""`Drain`: ends all streams of an application in good order.

Rules of this file:
- A drain tells every open stream at once. If their ends are to be spread, each has its own delay.
- It begins once, when the server is told to stop or when the application asks for it.
- It listens for the server's end from the first stream on, and stops when the last one has ended.
"""

from collections.abc import Callable, Iterable, Sized
from typing import Protocol

import anyio

from sse_middleware.settings import Policy
from sse_middleware.shutdown.listener import listen


class _Draining(Protocol):
    """A slot, as far as it counts here."""

    def drain(self, delay: float) -> None:
        """End the stream, if it is open, after `drain_grace` and this many seconds."""


class _OpenSlots(Sized, Iterable[_Draining], Protocol):
    """The slots that are taken; they come and go."""


class Drain:
    """The drain of one application in one event loop.

    Args:
        policy: whether the server's end begins it, and how the ends are spread.
        slots: of the open streams.
    """

    def __init__(self, policy: Policy, slots: _OpenSlots) -> None:
        self.begun = anyio.Event()
        """Set from the moment on when streams are told to end."""
        self._policy = policy
        self._slots = slots
        self._emptied = anyio.Event()
        self._stop_listening: Callable[[], None] | None = None

    def listen(self) -> None:
        """Begin when the server is told to stop, unless the policy is against it."""
        if self._policy.drain and self._stop_listening is None:
            self._stop_listening = listen(self.begin)

    def begin(self) -> None:
        """Tell every open stream to end."""
        if self.begun.is_set():
            return
        self.begun.set()
        count = len(self._slots)
        for number, slot in enumerate(self._slots):
            slot.drain(self._policy.drain_spread * number / count)
        self.slot_given_back()

    def slot_given_back(self) -> None:
        """Notice the end of the last stream."""
        if self.begun.is_set() and not self._slots:
            self._emptied.set()
            self.close()

    async def run(self) -> None:
        """Tell every open stream to end, and wait until the last one has ended."""
        self.begin()
        await self._emptied.wait()

    async def shut_down(self) -> None:
        """As `run`, at the shutdown of the lifespan, unless the policy is against it."""
        if self._policy.drain:
            await self.run()
        self.close()

    def close(self) -> None:
        """Stop listening for the server's end."""
        stop, self._stop_listening = self._stop_listening, None
        if stop is not None:
            stop()
