"""What is shown on stderr: lines that tell what happens, and a status line on a terminal.

Rules of this file:
- The status line is on the last line of the terminal, without a line end. Before anything else is
  printed, it is erased. It is never longer than the terminal is wide, or it could not be erased.
- Without a terminal there is no status line and no escape sequence.
- Nothing here fails: who closes stderr still gets the events.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from sse_middleware.cli.tail.harmless import harmless_line

_ERASE = "\r\x1b[K"
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class TextFile(Protocol):
    """The part of a text file that is used here."""

    def write(self, text: str, /) -> object:
        """Write a text."""
        ...

    def flush(self) -> object:
        """Send what is in the buffer."""
        ...

    def fileno(self) -> int:
        """Return the number of the descriptor."""
        ...


class Screen:
    """stderr, and the status line that stdout shares a terminal with.

    Args:
        file: stderr, or ``None`` if it is closed.
        has_status: whether stdout and stderr are a terminal.
        silent: leave out what is no error.
        columns: returns the width of the terminal.
    """

    def __init__(
        self,
        file: TextFile | None,
        *,
        has_status: bool = False,
        silent: bool = False,
        columns: Callable[[], int] = lambda: 80,
    ) -> None:
        self.has_status = has_status
        self._file = file
        self._silent = silent
        self._columns = columns
        self._shown = ""
        self._hidden = 0

    def note(self, text: str) -> None:
        """Tell what happens, in one line."""
        if not self._silent:
            self.error(text)

    def error(self, text: str) -> None:
        """Tell why it ends, in one line, also when silent."""
        with self.without_status():
            self._write(f"sse_middleware tail: {harmless_line(text, 1000)}\n")

    def lines(self, text: str) -> None:
        """Print lines as they are."""
        with self.without_status():
            self._write(text)

    def status(self, text: str) -> None:
        """Show a text in the status line, or nothing if it is empty."""
        if not self.has_status or self._hidden:
            return
        cut = harmless_line(text)[: max(0, self._columns() - 1)]
        if cut != self._shown:
            self._write(f"{_ERASE}{_DIM}{cut}{_PLAIN}" if cut else _ERASE)
            self._shown = cut

    @contextmanager
    def without_status(self) -> Iterator[None]:
        """Erase the status line, and show none as long as the block lasts."""
        self.status("")
        self._hidden += 1
        try:
            yield
        finally:
            self._hidden -= 1

    def _write(self, text: str) -> None:
        if self._file is not None:
            with suppress(OSError, ValueError):  # a pipe that broke, a file that is closed
                self._file.write(text)
                self._file.flush()


def columns_of(file: TextFile) -> Callable[[], int]:
    """Return a function that returns the width of a terminal."""

    def columns() -> int:
        try:
            return os.get_terminal_size(file.fileno()).columns or 80
        except (OSError, ValueError):
            return 80

    return columns
