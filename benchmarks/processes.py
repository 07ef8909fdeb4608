"""What Linux tells about a process, and how many streams it allows between two processes.

If there is no ``/proc``, the functions return ``None``, and what needs it is not measured.
"""

import resource
from pathlib import Path

OTHER_FILES = 64
"""Files that a process has open in addition to its streams: libraries, the event loop's, pipes."""


def resident_kib(pid: int) -> int | None:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0])


def cpu_seconds(pid: int) -> float | None:
    """Return the CPU time of a process so far: its own, and what the kernel took for it.

    It is the sum of the scheduler's nanoseconds of each thread. The ticks in ``stat`` are too
    coarse: ten milliseconds.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    nanoseconds = [int(thread.read_text().split()[0]) for thread in threads]
    return sum(nanoseconds) / 1e9 if nanoseconds else None


def raise_open_files() -> int:
    """Let this process, and those that it starts, open as many files as the hard limit permits.

    Returns how many streams that allows. A server inherits the limit, and has as many open sockets
    as its client.
    """
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard - OTHER_FILES if hard != resource.RLIM_INFINITY else 1 << 30
