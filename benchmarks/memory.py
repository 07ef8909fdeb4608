"""What an open stream without events costs its server, in resident memory (Linux only).

Each server is a fresh process, so that nothing is left of what other scenarios allocated. One
stream is opened and closed first: what is loaded with the first request is no cost of a connection.
"""

from pathlib import Path

from benchmarks.client import idle_streams
from benchmarks.servers import serving


def resident_kib(pid: int) -> int | None:
    """Return the resident memory of a process, or ``None`` where there is no ``/proc``."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0])


def kib_per_stream(server: str, streams: int) -> float | None:
    """Return the KiB that each of so many idle streams takes."""
    with serving(server) as running:
        with idle_streams(running.port, 1):
            pass
        before = resident_kib(running.pid)
        with idle_streams(running.port, streams):
            after = resident_kib(running.pid)
    return None if before is None or after is None else (after - before) / streams
