"""`ThreadProducer`: pulls the items of a synchronous iterable in a worker thread.

Rules of this file:
- Each producer has a worker thread of its own, which it gives back whenever the outbox is full. It
  never takes one of the threads that the application's other endpoints share.
- It is always closed, even if it never produced anything.
- An item that can't be encoded raises its error at the ``yield`` that it came from.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from inspect import getgeneratorstate, isgenerator
from threading import Lock
from typing import Any

from anyio import CapacityLimiter, move_on_after
from anyio.to_thread import run_sync

from sse_middleware.errors import EncodingError
from sse_middleware.event_loop.loop import threadsafe_caller
from sse_middleware.event_loop.wakeup import wakeup
from sse_middleware.stream.abc import Encoder, FrameSink

logger = logging.getLogger(__name__)


class ThreadProducer:
    """Pulls the items of a synchronous iterable in a worker thread.

    The thread hands each frame over at once, so a frame is on its way while the thread waits for
    the next item. It stops after `BATCH_SIZE` bytes, so that the event loop can catch up. All its
    runs share one context, so the generator finds its context variables as it left them.
    """

    BATCH_SIZE = 32 * 1024
    """Bytes that the thread hands over before it stops: worth a thread switch, cheap to hold."""

    def __init__(self, content: Iterable[Any], encoder: Encoder) -> None:
        self._content = content
        self._items: Iterator[Any] | None = None
        self._encoder = encoder
        self._context: Context | None = None
        self._limiter = CapacityLimiter(1)
        self._ticket = Lock()
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._delivery_scheduled = self._full = False
        self._running = self._stopped = self._ended = False
        self._error: BaseException | None = None
        self._idle = wakeup()
        self._call_loop = threadsafe_caller()

    async def produce(self, sink: FrameSink) -> None:
        """Pull items until the end, or until the sink wants no more."""
        self._sink = sink
        while not self._ended:
            self._running = True
            self._ticket = Lock()
            try:
                await self._in_thread(self._ticket)
            finally:
                self._deliver()
            self._raise_error()
            if self._full and not await sink.room():
                return
            self._full = False

    async def close(self, within: float) -> None:
        """Close the generator in a worker thread, once the running ``next()`` has returned.

        Raises what the generator raises meanwhile.
        """
        self._stopped = True
        with move_on_after(within, shield=True) as scope:
            await self._stop()
        if scope.cancelled_caught:
            logger.warning("%r is still running, and is closed when it yields next", self._content)
        self._raise_error()

    async def _stop(self) -> None:
        if self._ticket.acquire(blocking=False):
            self._running = False  # no thread has started this run, and none will
        while self._running:
            await self._idle.wait()
        generator = self._items or self._content
        if isgenerator(generator):
            match getgeneratorstate(generator):
                case "GEN_CREATED":
                    generator.close()
                case "GEN_SUSPENDED":
                    await self._in_thread(Lock())

    async def _in_thread(self, ticket: Lock) -> None:
        await run_sync(self._run, ticket, abandon_on_cancel=True, limiter=self._limiter)

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _deliver(self) -> None:
        """Put the frames that were handed over. Called in the event loop."""
        self._delivery_scheduled = False
        while self._frames:
            self._full = self._sink.put(*self._frames.popleft()) or self._full

    def _run(self, ticket: Lock) -> None:
        """Pull a batch. Called in a worker thread, like every method below.

        Args:
            ticket: a lock that is acquired once. If `close` was first, this run doesn't take place.
        """
        if not ticket.acquire(blocking=False):
            return
        self._context = self._context or copy_context()
        try:
            self._context.run(self._pull)
        except BaseException as error:
            self._ended = True
            self._error = error
        finally:
            self._running = False
            self._notify(self._idle.set)

    def _pull(self) -> None:
        size = 0
        if self._items is None:
            self._items = iter(self._content)  # may block, as a query does
        while not self._stopped:
            if size >= self.BATCH_SIZE or self._full:
                return
            try:
                frame = self._next(self._items)
            except StopIteration:
                self._ended = True
                return
            size += len(frame[0])
            self._frames.append(frame)
            if not self._delivery_scheduled:
                self._delivery_scheduled = True
                self._notify(self._deliver)
        self._ended = True
        if isgenerator(self._items):
            self._items.close()

    def _next(self, items: Iterator[Any]) -> tuple[bytes, bool]:
        """Return the next frame, and whether it is an event."""
        item = next(items)
        while True:
            try:
                return self._encoder.encode(item), item is not None
            except EncodingError as error:
                throw = getattr(items, "throw", None)
                if throw is None:
                    raise
                item = throw(error)

    def _notify(self, callback: Callable[[], object]) -> None:
        try:
            self._call_loop(callback)
        except RuntimeError:
            # The loop ended before the running next() returned, so there is nobody left to notify.
            logger.warning("%r was still running when its event loop ended", self._content)
