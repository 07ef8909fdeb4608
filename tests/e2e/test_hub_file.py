"""Workers share a hub in a file, and each of them is killed. Then all of them are.

Each subscriber has every event of its topics once and in order, whichever worker published it and
whichever worker it came to. Where it was away for too long, it was told a gap.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from anyio.to_thread import run_sync

from .hub_crowd import Crowd, Report, watching
from .hub_publishers import Publishers
from .hub_record import Ledger
from .workers import SHARED_APP, Worker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

KEPT = 100
SEED = 20
LONGEST = 390.0
"""Seconds for publishing everything, and for the subscribers to read the rest."""


@dataclass(frozen=True)
class Size:
    """How large a scene is."""

    workers: int
    clients: int
    events: int
    topics: int


SIZES = [
    Size(workers=2, clients=60, events=1600, topics=6),
    Size(workers=4, clients=500, events=20_000, topics=20),
]


@contextmanager
def started(workers: int, directory: Path) -> Iterator[Worker]:
    url = f"sqlite:///{directory / 'events.db'}"
    environment = {"HUB_URL": url, "HUB_KEPT": str(KEPT)}
    server = Worker(SHARED_APP, environment, directory / "output", workers)
    server.start()
    try:
        yield server
        server.stop()
    finally:
        server.kill()


async def kill_each(publishers: Publishers, size: Size) -> None:
    """Kill each of the first workers, in the first half."""
    for number in range(size.workers):
        await publishers.until(size.events * (number + 1) // (2 * size.workers + 2))
        await publishers.know(number + 1)
        os.kill(list(publishers.workers)[number], signal.SIGKILL)


async def scene(server: Worker, publishers: Publishers, size: Size, crowd: Crowd) -> Report:
    async with asyncio.timeout(LONGEST), watching(crowd) as process:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(publishers.run(size.events // 2))
            tasks.create_task(kill_each(publishers, size))
        await run_sync(server.kill)
        await run_sync(server.start)
        await publishers.run(size.events)
        await publishers.publish_last()
        return await process.finish(Ledger(publishers.published, KEPT))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size.workers} workers")
def test_each_event_once_and_in_order_though_workers_are_killed(size: Size, tmp_path: Path) -> None:
    topics = [f"topic:{number}" for number in range(size.topics)]
    with started(size.workers, tmp_path) as server:
        publishers = Publishers([server.port], topics, 1000, Random(SEED))
        crowd = Crowd([server.port], size.clients, topics, SEED)
        report = asyncio.run(scene(server, publishers, size, crowd))

    sys.stdout.write(f"\n{report.told}\n")
    assert report.violations == []
    assert set(report.gaps) <= {"expired"}
    assert publishers.unknown == 0
    assert len(publishers.workers) > 2 * size.workers, "each was killed, and then all of them"
    assert report.connections > 3 * size.clients
    assert "Traceback" not in server.output.read_text()
