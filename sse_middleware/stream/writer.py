"""`Writer`: alone sends the messages of a stream, and is its keep-alive timer.

Rules of this file:
- The status line waits for the first frame, `commit_after` seconds at most. If the queue breaks
  before, nothing is sent, and the exception can still be answered as any other.
- All that is ready goes out in one message. A frame that comes alone goes out at once. Where frames
  come one per pass of the event loop, a write waits a few passes, because it costs more than they.
- Where the body is compressed, each message ends in a flush, so no event waits for the next one. A
  large message is compressed in a worker thread.
- A keep-alive breaks a silence of `ping_interval` seconds since the last message. The same timer
  says when a time limit of the stream is reached.
- A body that is broken ends without its last message, so that the server breaks it off instead of
  completing it. After an abandoned one nothing more is sent.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from starlette.types import Message, Send

from sse_middleware import events
from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.records import CloseReason, EventsSent, FirstEvent, PingSent, StreamInfo
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import ControlFrames, Ending, FrameQueue
from sse_middleware.stream.opening import Opening
from sse_middleware.stream.time_limits import TimeLimits
from sse_middleware.validation import UNSET
from sse_middleware.wire.compression import Codec

if TYPE_CHECKING:
    import anyio

FLOW = 0.001
"""Seconds between two writes below which frames are in full flow and are gathered: far shorter than
anyone could notice, far longer than a write takes."""

GATHER_PASSES = 3
"""Passes of the event loop that a write in full flow waits for more frames: they bring most of what
can be gained, and a frame that comes alone doesn't pay for them."""

OFF_THE_LOOP = 32 * 1024
"""Bytes from which on a write is compressed in a worker thread. Compressing them takes 0.5 ms,
switching threads 0.1 ms."""

COMPRESSING_THREADS = 4
"""Threads that compress large messages at the same time: more don't help, since each write waits
for one of them only."""

_COMPRESSORS: RunVar[CapacityLimiter] = RunVar("sse_middleware.compressors")
"""The limiter of these threads: one for all streams of an event loop, with and without the
middleware."""


