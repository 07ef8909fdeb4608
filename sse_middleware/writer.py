"""The writer of one connection: the only one who sends, and the keep-alive timer.

Rules of this file:
- The status line waits for the first frame, `commit_after` seconds at most. If the outbox breaks
  before, nothing is sent, and the exception can still be answered as any other.
- All that is ready goes out in one message. A frame that comes alone goes out at once; where they
  come one per pass of the event loop, a write waits a few passes, since it costs more than they do.
- Silence of `ping_interval` seconds since the last message is broken by a keep-alive.
- A body that is broken ends without its last message, so that the server breaks it off instead of
  completing it. Of one that is abandoned nothing more is sent.
"""

import math
from collections.abc import Callable

import anyio
from starlette.types import Message, Send

from sse_middleware import events
from sse_middleware.backends import clock, next_pass
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.settings import DEFAULT, StreamSettings

FLOW = 0.001
"""Seconds between two writes below which frames are in full flow and are gathered: far shorter than
what anyone could notice, far longer than what a write costs."""

GATHER_PASSES = 3
"""Passes of the event loop that a write in full flow waits for more frames: most of what can be
gained, and nothing that a frame which comes alone would pay."""


class Writer:
    """Sends what an outbox holds.

    Args:
        outbox: where frames come from.
        send: where messages go.
        ping: makes a keep-alive.
        settings: when to send.
    """

    def __init__(
        self,
        outbox: Outbox,
        send: Send,
        ping: Callable[[], bytes],
        settings: StreamSettings,
    ) -> None:
        self.start: Message = {}
        """The ``http.response.start`` message, set before anything is sent."""
        self.started = False
        """Whether the status line has been sent."""
        self.completing = False
        """Whether the last message has been sent, or is about to be."""
        self.has_sent = anyio.Event()
        """Set once a frame has been sent."""
        self._outbox = outbox
        self._send = send
        self._ping = ping
        self._commit_after = settings.commit_after
        self._ping_interval = _ping_interval(settings)
        self._clock = clock()
        self._next_pass = next_pass()

    async def run(self) -> None:
        """Send until the outbox is closed. Raises what `send` raises."""
        if await self._commit():
            await self._send_frames()

    async def send_nothing(self) -> None:
        """Send a whole response without a frame."""
        await self._send(self.start)
        await self._send(_body(b"", more=False))

    async def _commit(self) -> bool:
        """Send the status line once there is a reason to. Returns false if there never was."""
        outbox = self._outbox
        if not (outbox.size or outbox.closed):
            await outbox.ready.wait(self._clock() + self._commit_after)
        broken = outbox.ending is Ending.BROKEN and not outbox.size
        if broken or outbox.ending is Ending.ABANDONED:
            return False
        self.started = True
        await self._send(self.start)
        if not (outbox.size or outbox.closed):
            await self._send(_body(b""))  # some servers hold the headers back until a body
        return True

    async def _send_frames(self) -> None:
        outbox, send, clock, ready = self._outbox, self._send, self._clock, self._outbox.ready
        sent = clock()
        while True:
            waited = outbox.size or outbox.closed or await ready.wait(sent + self._ping_interval)
            if clock() - sent < FLOW:
                await self._gather()
            if outbox.closed:
                return await self._send_last()
            frames = outbox.take()
            if not waited:
                frames = frames or self._ping()
            await send({"type": "http.response.body", "body": frames, "more_body": True})
            sent = clock()
            if not self.has_sent.is_set():
                self.has_sent.set()

    async def _gather(self) -> None:
        """Let a producer in full flow add to what is ready, as long as each pass brings more."""
        outbox = self._outbox
        for _ in range(GATHER_PASSES):
            before = outbox.size
            await self._next_pass()
            if outbox.size == before:
                return

    async def _send_last(self) -> None:
        ending, frames = self._outbox.ending, self._outbox.take()
        if ending is Ending.COMPLETE:
            self.completing = True
            await self._send(_body(frames, more=False))
        elif ending is Ending.BROKEN and frames:
            await self._send(_body(frames))


def _body(frames: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": more}


def _ping_interval(settings: StreamSettings) -> float:
    interval = settings.ping_interval
    if interval is DEFAULT:
        return events._PING_INTERVAL  # noqa: SLF001 - private by name only, as FastAPI named it
    return math.inf if interval is None else interval
