"""One open stream: from the first item to the last byte, whatever happens in between.

Rules of this file:
- The producer keeps the endpoint's task. An anyio task group adds two children: the writer, which
  is the only one who sends and also the keep-alive timer, and the watcher of the connection.
- The children never raise. What goes wrong in them is kept, the producer is cancelled, and the
  endpoint's task raises it, alone, after the task group: no ExceptionGroup leaves this file.
- All that is ready goes out in one message. An event that comes alone goes out at once; where
  they come one per pass of the event loop, a write waits a few passes, since it costs more than
  they do.
- The status line waits for the first item, `commit_after` seconds at most. An exception before it
  is an exception of the endpoint, to be answered as any other.
- Everything that was yielded before an exception is delivered, then the exception goes on. The body
  then ends without its last message, so that the server breaks it off instead of completing it.
- A cancelled producer is cancelled once, and its source is closed in any case, in this task and
  within `cleanup_timeout` seconds.
"""

import logging
import math
from collections.abc import Callable
from typing import Protocol

import anyio
from starlette.types import Message, Send

from sse_middleware import events
from sse_middleware.backends import cancel_once, clock, next_pass, signal
from sse_middleware.connection import Connection
from sse_middleware.outbox import Outbox
from sse_middleware.settings import DEFAULT, StreamSettings

logger = logging.getLogger(__name__)

FLOW = 0.001
"""Seconds between two writes below which events are in full flow and are gathered: far shorter than
what anyone could notice, far longer than what a write costs."""

LAST_WORDS = 0.1
"""Seconds for a message that no client will read: it takes none, unless it would take all."""

GATHER_PASSES = 3
"""Passes of the event loop that a write in full flow waits for more events: most of what can be
gained, and nothing that an event which comes alone would pay."""


class Feed(Protocol):
    """What a stream sends: frames, put into its outbox."""

    async def feed(self, sink: Outbox) -> None:
        """Put every frame, and wait for room when told to."""

    async def close(self) -> None:
        """Release what is held, also if nothing was ever fed."""


class Stream:
    """One response body of events.

    Args:
        start: the ``http.response.start`` message.
        send: where messages go.
        connection: whose end ends the stream.
        settings: how it is sent.
        ping: makes a keep-alive.
        farewell: makes the last frame of a stream that failed, or ``b""``.
    """

    def __init__(
        self,
        start: Message,
        send: Send,
        connection: Connection,
        settings: StreamSettings,
        ping: Callable[[], bytes],
        farewell: Callable[[Exception], bytes],
    ) -> None:
        self._start = start
        self._send = send
        self._connection = connection
        self._ping = ping
        self._farewell = farewell
        self._commit_after = settings.commit_after
        self._cleanup_timeout = settings.cleanup_timeout
        self._ping_interval = _ping_interval(settings)
        self._clock = clock()
        self._next_pass = next_pass()
        self._outbox = Outbox(settings.max_buffer)
        self._producing = cancel_once(settings.cleanup_timeout)
        self._writing = signal()
        self._flowing = anyio.Event()
        self._started = self._completing = self._written = self._interrupted = False
        self._failure: BaseException | None = None

    async def run(self, source: Feed) -> None:
        """Send everything that `source` feeds.

        Returns when the body is complete or the client has gone. Raises what the source raised,
        what `send` raised, and a cancellation from outside.
        """
        async with anyio.create_task_group() as tasks:
            try:
                with self._producing:
                    tasks.start_soon(self._write)
                    tasks.start_soon(self._watch)
                    await self._produce(source)
            finally:
                await self._clean_up(source)
            tasks.cancel_scope.cancel()  # an exception ends the group by itself
        failure, self._failure = self._failure, None
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # its traceback holds this frame

    async def _produce(self, source: Feed) -> None:
        try:
            await source.feed(self._outbox)
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as error:
            self._failure = error
            self._say_farewell(error)
        self._outbox.close()
        while not self._written:
            await self._writing.wait()

    def _say_farewell(self, error: BaseException) -> None:
        if not isinstance(error, Exception) or not (self._started or self._outbox.frames):
            return
        try:
            self._outbox.put(self._farewell(error))
        except Exception:
            logger.exception("error_event failed on %r", error)

    async def _clean_up(self, source: Feed) -> None:
        with anyio.move_on_after(self._cleanup_timeout, shield=True) as scope:
            try:
                await source.close()
            except Exception as error:
                self._failure = self._failure or error
        if scope.cancelled_caught:
            logger.warning("%r took more than cleanup_timeout to close", source)
        if self._interrupted and not self._started and not self._connection.complete:
            await self._answer_nobody()

    async def _answer_nobody(self) -> None:
        """Send the status line although the client has left: a middleware above may wait for it."""
        with anyio.move_on_after(LAST_WORDS, shield=True):  # some servers then block for ever
            await self._send(self._start)
            await self._send(_body(b"", more=False))

    def _interrupt(self) -> None:
        if self._completing and self._connection.complete:
            return  # it was our own last message that ended the connection
        self._interrupted = True
        self._outbox.close()
        self._producing.cancel()

    async def _watch(self) -> None:
        try:
            if not self._connection.shared:
                await self._flowing.wait()
            await self._connection.watch(self._interrupt)
        except anyio.get_cancelled_exc_class():
            self._interrupt()
            raise
        except Exception as error:
            self._break_off(error)

    async def _write(self) -> None:
        try:
            if await self._commit():
                await self._send_events()
        except OSError:
            self._interrupt()  # from ASGI 2.4 on, this says that the client has gone
        except Exception as error:
            self._break_off(error)
        finally:
            self._written = True
            self._outbox.close()
            self._writing.set()

    def _break_off(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._interrupt()

    async def _commit(self) -> bool:
        """Send the status line once there is a reason to. Returns false if there never was."""
        outbox = self._outbox
        if not (outbox.frames or outbox.closed):
            await outbox.ready.wait(self._clock() + self._commit_after)
        if self._interrupted or (self._failure is not None and not outbox.frames):
            return False
        self._started = True
        await self._send(self._start)
        if not (outbox.frames or outbox.closed):
            await self._send(_body(b""))  # some servers hold the headers back until a body
        return True

    async def _send_events(self) -> None:
        outbox, send, clock, ready = self._outbox, self._send, self._clock, self._outbox.ready
        sent = clock()
        while True:
            waited = outbox.frames or outbox.closed or await ready.wait(sent + self._ping_interval)
            if clock() - sent < FLOW:
                await self._gather()
            if self._interrupted:
                return None
            ended = outbox.closed
            frames = outbox.take()
            if ended:
                return await self._send_last(frames)
            if not waited:
                frames = frames or self._ping()
            await send({"type": "http.response.body", "body": frames, "more_body": True})
            sent = clock()
            if not self._flowing.is_set():
                self._flowing.set()

    async def _gather(self) -> None:
        """Let a producer in full flow add to what is ready, as long as each pass brings more."""
        frames = self._outbox.frames
        for _ in range(GATHER_PASSES):
            before = len(frames)
            await self._next_pass()
            if len(frames) == before:
                return

    async def _send_last(self, frames: bytes) -> None:
        if self._failure is None:
            self._completing = True
            await self._send(_body(frames, more=False))
        elif frames:
            await self._send(_body(frames))


def _body(frames: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": frames, "more_body": more}


def _ping_interval(settings: StreamSettings) -> float:
    interval = settings.ping_interval
    if interval is DEFAULT:
        return events._PING_INTERVAL  # noqa: SLF001 - private by name only, as FastAPI named it
    return math.inf if interval is None else interval
