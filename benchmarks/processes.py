"""What Linux tells about a process, and how many streams it allows between two processes.

If there is no ``/proc``, the functions return ``None``, and what needs it is not measured.
"""

import resource
import time
from dataclasses import dataclass
from pathlib import Path

OTHER_FILES = 64
"""Files that a process has open in addition to its streams: libraries, the event loop's, pipes."""

LOOK = 0.0005
"""Seconds between two looks at a process that is to come to rest."""


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What the scheduler tells about a process so far, in seconds."""

    cpu: float
    """It ran: its own time, and what the kernel took for it."""
    queued: float
    """It could run, but other processes had the cores."""


def resident_kib(pid: int) -> int | None:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0])


def scheduled(pid: int) -> Scheduled | None:
    """Return the sum of the scheduler's nanoseconds of each thread.

    The ticks in ``stat`` are too coarse: ten milliseconds. These are exact while a thread sleeps.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    nanoseconds = [thread.read_text().split() for thread in threads]
    if not nanoseconds:
        return None
    cpu, queued = (
        sum(map(int, column)) / 1e9 for column in list(zip(*nanoseconds, strict=True))[:2]
    )
    return Scheduled(cpu, queued)


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process so far: its own, and what the kernel took for it."""
    so_far = scheduled(pid)
    return None if so_far is None else so_far.cpu


def wait_for_rest(pid: int) -> None:
    """Wait until a process sleeps: then it has done all that it was given."""
    while any(state_of(thread) == "R" for thread in Path(f"/proc/{pid}/task").glob("*/stat")):
        time.sleep(LOOK)


def state_of(thread: Path) -> str:
    """Return the letter of a thread's state, which follows its name."""
    return thread.read_text().rpartition(") ")[2][0]


def raise_open_files() -> int:
    """Let this process, and those that it starts, open as many files as the hard limit permits.

    Returns how many streams that allows. A server inherits the limit, and has as many open sockets
    as its client.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - OTHER_FILES if hard != resource.RLIM_INFINITY else 1 << 30
