"""`ThreadProducer`: pulls the items of a synchronous iterable in a thread.

Rules of this file:
- The iterable lives in one thread, from its first step to its close, and the thread has nothing
  else to do. All steps and the close run in one context.
- The thread starts with the first step. It parks while the outbox is full.
- The iterator is closed in any case, if it has a ``close``, even if it never produced anything. The
  thread drops its reference, too. That closes a generator inside a ``map`` or a ``chain``, which
  have no ``close``.
- An item that can't be encoded raises its error at the ``yield`` that it came from.
- Nothing can interrupt a step. If a step outlives its stream, the thread closes the iterator when
  the step returns.
- A ``StopIteration`` ends the stream only if ``next()`` raises it. Anywhere else it is an error.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from inspect import GEN_CREATED, getgeneratorstate, isgenerator
from typing import Any

from anyio import move_on_after

from sse_middleware.errors import EncodingError, printable
from sse_middleware.event_loop.raised_again import raise_again
from sse_middleware.event_loop.worker_thread import WorkerThread
from sse_middleware.introspection.generators import Stage
from sse_middleware.stream.abc import Encoder, FrameSink

logger = logging.getLogger(__name__)

REFUSED = 1024
"""Bytes that count for an item without a frame, such as a refused one. So a generator that yields
nothing else lets the event loop catch up, too."""


class ThreadProducer:
    """Pulls the items of a synchronous iterable in a thread of its own.

    The thread hands each frame over at once, so a frame is on its way while the thread waits for
    the next item. It parks after `BATCH_SIZE` bytes, so that the event loop can catch up.
    """

    BATCH_SIZE = 32 * 1024
    """Bytes that the thread hands over before it parks: worth a thread switch, cheap to hold."""

    def __init__(self, content: Iterable[Any], encoder: Encoder) -> None:
        self._content = content
        self._name = printable(getattr(content, "__qualname__", type(content).__qualname__))
        self._items: Iterator[Any] | None = None
        self._encoder = encoder
        self._thread: WorkerThread | None = None
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._delivery_scheduled = self._full = self._ended = False
        self._refusal: EncodingError | None = None
        self._error: BaseException | None = None
        self._close_error: BaseException | None = None

    async def produce(self, sink: FrameSink) -> None:
        """Pull items until the end, or until the sink wants no more."""
        self._sink = sink
        thread = self._start()
        try:
            while not self._ended:
                if self._full:
                    if not await sink.room():
                        return
                    self._full = False
                else:
                    thread.resume()
                    await thread.changed.wait()
        finally:
            self._deliver()
        error, self._error = self._error, None
        _raise(error)

    def stage(self) -> Stage:
        """Return `Stage.PRODUCING`. A thread is never cancelled, so its stage doesn't matter."""
        return Stage.PRODUCING

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back once the thread has returned, which may be now.

        There is no call if the event loop ends before that.
        """
        if self._thread is None:
            callback()
        else:
            self._thread.when_returned(callback)

    async def close(self, within: float) -> None:
        """Have the thread close the iterator, once the running step has returned.

        Waits for this many seconds. Raises what the iterator raises meanwhile. What it raises later
        is logged.
        """
        thread = self._thread
        if thread is None:
            if self._is_closed_without_thread():
                return
            thread = self._start(stopped=True)
        thread.stop()
        try:
            with move_on_after(within, shield=True):
                await thread.until_returned()
        finally:
            if not thread.returned:
                logger.warning("%s is still running, and is closed when it yields", self._name)
                thread.when_returned(self._log_error)
        if thread.returned:
            _raise(self._take_error())

    def _is_closed_without_thread(self) -> bool:
        """Close a generator that has not begun, which runs no code. Returns if all is closed."""
        content = self._content
        if isgenerator(content) and getgeneratorstate(content) == GEN_CREATED:
            content.close()
        return not self._open_ones()

    def _start(self, *, stopped: bool = False) -> WorkerThread:
        """Start the thread. One that is `stopped` takes no step, and only closes."""
        self._thread = thread = WorkerThread(self._work, f"sse_middleware {self._name}")
        if stopped:
            thread.stop()
        try:
            thread.start()
        except BaseException:
            self._thread = None
            raise
        return thread

    def _take_error(self) -> BaseException | None:
        error = self._error or self._close_error
        self._error = self._close_error = None
        return error

    def _log_error(self) -> None:
        if error := self._take_error():
            logger.error("%s failed after its stream had ended", self._name, exc_info=error)

    def _deliver(self) -> None:
        """Put the frames that were handed over. Called in the event loop."""
        self._delivery_scheduled = False
        full = False
        while self._frames:
            full = self._sink.put(*self._frames.popleft()) or full
        if full and self._thread is not None:
            self._full = True
            self._thread.changed.set()

    def _work(self, thread: WorkerThread) -> None:
        """Pull all items, and close. Called in the thread, like every method below."""
        try:
            if not thread.stopped:
                self._pull(thread)
        except BaseException as error:
            self._error = _as_error(error)
        self._ended = True
        try:
            self._close_items(thread)
        except BaseException as error:
            self._close_error = _as_error(error)
        self._items, self._content = None, ()

    def _pull(self, thread: WorkerThread) -> None:
        self._items = items = iter(self._content)  # may block, as a query does
        size = 0
        try:
            while not thread.stopped:
                if size >= self.BATCH_SIZE or self._full:
                    if not thread.park():
                        return
                    size = 0
                try:
                    item = next(items) if self._refusal is None else self._throw_at_yield(items)
                except StopIteration:
                    return
                try:
                    frame = self._encoder.encode(item)
                except EncodingError as refusal:
                    if not hasattr(items, "throw"):
                        raise
                    self._refusal = refusal
                    size += REFUSED
                    continue
                size += len(frame) or REFUSED
                self._frames.append((frame, item is not None))
                if not self._delivery_scheduled:
                    self._delivery_scheduled = True
                    thread.call(self._deliver)
        finally:
            del items  # the traceback of an error holds this frame

    def _throw_at_yield(self, items: Any) -> Any:
        """Throw why an item is refused at its ``yield``. Returns what is yielded next."""
        refusal, self._refusal = self._refusal, None
        try:
            return items.throw(refusal)
        finally:
            del refusal, items  # its traceback holds this frame

    def _close_items(self, thread: WorkerThread) -> None:
        open_ones = self._open_ones()
        if open_ones:
            thread.wake()  # nothing more will be put, however long this takes
        with ExitStack() as stack:
            for one in reversed(open_ones):
                stack.callback(one.close)

    def _open_ones(self) -> list[Any]:
        """Return what is to be closed: the iterator, and the content if it is an iterator, too.

        Any other iterable may be in use elsewhere.
        """
        items, content = self._items, self._content
        if content is items or not isinstance(content, Iterator):
            return [items] if _is_open(items) else []
        return [one for one in (items, content) if _is_open(one)]


def _is_open(items: Any) -> bool:
    """Whether there is something to close."""
    if isgenerator(items):
        return items.gi_frame is not None
    return callable(getattr(items, "close", None))


def _as_error(error: BaseException) -> BaseException:
    """Return what a coroutine may raise: a ``StopIteration`` would be its end."""
    if not isinstance(error, StopIteration):
        return error
    raised = RuntimeError("StopIteration was raised, but not by the next() of an iterator")
    raised.__cause__ = error
    return raised


def _raise(error: BaseException | None) -> None:
    try:
        if error is not None:
            raise_again(error)
    finally:
        del error  # its traceback holds this frame
