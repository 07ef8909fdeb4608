"""Workers share a hub in a file, and each of them is killed. Then all of them are.

Each subscriber has every event of its topics once and in order, whichever worker published it and
whichever worker it came to. Where it was away for too long, it was told a gap.
"""

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

from .client import HOST
from .hub_client import Finished, Subscriber
from .hub_record import violations
from .servers import Kind, _started, _stop, _wait_until_it_accepts, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

COMMAND = ("uvicorn", "hub_file_app:app", "--port", "{port}", "--workers")
KEPT = 100
"""Events of a topic, in `hub_file_app`. It can't be imported without a file."""

TOPICS = [f"topic:{number}" for number in range(6)]
SUBSCRIBERS = 60
EVENTS = 1600
SEED = 20
LONGEST = 60.0
"""Seconds for publishing everything, and for the subscribers to read the rest."""

BROKEN = (OSError, asyncio.IncompleteReadError)
"""What a client sees whose worker was killed."""


class Persistent(Subscriber):
    """A subscriber that comes back whatever happens to its worker."""

    async def run(self, finished: Finished) -> None:
        await super().run(finished)
        while not self._complete(finished):
            await asyncio.sleep(0.05)  # until the next attempt; the server may be away
            await self._visit(finished)

    async def _visit(self, finished: Finished) -> None:
        with suppress(*BROKEN):
            await super()._visit(finished)


class Servers:
    """A server with its workers. It can be killed, with all of them, and started again."""

    def __init__(self, port: int, workers: int, output: Path) -> None:
        self.port = port
        self.workers = workers
        self._kind = Kind("uvicorn-workers", (*COMMAND, str(workers)))
        self._output = output
        self._process: Any = None

    def start(self) -> None:
        with self._output.open("ab") as file:
            self._process = _started(self._kind, self.port, file.fileno())
        _wait_until_it_accepts(self._process, self.port, self._output)

    def kill_all(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        _stop(self._process)


@contextmanager
def started(workers: int, output: Path) -> Iterator[Servers]:
    servers = Servers(free_port(), workers, output)
    servers.start()
    try:
        yield servers
    finally:
        servers.stop()


class Publisher:
    """Publishes one event after the other, each at whichever worker takes it."""

    def __init__(self, servers: Servers) -> None:
        self.answer: dict[str, list[tuple[float, str]]] = {topic: [] for topic in TOPICS}
        self.workers = dict[int, None]()
        self.repeated = 0
        self._servers = servers
        self._killed = set[int]()

    async def run(self, begin: int, end: int) -> None:
        random = Random(SEED + begin)
        for position in range(begin, end):
            topic = random.choice(TOPICS)
            moment = monotonic()
            number = len(self.answer[topic]) + 1
            target = f"/publish?topic={topic}&number={number}&position={position}"
            answer = await self._ask(target)
            self.workers[answer["worker"]] = None
            self.answer[topic].append((moment, answer["id"]))
            if position % (EVENTS // 16) == 0:
                self._kill()

    def _kill(self) -> None:
        """Kill one of the first workers."""
        alive = [
            one for one in list(self.workers)[: self._servers.workers] if one not in self._killed
        ]
        if alive:
            self._killed.add(alive[0])
            os.kill(alive[0], signal.SIGKILL)

    async def _ask(self, target: str) -> Any:
        while True:
            with suppress(*BROKEN):
                return await self._try(target)
            self.repeated += 1

    async def _try(self, target: str) -> Any:
        reader, writer = await asyncio.open_connection(HOST, self._servers.port)
        try:
            request = f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        if not head.startswith(b"HTTP/1.1 200") or not body:
            raise ConnectionError(f"no whole answer: {head!r}")
        return json.loads(body)


async def scene(servers: Servers, everybody: list[Persistent]) -> Publisher:
    """Have each worker killed in the first half, and all of them after it."""
    publisher = Publisher(servers)
    finished: Finished = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as tasks:
        for one in everybody:
            tasks.create_task(one.run(finished))
        for one in everybody:
            await one.wait_until_primed()
        await publisher.run(0, EVENTS // 2)
        servers.kill_all()
        await asyncio.to_thread(servers.start)
        await publisher.run(EVENTS // 2, EVENTS)
        finished.set_result(publisher.answer)
    return publisher


@pytest.mark.parametrize("workers", [2, 4])
def test_each_event_once_and_in_order_though_workers_are_killed(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUB_FILE", str(tmp_path / "events.db"))
    output, random = tmp_path / "output", Random(SEED)
    with started(workers, output) as servers:
        everybody = [
            Persistent(
                servers.port,
                random.sample(TOPICS, random.randint(1, 4)),
                Random(random.random()),
                slow=False,
            )
            for _ in range(SUBSCRIBERS)
        ]
        publisher = asyncio.run(scene(servers, everybody))

    last = {topic: len(published) for topic, published in publisher.answer.items()}
    assert sum(last.values()) == EVENTS
    ids = sorted(at for published in publisher.answer.values() for _, at in published)
    assert len(set(ids)) == EVENTS
    for one in everybody:
        of_its_topics = {topic: last[topic] for topic in one.topics}
        assert list(violations(one.record(publisher.answer), of_its_topics, KEPT)) == []
        assert one.wrong_ids(publisher.answer) == []
    assert len(publisher.workers) > 2 * workers, "each was killed, and then all of them"
    assert sum(one.connections for one in everybody) > 3 * SUBSCRIBERS
    assert "Traceback" not in output.read_text()
