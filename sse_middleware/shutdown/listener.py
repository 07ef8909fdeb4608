"""How an application learns that its server has been told to stop, while streams are open.

No server tells its application of that before the last request is over, so a stream that never ends
keeps it from ever stopping. There are two ways to learn of it, and both are listened to:

- By a signal to the process that serves (`os_signals`).
- By an event of hypercorn's (`hypercorn`).

Applications that share a process each listen for themselves, and end in any order.
"""

import threading
from collections.abc import Callable

from sse_middleware.event_loop.loop import running_asyncio_task, threadsafe_caller
from sse_middleware.shutdown import hypercorn
from sse_middleware.shutdown.os_signals import Heard, SignalHandler, handlers


def listen(callback: Callable[[], object]) -> Callable[[], None]:
    """Have a function called when the server of the running event loop is told to stop.

    The caller ends the listening when its streams have ended.

    Signals reach the main thread only. In another thread only hypercorn's event is heard.

    Args:
        callback: called in the event loop, at most once, and not after the listening has ended.

    Returns:
        A function that ends the listening, and puts the handlers of signals back. It may be called
        when the event loop has ended, and again.
    """
    listener = _Listener(callback)
    listener.begin()
    return listener.end


class _Listener:
    """One call of `listen`."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback
        self._call = threadsafe_caller()
        self._heard = False
        self._handlers: tuple[SignalHandler, ...] = ()
        self._leave_hypercorn: Callable[[], object] = _nothing

    def begin(self) -> None:
        in_asyncio = running_asyncio_task() is not None
        listen_in = hypercorn.listen_in_asyncio if in_asyncio else hypercorn.listen_in_trio
        self._leave_hypercorn = listen_in(self.hear)
        if threading.current_thread() is threading.main_thread():
            self._handlers = tuple(handlers(self.hear))
            for handler in self._handlers:
                handler.install()

    def hear(self) -> Heard:
        """Pass the word on to the event loop. Called there, or wherever a signal interrupts."""
        if self._callback is None:
            return Heard.BY_NOBODY
        if self._heard:
            return Heard.BEFORE
        self._heard = True
        for handler in self._handlers:
            handler.give_way()
        try:
            self._call(self._tell)
        except RuntimeError:  # the event loop has ended
            self._callback = None
            return Heard.BY_NOBODY
        return Heard.NOW

    def end(self) -> None:
        self._callback = None
        self._leave_hypercorn()
        for handler in self._handlers:
            handler.uninstall()

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback()


def _nothing() -> None:
    """Do nothing: the listening never began."""
