"""The signals that stop a server: SIGTERM and SIGINT.

Rules of this file:
- Our handler is installed over the server's own. It passes the word on to the event loop, puts the
  server's handler back and calls it. So a second signal goes to the server alone, and the first one
  does what it did without us. This holds for `loop.add_signal_handler` too: there the interpreter
  writes a byte that calls back, whatever the handler is.
- A signal that is ignored is left alone.
- The default action ends the process at once. It waits until the listening ends, as it does when
  the streams have ended. A second signal doesn't wait. If the server stops by itself, the default
  action is not needed: hypercorn sends a signal to its other workers as soon as the first has
  stopped, whatever they still do.
- Of several handlers of ours, one below another can't be removed. It lets signals pass until those
  above it are gone, and is removed together with the one above it.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_Handler = Callable[[int, FrameType | None], Any] | signal.Handlers
"""A function, or `signal.SIG_DFL`, which is none."""


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
    """

    def __init__(self, number: int, below: _Handler, hear: Callable[[], Heard]) -> None:
        self._number = number
        self._below = below
        self._hear = hear
        self._uninstalled = False
        self._default_is_due = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Pass the signal on."""
        heard = self._hear()
        below = self._below_in_force()
        if callable(below):
            self.uninstall()  # also if it was uninstalled before, and is on top again
            below(number, frame)
        elif self._default_is_due or heard is Heard.BY_NOBODY:
            self._default_is_due = True
            self.uninstall()
        else:
            self._default_is_due = heard is Heard.NOW  # else the server stops by itself

    def give_way(self) -> None:
        """Uninstall this one if there is a handler below. A default action has to wait."""
        if callable(self._below_in_force()):
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
                signal.signal(self._number, self._below_in_force())
        if self._default_is_due:
            self._default_is_due = False
            signal.raise_signal(self._number)

    def _below_in_force(self) -> _Handler:
        """Return the next handler below that is in force, or the default action."""
        below = self._below
        while isinstance(below, SignalHandler) and below._uninstalled:  # noqa: SLF001 - this class
            below = below._below  # noqa: SLF001 - as above
        return below


def handlers(hear: Callable[[], Heard]) -> Iterator[SignalHandler]:
    """Make a handler for each signal.

    A signal that is ignored gets none, nor one with a handler that isn't Python's, which could not
    be put back.
    """
    for number in _SIGNALS:
        below = signal.getsignal(number)
        if callable(below) or below is signal.SIG_DFL:
            yield SignalHandler(number, below, hear)
