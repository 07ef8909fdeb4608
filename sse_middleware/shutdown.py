"""How an application learns that its server has been told to stop, while streams are open.

No server tells its application of that before the last request is over, so a stream that never ends
keeps it from ever stopping. What is told is told in one of two ways, and both are listened to:

- By a signal, to the process that serves. Our handler is laid over the server's own: it passes the
  word on to the event loop, puts the server's handler back and calls it. So a second signal is the
  server's alone, and what the first one did without us it does with us. `loop.add_signal_handler`
  is no exception: what calls back there is a byte that the interpreter writes, whoever the handler
  is. A signal that is ignored is left alone. Where the default is in force, which ends the process
  at once, that waits until the listening ends, as it does when the streams have; a second signal
  doesn't wait. Where the server stops by itself, it is not needed at all: hypercorn sends one to
  its other workers as soon as the first has stopped, whatever they still do.
- By an event, to hypercorn's workers, which poll it, and to who calls its `serve` with a
  ``shutdown_trigger``. Beside the requests, tasks called ``raise_shutdown`` wait for it, and the
  first one that ends stops the server. Where such a task ends is where we hear of it. They begin
  after the lifespan has started up, so whoever listens there hears of hypercorn's signals at most.

Applications that share a process each lay a handler over the last, and end in any order. One that
is not on top can't be taken out: it lets signals pass until those above it are gone, and who takes
off the one above takes it off too.
"""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from enum import Enum
from types import FrameType
from typing import Any

from sse_middleware.backends import running_asyncio_task, threadsafe_caller

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_Handler = Callable[[int, FrameType | None], Any] | signal.Handlers
"""A function, or `signal.SIG_DFL`, which is none."""


def listen(callback: Callable[[], object]) -> Callable[[], None]:
    """Have a function called when the server of the running event loop is told to stop.

    Who is told ends the listening when its streams have ended.

    Signals reach the main thread only. Elsewhere a server is heard that tells in its own way.

    Args:
        callback: called in the event loop, once at most, and not after the listening has ended.

    Returns:
        What ends the listening, and puts the handlers of signals back. It may be called when the
        event loop has ended, and again.
    """
    listener = _Listener(callback)
    listener.begin()
    return listener.end


class Heard(Enum):
    """Who has heard that the server is told to stop."""

    NOW = "whoever listens is told"
    BEFORE = "whoever listens was told"
    BY_NOBODY = "the listening has ended"


class _Listener:
    """One call of `listen`."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback
        self._call = threadsafe_caller()
        self._heard = False
        self._links: tuple[_Link, ...] = ()
        self._leave: Callable[[], object] = _nothing

    def begin(self) -> None:
        in_asyncio = running_asyncio_task() is not None
        self._leave = (_heed_asyncio if in_asyncio else _heed_trio)(self.hear)
        if threading.current_thread() is threading.main_thread():
            self._links = tuple(_links(self.hear))
            for link in self._links:
                link.lay()

    def hear(self) -> Heard:
        """Pass the word on to the event loop. Called there, or wherever a signal interrupts."""
        if self._callback is None:
            return Heard.BY_NOBODY
        if self._heard:
            return Heard.BEFORE
        self._heard = True
        for link in self._links:
            link.let_pass()
        try:
            self._call(self._tell)
        except RuntimeError:  # the event loop has ended
            self._callback = None
            return Heard.BY_NOBODY
        return Heard.NOW

    def end(self) -> None:
        self._callback = None
        self._leave()
        for link in self._links:
            link.take_off()

    def _tell(self) -> None:
        if self._callback is not None:
            self._callback()


def _nothing() -> None:
    """Do nothing: what ends a listening that never began."""


# --- signals ----------------------------------------------------------------------------------


class _Link:
    """Our handler of one signal, laid over the one that was there.

    Args:
        number: the signal.
        below: the handler that was there.
        hear: called when the signal comes.
    """

    def __init__(self, number: int, below: _Handler, hear: Callable[[], Heard]) -> None:
        self._number = number
        self._below = below
        self._hear = hear
        self._over = self._due = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        heard = self._hear()
        heir = self._heir()
        if callable(heir):
            self.take_off()  # also when it was taken off, and came up again
            heir(number, frame)
        elif self._due or heard is Heard.BY_NOBODY:
            self._due = True
            self.take_off()
        else:
            self._due = heard is Heard.NOW  # otherwise the server stops by itself

    def let_pass(self) -> None:
        """Give way to a handler below; a default action has to wait."""
        if callable(self._heir()):
            self.take_off()

    def lay(self) -> None:
        with suppress(ValueError):  # the main thread of an interpreter that is not the main one
            signal.signal(self._number, self)

    def take_off(self) -> None:
        """Let signals pass, and put what was below back if this one is on top."""
        self._over = True
        current: object = signal.getsignal(self._number)
        if current is self:
            with suppress(ValueError):  # another thread; it stays until the next signal
                signal.signal(self._number, self._heir())
        if self._due:
            self._due = False
            signal.raise_signal(self._number)

    def _heir(self) -> _Handler:
        """Return the next handler below that is in force, or the default action."""
        below = self._below
        while isinstance(below, _Link) and below._over:  # noqa: SLF001 - another of this class
            below = below._below  # noqa: SLF001 - as above
        return below


def _links(hear: Callable[[], Heard]) -> Iterator[_Link]:
    """Make a handler for each signal.

    Not for one that is ignored, nor for one that is handled by something else than Python, which
    could not be put back.
    """
    for number in _SIGNALS:
        below = signal.getsignal(number)
        if callable(below) or below is signal.SIG_DFL:
            yield _Link(number, below, hear)


# --- hypercorn's own way ----------------------------------------------------------------------


def _heed_asyncio(hear: Callable[[], object]) -> Callable[[], object]:
    """Have `hear` called when hypercorn stops serving in this loop; return what ends that."""
    waiting = [task for task in asyncio.all_tasks() if _waits_for_shutdown(task.get_coro())]

    def on_done(_task: asyncio.Task[Any]) -> None:
        hear()

    def leave() -> None:
        for task in waiting:
            task.remove_done_callback(on_done)

    for task in waiting:
        task.add_done_callback(on_done)
    return leave


def _heed_trio(hear: Callable[[], object]) -> Callable[[], object]:
    """As `_heed_asyncio`: a task beside hypercorn's own is cancelled together with them."""
    import trio  # noqa: PLC0415 - no dependency, but it is running

    async def watch() -> None:
        with scope:
            try:
                await trio.sleep_forever()
            finally:
                if not scope.cancel_called:
                    hear()

    scope = trio.CancelScope()
    for task in _beside_ancestors(trio.lowlevel.current_task()):
        if _waits_for_shutdown(task.coro):
            task.parent_nursery.start_soon(watch)
            return scope.cancel
    return _nothing


def _beside_ancestors(task: Any) -> Iterable[Any]:
    """Yield the children of each trio task above one, from the nearest on."""
    while task.parent_nursery is not None:
        task = task.parent_nursery.parent_task
        for nursery in task.child_nurseries:
            yield from nursery.child_tasks


def _waits_for_shutdown(coroutine: Any) -> bool:
    """Whether it is the one of hypercorn's whose end is the end of serving."""
    frame = getattr(coroutine, "cr_frame", None)
    if frame is None or frame.f_code.co_name != "raise_shutdown":
        return False
    return str(frame.f_globals.get("__name__")).partition(".")[0] == "hypercorn"
