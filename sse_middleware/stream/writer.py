"""`Writer`: sends all messages of a stream, keep-alives included.

Rules of this file:
- It runs in a task of its own, while there is something to send and no longer. What a `send`
  awaits, and the scopes that it opens, belong to that task. An idle stream has none.
- Where the work of the stream suspends, the task begins at once, in the middle of that step. Most
  writes don't suspend, so an event that comes alone needs no other pass of the event loop.
- The status line waits for the first frame, `commit_after` seconds at most. If the queue breaks
  before, nothing is sent, and the exception can still be answered as any other.
- All that is ready goes out in one message. A frame that comes alone goes out at once. Where each
  pass of the event loop brings a frame, a write waits a few passes: it costs more than the frames.
- With `max_delay`, what is ready may wait for more. It doesn't where the stream ends, or where its
  producer waits for room.
- A keep-alive breaks a silence of `ping_interval` seconds since the last message. The same timer
  says when a time limit of the stream is reached.
- A broken body ends without its last message, so the server breaks it off instead of completing it.
  An abandoned body gets nothing more.
- It never raises. It reports errors to `Closing`.
"""

from collections.abc import Awaitable, Callable
from math import inf

import anyio
from starlette.types import Message, Send

from sse_middleware.event_loop.loop import checkpoint
from sse_middleware.event_loop.task_group import DaemonTaskGroup
from sse_middleware.event_loop.timed_writer import TimedWriter
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.closing import Closing
from sse_middleware.stream.compressor import Compressor
from sse_middleware.stream.connection import past_start
from sse_middleware.stream.queue import Queue
from sse_middleware.stream.send_delay import SendDelay
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.stream.time_limits import TimeLimits, ping_interval_of
from sse_middleware.wire.sent_ids import SentIds

FLOW = 0.001
"""Seconds between two writes below which frames are in full flow and are gathered: far shorter than
anyone could notice, far longer than a write takes."""

GATHER_PASSES = 3
"""Passes of the event loop that a write in full flow waits for more frames. More passes would gain
little. A frame that comes alone waits for none."""


