"""Where events come from: the iterables that endpoints return, pulled into a stream's outbox.

Rules of this file:
- A source pulls, encodes and puts, and waits for room when it is told to. It is fed once and always
  closed, also when it was never fed.
- An asynchronous iterable runs in the endpoint's own task.
- A synchronous one runs in a worker thread of its own, which it gives back whenever the outbox is
  full. It never takes one of the threads that the application's other endpoints share.
- An item that can't be encoded is thrown back at the ``yield`` that it came from.
"""

import logging
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from contextvars import Context, copy_context
from inspect import getgeneratorstate, isasyncgen, isgenerator
from threading import Lock
from typing import Any, Protocol

from anyio import CapacityLimiter, move_on_after
from anyio.to_thread import run_sync

from sse_middleware.backends import threadsafe_caller
from sse_middleware.errors import EncodingError
from sse_middleware.payload import Encoder
from sse_middleware.signals import signal
from sse_middleware.wire import FRAMING

logger = logging.getLogger(__name__)


class Sink(Protocol):
    """Where a source puts its frames.

    An event that is data and nothing else may also be put by hand, as its text: append it to
    ``texts``, add its length and ``FRAMING`` to ``size``, and if that reached ``look_at``, ask
    `is_full`. This is what makes bursts fast: two calls for each event cost a quarter of it all.
    """

    texts: list[bytes]
    size: int
    look_at: int

    def put(self, frame: bytes, events: int = 1) -> bool:
        """Take a frame of so many events. Returns true if the source must wait for `room`."""

    def is_full(self) -> bool:
        """Say whether the source must wait for `room` before the next frame."""

    async def room(self) -> bool:
        """Wait for room. Returns false if nothing more is wanted."""


class Source(Protocol):
    """A stream's events, as frames."""

    async def feed(self, sink: Sink) -> None:
        """Put every frame. Raises what the user's code raises."""

    async def close(self, within: float) -> None:
        """Release what the source holds, in so many seconds; harmless when it is exhausted."""


def source_of(content: AsyncIterable[Any] | Iterable[Any], encoder: Encoder) -> Source:
    """Make the source of an iterable's items."""
    if isinstance(content, AsyncIterable):
        return AsyncSource(_unwrapped(content), encoder)
    return ThreadSource(content, encoder)


def _unwrapped(content: AsyncIterable[Any]) -> AsyncIterable[Any]:
    """Take the endpoint's own generator out of FastAPI's.

    FastAPI wraps it into a generator that adds a checkpoint after every item. Closing the outer
    one would leave the inner one to the garbage collector, which runs its ``finally`` blocks later
    and in another task; and the checkpoints cost most of the speed. A wrapper that looks different
    stays.
    """
    if not isasyncgen(content) or content.ag_code.co_name != "_async_stream_raw":
        return content
    inner = content.ag_frame.f_locals.get("async_gen") if content.ag_frame else None
    return inner if isasyncgen(inner) else content


class AsyncSource:
    """Items of an asynchronous iterable, pulled in the running task."""

    __slots__ = ("_encoder", "_items")

    def __init__(self, content: AsyncIterable[Any], encoder: Encoder) -> None:
        self._items: AsyncIterator[Any] = aiter(content)
        self._encoder = encoder

    async def feed(self, sink: Sink) -> None:
        """Pull until the end, or until the sink wants no more."""
        encoder, put = self._encoder, sink.put
        plain, to_text, add = encoder.plain, encoder.to_text, sink.texts.append
        async for item in self._items:
            try:
                if type(item) in plain:
                    add(text := to_text(item, by_alias=True))
                    sink.size += len(text) + FRAMING
                    full = sink.size >= sink.look_at and sink.is_full()
                else:
                    full = put(encoder.encode(item), item is not None)
                    plain = encoder.plain
            except Exception as error:
                full = put(*await self._refuse(encoder.refusal(item, error)))
            if full and not await sink.room():
                return

    async def close(self, within: float) -> None:
        """Close the iterator, if it can be closed.

        A generator may stand inside of scopes of its own, so there must be none around its closing.
        """
        aclose = getattr(self._items, "aclose", None)
        if isasyncgen(self._items):
            await self._items.aclose()
        elif aclose is not None:
            with move_on_after(within, shield=True):
                await aclose()

    async def _refuse(self, error: Exception) -> tuple[bytes, bool]:
        """Throw `error` at the ``yield``; a generator that catches it yields its next item.

        Returns the frame of that, and whether it is an event.
        """
        athrow = getattr(self._items, "athrow", None)
        if athrow is None:
            raise error
        while True:
            try:
                item = await athrow(error)
                return self._encoder.encode(item), item is not None
            except EncodingError as another:
                if another is error:
                    raise
                error = another
            except StopAsyncIteration:
                return b"", False


class ThreadSource:
    """Items of a synchronous iterable, pulled in a worker thread.

    The thread hands frames over as they come, so that an item is on its way while the next one is
    waited for, and stops when so much is on its way that the event loop has to catch up first. All
    its runs share one context, so the generator finds its contextvars as it left them.
    """

    BATCH_SIZE = 32 * 1024
    """Bytes handed over before the thread stops: worth a switch of threads, little to hold."""

    def __init__(self, content: Iterable[Any], encoder: Encoder) -> None:
        self._content = content
        self._items: Iterator[Any] | None = None
        self._encoder = encoder
        self._context: Context | None = None
        self._limiter = CapacityLimiter(1)
        self._ticket = Lock()
        self._handed: deque[tuple[bytes, bool]] = deque()
        self._notified = self._full = False
        self._running = self._stopped = self._ended = False
        self._error: BaseException | None = None
        self._idle = signal()
        self._call_loop = threadsafe_caller()

    async def feed(self, sink: Sink) -> None:
        """Pull until the end, or until the sink wants no more."""
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
        """Close the generator in a worker thread, after the running ``next()``.

        Raises what the generator raises in the meantime.
        """
        self._stopped = True
        with move_on_after(within, shield=True) as scope:
            await self._stop()
        if scope.cancelled_caught:
            logger.warning("%r is still running, and is closed when it yields", self._content)
        self._raise_error()

    async def _stop(self) -> None:
        if self._ticket.acquire(blocking=False):
            self._running = False  # no thread has begun, and none will
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
        """Put what was handed over; called in the event loop."""
        self._notified = False
        while self._handed:
            self._full = self._sink.put(*self._handed.popleft()) or self._full

    def _run(self, ticket: Lock) -> None:
        """Pull a batch; called in a worker thread, as everything below.

        Args:
            ticket: who holds it first decides whether this run takes place.
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
            self._handed.append(frame)
            if not self._notified:
                self._notified = True
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
            # The loop has ended before the running next() returned: nobody is left to tell.
            logger.warning("%r was still running when its event loop ended", self._content)
