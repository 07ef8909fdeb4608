"""The command as a process, with pipes or a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any, Self

from tests.patience import PATIENCE

FAST = ("--retry-delay", "0.01", "--max-retry-delay", "0.05")

COMMAND = (sys.executable, "-W", "default", "-m", "sse_middleware", "tail")
"""It warns of what is left open. Python's development mode would also warn of a slow machine."""


class Tail:
    """A running command. Use it as a context manager: it leaves no process behind.

    Args:
        arguments: after the command's name.
        stdin: what comes on stdin, or a pipe.
        reads: whether stdout is read as it comes.
        command: what comes before the arguments.
    """

    def __init__(
        self,
        *arguments: str,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.PIPE,
        reads: bool = True,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._process = started(
            *command, *arguments, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
        )
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self.out: list[str] = []
        self.err: list[str] = []
        self._lines = Queue[tuple[list[str], str | None]]()
        read = [(self._process.stderr, self.err)]
        if reads and self.stdout is not None:
            read.append((self.stdout, self.out))
        self._open = len(read)
        for one in read:
            Thread(target=self._read, args=one, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        for file in filter(None, (self.stdin, self.stdout)):
            with suppress(BrokenPipeError):
                file.close()

    def _read(self, file: IO[bytes], lines: list[str]) -> None:
        with file:
            for line in file:
                self._lines.put((lines, line.decode().rstrip("\n")))
        self._lines.put((lines, None))

    def until(self, met: Callable[[], object]) -> None:
        """Wait for a condition on the lines that have come."""
        deadline = time.monotonic() + PATIENCE
        while not met():
            assert self.take(max(0, deadline - time.monotonic())), (
                f"in vain, with {self.out} and {self.err}"
            )

    def take(self, seconds: float) -> bool:
        """Take the next line. Returns whether one came in time, or the end of a file."""
        try:
            lines, line = self._lines.get(timeout=seconds)
        except Empty:
            return False
        if line is None:
            self._open -= 1
        else:
            lines.append(line)
        return True

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def code(self) -> int:
        """Wait until it has ended. Returns its exit code, negative for a signal."""
        code = self._process.wait(PATIENCE)
        self.until(lambda: not self._open)
        assert "Traceback" not in "\n".join(self.err)
        assert "Warning" not in "\n".join(self.err)
        return code

    @property
    def events(self) -> list[str]:
        """The lines of stdout without their times."""
        return [re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ?", "", line) for line in self.out]

    @property
    def told(self) -> list[str]:
        return [line.removeprefix("sse_middleware tail: ") for line in self.err]


class Terminal:
    """The command with a terminal as stdin, stdout and stderr."""

    def __init__(self, *arguments: str) -> None:
        self.shown = ""
        self._ours, theirs = pty.openpty()
        files = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
        self._decoder = getincrementaldecoder("utf-8")()
        self._process = started(*COMMAND, *arguments, **files, TERM="xterm", NO_COLOR="")
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def until(self, pattern: str) -> None:
        """Wait until something more is shown that a regular expression finds."""
        begin = len(self.shown)
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, self.shown[begin:]):
            left = max(0, deadline - time.monotonic())
            ready, _, _ = select.select([self._ours], [], [], left)
            assert ready, self.shown
            self.shown += self._decoder.decode(os.read(self._ours, 10_000))

    def interrupted(self) -> int:
        """Send SIGINT. Returns the exit code, negative for a signal."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE)


def started(*command: str, **options: Any) -> "subprocess.Popen[bytes]":
    """Start a command. Options in capital letters are variables of its environment."""
    variables = {name: options.pop(name) for name in list(options) if name.isupper()}
    path = os.pathsep.join(sys.path)
    environment = {**os.environ, **variables, "PYTHONPATH": path}
    # Who runs the tests may ignore SIGINT, which a process inherits.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(command, env=environment, **options)
    finally:
        signal.signal(signal.SIGINT, before)


def ran(*arguments: str, **options: Any) -> tuple[int, Tail]:
    """Run the command to its end."""
    with Tail(*arguments, **options) as tail:
        return tail.code(), tail


def in_shell(script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script of bash, in which ``"$@"`` is the command."""
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}", "bash", *COMMAND, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
