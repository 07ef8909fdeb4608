"""`LoopCalls`: worker threads have coroutines run in an event loop, and wait for what they return.

Rules of this file:
- Any thread may call, but the event loop's own: it would wait for itself.
- What a call waits for ends with the hub: then the call raises an error.
"""

import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from sse_middleware.errors import HubError
from sse_middleware.event_loop.loop import threadsafe_caller

ResultT = TypeVar("ResultT")

_CLOSED = "the hub was closed before it had an answer: the outcome of the call is unknown"


class LoopCalls:
    """Calls from threads into the running event loop.

    Args:
        create_task: starts a task in the loop.
    """

    def __init__(self, create_task: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        self._create_task = create_task
        self._call_loop = threadsafe_caller()
        self._thread = threading.get_ident()
        self._waiting = set[Future[Any]]()
        self._closed = False

    def run(self, work: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Run a coroutine in the loop, and return what it returns. Any other thread calls this."""
        if threading.get_ident() == self._thread:
            raise HubError(
                "this is the thread of the hub's event loop, which would wait for itself: use "
                "`await hub.publish(...)`"
            )
        future = Future[ResultT]()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        if self._closed:  # `close` may have looked before
            self._fail(future)
        try:
            self._call_loop(lambda: self._start(work, future))
        except RuntimeError as error:
            raise HubError(_CLOSED) from error
        return future.result()

    def close(self) -> None:
        """Let nobody wait any more."""
        self._closed = True
        for future in tuple(self._waiting):
            self._fail(future)

    def _start(self, work: Callable[[], Coroutine[Any, Any, Any]], future: Future[Any]) -> None:
        if self._closed:
            self._fail(future)
        else:
            self._create_task(self._run(work, future))

    @staticmethod
    def _fail(future: Future[Any]) -> None:
        if not future.done():
            future.set_exception(HubError(_CLOSED))

    async def _run(self, work: Callable[[], Coroutine[Any, Any, Any]], future: Future[Any]) -> None:
        try:
            result = await work()
        except Exception as error:
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self._fail(future)
