"""`Descriptor`: stdout, written to without blocking the event loop.

Rules of this file:
- A slow reader of the output holds the stream back: nothing more is read from the network until the
  last write is done. While it waits, signals and timeouts still work.
- A pipe that can be written to has room for `PIPE_BUF` bytes. So a piece of that size never blocks.
- A reader that has gone is noticed at once, and not only with the next event: the system marks its
  end of the pipe as broken.
- Files and other things that are always ready are just written to. So is everything on Windows.
"""

import os
import select
import stat
from asyncio import Event, get_running_loop
from collections.abc import Callable
from typing import BinaryIO

PIECE = 512
"""Bytes of one write: what `PIPE_BUF` is at least, on every system."""


class Descriptor:
    """Writes bytes to a file, a pipe or a terminal, on asyncio.

    Args:
        file: what to write to. Nothing may be in its buffer.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._number = file.fileno()
        self._may_block = os.name == "posix" and not _is_always_ready(self._number)

    async def write(self, data: bytes) -> None:
        """Write all of `data`, as fast as it is read.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        if not self._may_block:
            self._file.write(data)
            self._file.flush()
            return
        rest = memoryview(data)
        while rest:
            if not select.select((), (self._number,), (), 0)[1]:
                await self._until(get_running_loop().add_writer, get_running_loop().remove_writer)
            rest = rest[os.write(self._number, rest[:PIECE]) :]

    async def reader_gone(self) -> None:
        """Return when nobody reads the pipe any more. Without a pipe it never returns."""
        if not (self._may_block and stat.S_ISFIFO(os.fstat(self._number).st_mode)):
            await Event().wait()
        # Nothing is read from it, so it can only become ready by an error.
        await self._until(get_running_loop().add_reader, get_running_loop().remove_reader)

    async def _until(
        self, add: Callable[[int, Callable[[], None]], object], remove: Callable[[int], object]
    ) -> None:
        ready = Event()
        add(self._number, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._number)


def _is_always_ready(number: int) -> bool:
    mode = os.fstat(number).st_mode
    return not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(number))