class Writer:
    """Sends what a queue holds.

    Args:
        queue: where frames come from.
        send: where messages go.
        control: knows the keep-alive, if it is always the same.
        make_ping: makes one.
        settings: when to send.
        opening: how the response begins.
        on_limit: called when a time limit is reached. It closes the queue.
    """

    __slots__ = (
        "_clock",
        "_codec",
        "_commit_after",
        "_control",
        "_info",
        "_interval",
        "_limits",
        "_make_ping",
        "_on_limit",
        "_opening",
        "_queue",
        "_ready",
        "_send",
        "_sent",
        "events",
        "has_sent",
        "size",
        "started",
    )

    def __init__(
        self,
        queue: FrameQueue,
        send: Send,
        control: ControlFrames,
        make_ping: Callable[[], bytes],
        settings: StreamSettings,
        opening: Opening,
        on_limit: Callable[[CloseReason], object],
    ) -> None:
        self.started = False
        """Whether the status line has been sent."""
        self.has_sent: anyio.Event | None = None
        """Set once a frame has been sent. Only there if a task waits for that."""
        self.events = self.size = 0
        """How many events and bytes of the body were sent."""
        self._queue = queue
        self._ready = queue.ready
        self._send = send
        self._control = control
        self._make_ping = make_ping
        self._opening = opening
        self._info = opening.slot.info
        self._codec = None if opening.codec is None else opening.codec()
        self._on_limit = on_limit
        self._commit_after = settings.commit_after
        self._interval = _ping_interval(settings)
        self._clock = opening.slot.clock
        self._sent = self._clock()
        self._limits = TimeLimits(settings, self._sent)

    def close(self) -> None:
        """Release what was held for sending."""
        self._codec = None
        self._ready.close()

    async def discard(self) -> None:
        """Drop what comes until the queue is closed, so that its producer can go on."""
        queue, limits = self._queue, self._limits
        self._ready.send_began = math.inf  # it may have failed, or hang
        while not queue.closed:
            if queue.take():
                limits.had_event(self._clock())
            in_time = queue.size or await self._ready.wait(limits.end)
            if not in_time or self._clock() >= limits.end:  # there may always be something to drop
                self._on_limit(limits.reach())

    async def send_nothing(self) -> None:
        """Send a whole response without a frame."""
        try:
            await self._send_in_time(self._opening.start)
            await self._send_in_time(_body(b"", more=False))
        finally:
            self._ready.close()

    async def commit(self) -> bool:
        """Send the status line once there is a reason to. Returns false if there never was.

        Raises what `send` raises.
        """
        queue = self._queue
        if not (queue.size or queue.closed or self._opening.at_once):
            await self._ready.wait(min(self._clock() + self._commit_after, self._limits.end))
        broken = queue.ending is Ending.BROKEN and not queue.size
        if broken or queue.ending is Ending.ABANDONED or queue.unread:
            return False
        self.started = True
        self._ready.start(self._opening.slot.timers, self._interval)
        await self._send_in_time(self._opening.start)
        if not (queue.size or queue.closed):
            # Some servers hold the headers back until there is a body.
            await self._send_in_time(_body(b"", more=True))
        return True

    async def send_frames(self) -> None:  # noqa: C901 - each call is paid for each event
        """Send until the queue is closed or left unread. Raises what `send` raises."""
        # One long function, because each call here is paid for each event that comes alone. In
        # silence it touches as few objects as it can: with many streams no cache holds them.
        queue, ready, clock = self._queue, self._ready, self._clock
        self._sent = clock()
        in_flow = False
        while True:
            if not ready.raised:
                await ready.wait_idle(self._sent, self._limits.end)
            now = clock()
            if now >= self._limits.end:
                self._on_limit(self._limits.reach())
            if not ready.raised:
                if not queue.between_events:  # of a foreign stream: a ping would stand in an event
                    self._sent = now
                    continue
                frames, taken = self._control.same_ping or self._make_ping(), self.events
            else:
                ready.raised = False
                if in_flow and now - self._sent < FLOW:
                    await self._gather()
                if queue.unread:
                    return
                if queue.closed:
                    await self._send_last()
                    return
                frames, taken = queue.take(), queue.events
            if self._codec is not None:
                frames = await self._compressed(self._codec, frames)
                now = clock()
            in_flow = True
            ready.send_began = now
            await self._send({"type": "http.response.body", "body": frames, "more_body": True})
            ready.send_began = math.inf
            self._sent = clock()
            self.size += len(frames)
            if taken != self.events or self._info is not None or self.has_sent is not None:
                self._had_sent(taken, len(frames))

    async def _gather(self) -> None:
        """Let a producer in full flow add to what is ready, as long as each pass brings more."""
        queue, pause = self._queue, checkpoint()
        for _ in range(GATHER_PASSES):
            before = queue.size
            await pause()
            if queue.size == before:
                return

    async def _send_last(self) -> None:
        """Send what still waits, and the last message unless the body is broken."""
        queue, codec = self._queue, self._codec
        complete, frames = queue.ending is Ending.COMPLETE, queue.take()
        if not (complete or (queue.ending is Ending.BROKEN and frames)):
            return
        queue.completing, taken = complete, queue.events
        if codec is not None:
            frames = await self._compressed(codec, frames)
            frames += codec.finish() if complete else b""
        await self._send_in_time(_body(frames, more=not complete))
        self.size += len(frames)
        self._count(taken, len(frames))

    async def _send_in_time(self, message: Message) -> None:
        self._ready.send_began = self._clock()
        await self._send(message)
        self._ready.send_began = math.inf
        self._sent = self._clock()

    def _had_sent(self, taken: int, size: int) -> None:
        """Note a message that was sent and isn't the last one."""
        if self.has_sent is not None:
            self.has_sent.set()
        self._count(taken, size)

    def _count(self, taken: int, size: int) -> None:
        """Note how many events had been taken up to a message that was sent."""
        events, self.events = taken - self.events, taken
        if events:
            self._limits.had_event(self._sent)
        if self._info is not None and size:
            self._tell(self._info, events, size)

    async def _compressed(self, codec: Codec, frames: bytes) -> bytes:
        """Compress. A worker thread does what would hold up the event loop."""
        if len(frames) < OFF_THE_LOOP:
            return codec.compress(frames) if frames else b""
        return await run_sync(codec.compress, frames, limiter=_compressors())

    def _tell(self, info: StreamInfo, events: int, size: int) -> None:
        slot = self._opening.slot
        if not (events or self._queue.completing):
            slot.tell(PingSent(info, size))
            return
        if events and events == self.events:
            slot.tell(FirstEvent(info, slot.seconds(self._sent)))
        slot.tell(EventsSent(info, events, size))


def _compressors() -> CapacityLimiter:
    try:
        return _COMPRESSORS.get()
    except LookupError:
        limiter = CapacityLimiter(COMPRESSING_THREADS)
        _COMPRESSORS.set(limiter)
        return limiter


def _body(frames: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": more}


def _ping_interval(settings: StreamSettings) -> float:
    interval = settings.ping_interval
    if interval is UNSET:
        return events._PING_INTERVAL  # noqa: SLF001 - private by name only, as FastAPI named it
    return math.inf if interval is None else interval
