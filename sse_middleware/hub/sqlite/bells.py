"""Doorbells: datagrams that tell the listeners of other processes to look into the file.

Rules of this file:
- A doorbell is a Unix socket with a random name. It says nothing but that there may be news.
- It lies in the directory beside the file. If that is impossible, for a path that is too long or a
  file system without sockets, it lies in the directory for temporary files.
- A doorbell that is full has been rung already.
- A doorbell that nobody answers was left by a process that is gone. It can be removed.
"""

import os
import socket
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


class Bell:
    """The doorbell of this process.

    Args:
        directory: where it should be.

    Raises:
        OSError: it can't be anywhere.
    """

    def __init__(self, directory: Path) -> None:
        self.socket = _datagrams()
        name = os.urandom(8).hex()
        try:
            self.path = self._bound(directory / name)
        except OSError:
            self.path = self._bound(Path(tempfile.gettempdir()) / f"sse-hub-{name}")

    def _bound(self, path: Path) -> str:
        try:
            self.socket.bind(str(path))
        except OSError:
            self.socket.close()
            self.socket = _datagrams()
            raise
        return str(path)

    @property
    def exists(self) -> bool:
        """Whether it can be found."""
        return Path(self.path).exists()

    def close(self) -> None:
        """Remove it."""
        self.socket.close()
        remove(self.path)


def _datagrams() -> socket.socket:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.settimeout(0)
    return one


def drain(one: socket.socket) -> None:
    """Forget that a socket was rung."""
    with suppress(BlockingIOError):
        while one.recv(1):
            pass


class Ringer:
    """Rings doorbells of other processes."""

    def __init__(self) -> None:
        self._socket = _datagrams()

    def ring(self, paths: Iterable[str]) -> list[str]:
        """Ring doorbells. Returns those that nobody answers."""
        stale: list[str] = []
        for path in paths:
            try:
                self._socket.sendto(b"!", path)
            except OSError as error:
                # Any other one is full, or another user's. Its process looks every second.
                if isinstance(error, ConnectionRefusedError | FileNotFoundError):
                    stale.append(path)
        return stale

    def close(self) -> None:
        """Ring no more."""
        self._socket.close()


def remove(path: str) -> None:
    """Remove the file of a doorbell."""
    with suppress(OSError):
        Path(path).unlink()
