"""Starts processes that don't outlive this one, and ends them.

Rules of this file:
- A child ends with the block that started it, by its own handle, whatever happens in between.
- If this process is asked to end, its blocks end first. An interrupt does so by itself.
- If SIGKILL ends this process, no block ends. Linux then sends SIGTERM to its children. Other
  systems don't offer that, and there the children go on.
- Linux does so when the thread that started a child ends. So that thread lasts as long.
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

END_TIMEOUT = 5.0
"""Seconds that a child has to end before it is killed."""

PR_SET_PDEATHSIG = 1
"""The number of the option in <linux/prctl.h>."""


def start(
    command: Sequence[str],
    stdout: int,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a child that gets no input, and ends with this process."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        start_new_session=True,  # so that its workers can be killed with it
        preexec_fn=partial(end_with, os.getpid()),  # noqa: PLW1509 - no other thread loads libraries
    )


def end(children: Collection["subprocess.Popen[bytes]"]) -> None:
    """Ask children to end, all at the same time. Kill those that don't, with their workers."""
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.stdout:
            child.stdout.close()


def exit_when_asked() -> None:
    """Let this process end its blocks when it is told to end, or when its terminal is closed.

    By default these signals kill it. One that is ignored stays ignored, as `nohup` wants it.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, leave)


def leave(number: int, _frame: object) -> NoReturn:
    sys.exit(f"ended by {signal.Signals(number).name}")


def end_with(parent: int) -> None:
    """Let Linux end this process, which is a child, with its parent. A program keeps that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before the call
            os._exit(1)
