"""How much resident memory an open stream without events takes in its server (Linux only).

Each server is a fresh process for each number of streams, so that it holds no memory of other
scenarios. One stream is opened and closed first: what the first request loads is no cost of a
connection.
"""

from benchmarks.client import idle_streams
from benchmarks.plan import MEMORY_CONTENDERS, Size
from benchmarks.processes import raise_open_files, resident_kib
from benchmarks.progress import say
from benchmarks.servers import RunningServer, serving

Memory = dict[int, dict[str, float]]
"""KiB per stream, by the number of streams and by contender, without what was not measured."""


def measure_memory(size: Size) -> tuple[Memory, int]:
    """Return what streams take, and how many streams the limit of open files permits."""
    most = raise_open_files()
    return {count: sizes_of(count) for count in size.idle_streams if count <= most}, most


def sizes_of(streams: int) -> dict[str, float]:
    sizes = {}
    with serving(MEMORY_CONTENDERS.values()) as running:
        for contender, server in MEMORY_CONTENDERS.items():
            say(f"memory of {streams} idle streams: {contender}")
            kib = kib_per_stream(running[server], streams)
            if kib is not None:
                sizes[contender] = kib
    return sizes


def kib_per_stream(server: RunningServer, streams: int) -> float | None:
    """Return the KiB that each of the idle streams takes."""
    with idle_streams(server.port, 1):
        pass
    before = resident_kib(server.pid)
    with idle_streams(server.port, streams):
        after = resident_kib(server.pid)
    return None if before is None or after is None else (after - before) / streams