class Writer(TimedWriter):
    """Sends what a queue holds.

    Args:
        stream: has the settings, and makes keep-alives. It is told of errors and time limits.
        queue: where frames come from.
        send: where messages go.
        start: how the response begins.
        tasks: where it runs.
    """

    __slots__ = (
        "_compressor",
        "_delay",
        "_has_sent",
        "_head",
        "_in_body",
        "_limits",
        "_notes",
        "_pass",
        "_queue",
        "_run",
        "_send",
        "_sent",
        "_silent",
        "_stream",
        "_tasks",
        "_tells",
        "ended",
        "events",
        "ids",
        "size",
        "started",
        "waiting",
    )

    def __init__(
        self,
        stream: Closing,
        queue: Queue,
        send: Send,
        start: StreamStart,
        tasks: DaemonTaskGroup,
    ) -> None:
        settings = stream.settings
        super().__init__(start.slot.clock, settings.send_timeout)
        self.started = False
        """Whether the status line has been sent."""
        self.waiting = False
        """Whether its timer runs, so that it sends by itself when something is due."""
        self.ended = False
        """Whether nothing more will be sent."""
        self.events = self.size = 0
        """How many events and bytes of the body were sent."""
        self.ids: SentIds | None = None
        """Knows the last id that was sent, from when on there are any."""
        self._stream, self._queue, self._tasks = stream, queue, tasks
        stream.control.follower = self
        self._send = self._pass = send
        self._in_body = False  # whether `_pass` is where messages of the body go
        self._head = start.head
        self._has_sent: anyio.Event | None = None
        # Whether something is noted of each message, and whether by `_note`.
        self._notes = self._tells = start.slot.info is not None or settings.idle_timeout is not None
        self._compressor = None if start.codec is None else Compressor(start.codec())
        self._sent, self._silent = -inf, False
        self._run: object = None  # what runs now
        self._delay: SendDelay | None = None
        if settings.max_delay is not None:
            self._delay = SendDelay(settings.max_delay, self.run)
            queue.patient = True
        self._limits: TimeLimits | None = None
        if settings.max_duration is not None or settings.idle_timeout is not None:
            self._limits = TimeLimits(settings, self._clock())
            self.time_limit = self._limits.end

    def follow_ids(self, ids: SentIds) -> None:
        """Note the ids of what is sent from now on."""
        self.ids, self._notes = ids, True

    def first_frame(self) -> anyio.Event:
        """Return an event that is set once a frame has been sent."""
        self._notes = self._tells = True
        self._has_sent = anyio.Event()
        return self._has_sent

    def close(self) -> None:
        """Send nothing more, and release what sending needed."""
        self.ended = True
        self._compressor = self._stream.control.follower = None
        if self._delay is not None:
            self._delay.end()
            self._delay = None
        self.stop_timer()

    def wait(self) -> None:
        """Run after `commit_after` seconds, if nothing else makes it run before."""
        self.waiting = True
        self.wait_for(self._stream.settings.commit_after)

    def wake(self) -> None:
        """Run soon."""
        if not (self._run or self.ended or self._waits()):
            self._run = run = object()
            self._tasks.create_task(self._write(run))

    def run(self) -> None:
        """Run now, until something suspends. Called in a step of the work."""
        if self._run or self.ended:
            return
        if self._delay is not None and self._waits():
            self._queue.rest()
            return
        self._run = run = object()
        self._tasks.create_eager_task(self._write(run))

    def _waits(self) -> bool:
        """Whether what is ready waits for more."""
        queue = self._queue
        ends = queue.closed or queue.unread
        urgent = not self.started or self._silent or ends or queue.in_room
        return self._delay is not None and self._delay.holds(urgent=urgent)

    def on_due(self, now: float) -> None:
        """Notice that a time limit is reached, or that a silence has lasted long enough."""
        if self._limits is not None and now >= self._limits.end:
            self._stream.close_early(self._limits.reach())
        elif self._queue.between_events and not (self._queue.unread or self._queue.closed):
            self._silent = True
            # A producer that fails in this very pass still gets a real status.
            (self.run if self.started else self.wake)()
        else:  # a ping would break a foreign event, or nobody reads it
            self.sent = now

    def on_send_timeout(self) -> None:
        """Notice that a `send` hangs. If the producer goes on, later runs drop what it puts."""
        if self._stream.send_timed_out():
            self._run = None
            self.wake()

    async def _write(self, run: object) -> None:  # noqa: C901, PLR0912 - see below
        # One long function, because each call here is paid for each event that comes alone.
        queue, ended, pause = self._queue, True, None
        try:
            if not (self._in_body or await self._begin()):
                return
            while queue.raised or self._silent:
                now = self._clock()
                if queue.raised:
                    queue.raised = False
                    if now - self._sent < FLOW:
                        if pause is None:
                            pause = checkpoint()
                            await pause()  # the producer suspends only after this
                        await self._gather(pause)
                    if queue.unread:
                        break
                    if queue.closed:
                        await self._send_last()
                        break
                    frames, taken = queue.take(), queue.events
                    if not frames:  # nothing was for this client, so its silence goes on
                        continue
                else:
                    frames, taken = (
                        self._stream.control.same_ping or self._stream.ping(),
                        self.events,
                    )
                self._silent = False
                if self._compressor is not None:
                    plain, frames = frames, await self._compressor.compress(frames)
                self.send_began = now
                await self._pass({"type": "http.response.body", "body": frames, "more_body": True})
                self.send_began = inf
                self.sent = self._sent = self._clock()
                self.size += len(frames)
                if self._notes:
                    if self.ids is not None:
                        self.ids.note(frames if self._compressor is None else plain)
                    if self._tells:
                        self._note(taken, len(frames))
                self.events = taken
                if pause is not None:
                    await pause()  # in full flow the next event is about to come
            else:
                ended = False
        except OSError:
            self._stream.send_failed()
        except Exception as error:
            self._stream.fail(error)
        finally:
            if self._run is run and not (ended or queue.unread):
                self._run = None  # the usual case
            else:
                self._stop(run, ended=ended)

    def _stop(self, run: object, *, ended: bool) -> None:
        """Let another run follow, unless this was the last one."""
        if self._run is not run:  # its `send` timed out, and another run has followed
            return
        self._run = None
        if self._queue.unread:
            ended = self._discard()
        if ended:
            self.close()
            self._stream.writer_stopped()

    def _discard(self) -> bool:
        """Drop what waits: the client has left. Returns whether nothing more will come."""
        queue = self._queue
        queue.raised = False
        self.send_began = inf  # the last `send` may have failed, or hang
        if queue.take():
            self._note_event(self._clock())
        if not self.waiting:
            self.wait()  # for a time limit
        return queue.closed

    async def send_nothing(self) -> None:
        """Send a complete response without a frame."""
        await self._send_in_time(self._head)
        await self._send_in_time(_body(b"", more=False))

    async def _begin(self) -> bool:
        """Send the status line, unless the stream ends without one. Returns whether it was sent.

        The next time find out where messages of the body go: many streams send only one.
        """
        if self.started:
            self._pass, self._in_body = past_start(self._send), True
            return True
        queue = self._queue
        ending = queue.ending
        if queue.unread or ending is Ending.ABANDONED:
            return False
        if ending is Ending.BROKEN and not queue.size:
            return False
        self.started = self.waiting = True
        self._silent = False
        stream = self._stream
        self.start_timer(stream.slot.timers, ping_interval_of(stream.settings))
        await self._send_in_time(self._head)
        del self._head  # no open stream needs it
        if not (queue.size or queue.closed):
            # Some servers hold the headers back until there is a body.
            await self._send_in_time(_body(b"", more=True))
        return True

    async def _gather(self, pause: Callable[[], Awaitable[object]]) -> None:
        """Let a producer in full flow add to what is ready, as long as passes bring more."""
        queue = self._queue
        for _ in range(GATHER_PASSES):
            before = queue.size
            await pause()
            if queue.size == before:
                return

    async def _send_last(self) -> None:
        """Send what still waits, and the last message unless the body is broken."""
        queue = self._queue
        complete, frames = queue.ending is Ending.COMPLETE, queue.take()
        if not (complete or (queue.ending is Ending.BROKEN and frames)):
            return
        queue.completing, taken, plain = complete, queue.events, frames
        if self._compressor is not None:
            frames = await self._compressor.compress(frames)
            frames += self._compressor.finish() if complete else b""
        await self._send_in_time(_body(frames, more=not complete))
        self.size += len(frames)
        if self.ids is not None:
            self.ids.note(plain)
        self._note(taken, len(frames))
        self.events = taken

    async def _send_in_time(self, message: Message) -> None:
        self.send_began = self._clock()
        await self._send(message)
        self.send_began = inf
        self.sent = self._clock()

    def _note(self, taken: int, size: int) -> None:
        """Note a message that was sent. `taken` is how many events had been taken by then."""
        events = taken - self.events
        if events:
            self._note_event(self.sent)
        if size:
            is_event = events > 0 or self._queue.completing
            slot, first = self._stream.slot, not self.events
            slot.tell_sent(events, size, self.sent, ping=not is_event, first=first)
        if self._has_sent is not None and not self._queue.completing:
            self._has_sent.set()

    def _note_event(self, now: float) -> None:
        if self._limits is not None:
            self._limits.note_event(now)
            self.time_limit = self._limits.end


def _body(frames: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": more}
