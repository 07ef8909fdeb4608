"""The signals that stop a server: SIGTERM and SIGINT.

Rules of this file:
- Our handler is installed over the server's own. It passes the word on to the event loop, puts the
  server's handler back and calls it. So a second signal goes to the server alone, and the first one
  does what it did without us. This holds for `loop.add_signal_handler` too: there the interpreter
  writes a byte that calls back, whatever the handler is.
- A signal that is ignored is left alone.
- The default action would end the process at once. So the first signal's action waits until the
  listening ends, when the streams have ended. A second signal doesn't wait. A server that stops by
  itself needs no default action: hypercorn signals its other workers as soon as the first has
  stopped, whatever they still do.
- One of our handlers below another can't be removed. It passes signals on until the one above is
  removed, and goes with it.
- An event loop that was closed hears nothing more. Its handlers are removed when the next one
  begins to listen.
- `asyncio.run` puts its own handler of SIGINT over Python's, and takes it off only if it is on top.
  If ours is there, we take it off with ours.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_Handler = Callable[[int, FrameType | None], Any] | signal.Handlers
"""A function, or `signal.SIG_DFL`, which can't be called."""


class Heard(Enum):
    """Whether the listener has heard that the server is told to stop."""

    NOW = "for the first time"
    BEFORE = "not for the first time"
    BY_NOBODY = "the listening has ended"


class SignalHandler:
    """Our handler of one signal, installed over the one that was there.

    Args:
        number: the signal.
        below: the handler that was there.
        hear: called when the signal comes.
        is_loop_closed: whether the event loop that would hear it has been closed.
    """

    def __init__(
        self,
        number: int,
        below: _Handler,
        hear: Callable[[], Heard],
        is_loop_closed: Callable[[], bool],
    ) -> None:
        self._number = number
        self._below = below
        self._hear = hear
        self._is_loop_closed = is_loop_closed
        self._uninstalled = False
        self._default_is_due = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Pass the signal on, down to the server's handler."""
        below = self._pass_on()
        while isinstance(below, SignalHandler):  # no recursion: there may be very many
            below = below._pass_on()  # noqa: SLF001 - this class
        if callable(below):
            below(number, frame)

    def _pass_on(self) -> _Handler:
        """Hear the signal. Returns the handler below, if there is any."""
        heard = self._hear()
        below = self.below_in_force()
        if callable(below):
            self.uninstall()  # also if it was uninstalled before, and is on top again
        elif self._default_is_due or heard is Heard.BY_NOBODY:
            self._default_is_due = True
            self.uninstall()
        else:
            self._default_is_due = heard is Heard.NOW  # else the server stops by itself
        return below

    def give_way(self) -> None:
        """Uninstall this one if there is a handler below. A default action has to wait."""
        if callable(self.below_in_force()):
            self.uninstall()

    def install(self) -> None:
        """Put this one on top."""
        with suppress(ValueError):  # the main thread of an interpreter that is not the main one
            signal.signal(self._number, self)

    def uninstall(self) -> None:
        """Let signals pass, and put what was below back if this one is on top."""
        self._uninstalled = True
        current: object = signal.getsignal(self._number)
        if current is self:
            with suppress(ValueError):  # another thread: it stays until the next signal
                signal.signal(self._number, self.below_in_force())
        if self._default_is_due:
            self._default_is_due = False
            signal.raise_signal(self._number)

    def below_in_force(self) -> _Handler:
        """Return the next handler below that is in force, or the default action."""
        self._below = _in_force(self._below)
        return self._below

    def skipped(self) -> _Handler | None:
        """Return the handler below if this one is not in force."""
        return self._below if self._uninstalled or self._is_loop_closed() else None


def handlers(
    hear: Callable[[], Heard], is_loop_closed: Callable[[], bool]
) -> Iterator[SignalHandler]:
    """Make a handler for each signal.

    An ignored signal gets none. Neither does one whose handler isn't Python's: it couldn't be put
    back.
    """
    for number in _SIGNALS:
        below = _in_force(signal.getsignal(number))
        if callable(below) or below is signal.SIG_DFL:
            _drop_those_not_in_force(below)
            yield SignalHandler(number, below, hear, is_loop_closed)


def _in_force(handler: Any) -> Any:
    """Return the first handler from this one down that is in force."""
    while isinstance(handler, SignalHandler):
        below = handler.skipped()
        if below is None:
            return handler
        handler = below
    return signal.default_int_handler if _is_of_ended_run(handler) else handler


def _is_of_ended_run(handler: Any) -> bool:
    """Whether a handler belongs to an `asyncio.run` that has ended."""
    owner = getattr(getattr(handler, "func", None), "__self__", None)
    if not isinstance(owner, asyncio.Runner):
        return False
    main_task = handler.keywords.get("main_task")
    return isinstance(main_task, asyncio.Task) and main_task.done()


def _drop_those_not_in_force(handler: _Handler) -> None:
    while isinstance(handler, SignalHandler):
        handler = handler.below_in_force()
