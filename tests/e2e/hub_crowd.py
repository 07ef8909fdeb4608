"""Subscribers in a process of their own, so that nothing else holds them up.

``python -m tests.e2e.hub_crowd`` reads a `Crowd` as a line of JSON, and answers with a line when
all subscribers have a position. Then it reads the ledger, lets them read to the end, checks their
records, and answers with a `Report`.
"""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from .hub_client import Finished, Subscriber
from .hub_record import Ledger, Published, violations

LONGEST = 120.0
"""Seconds in which all subscribers reach the end once everything is published."""

_LINE = 64 * 1024 * 1024
"""Bytes of a line."""


@dataclass(frozen=True)
class Crowd:
    """Who subscribes to what.

    Args:
        ports: where servers listen.
        clients: how many begin at each of them.
        topics: of which each client has a few.
        seed: of all choices.
    """

    ports: Sequence[int]
    clients: int
    topics: Sequence[str]
    seed: int

    def subscribers(self) -> Iterator[Subscriber]:
        random = Random(self.seed)
        for number in range(self.clients * len(self.ports)):
            first = number % len(self.ports)
            ports = [*self.ports[first:], *self.ports[:first]]
            topics = random.sample(self.topics, random.randint(1, min(5, len(self.topics))))
            yield Subscriber(ports, topics, Random(random.random()), persistent=True)


@dataclass(frozen=True)
class Report:
    """What became of the subscribers."""

    violations: Sequence[str]
    """The first ones of each subscriber."""
    clients: int
    connections: int
    broken_off: int
    """Connections that were not ended by their client."""
    deliveries: int
    gaps: Mapping[str, int]
    """By reason."""
    unread: Sequence[int]
    """The numbers of events that nobody has read."""

    @property
    def told(self) -> str:
        """The figures, in words."""
        gaps = ", ".join(f"{count} {reason}" for reason, count in sorted(self.gaps.items()))
        return (
            f"{self.clients} clients, {self.deliveries} deliveries over {self.connections} "
            f"connections, of which {self.broken_off} broken off; gaps: {gaps or 'none'}"
        )


class CrowdProcess:
    """The process, seen from the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._writer, self._reader = process.stdin, process.stdout

    async def tell(self, message: object) -> Any:
        """Send a message, and return the answer."""
        self._writer.write(json.dumps(message).encode() + b"\n")
        line = await self._reader.readline()
        assert line, "the process of the subscribers has ended"
        return json.loads(line)

    async def finish(self, ledger: Ledger) -> Report:
        """Let all subscribers read to the end."""
        events = [asdict(event) for event in ledger.events]
        said = {"events": events, "kept": ledger.kept, "lives": ledger.lives}
        return Report(**await self.tell(said))


@asynccontextmanager
async def watching(crowd: Crowd) -> AsyncIterator[CrowdProcess]:
    """Have a crowd of subscribers. They have a position when the block begins."""
    root = Path(__file__).parents[2]
    command = (sys.executable, "-m", "tests.e2e.hub_crowd")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, cwd=root, limit=_LINE
    )
    try:
        one = CrowdProcess(process)
        await one.tell(asdict(crowd))
        yield one
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _main() -> None:
    crowd = Crowd(**json.loads(sys.stdin.readline()))
    everybody = list(crowd.subscribers())
    finished: Finished = asyncio.get_running_loop().create_future()
    tasks = [asyncio.create_task(one.run(finished)) for one in everybody]
    for one in everybody:
        await one.wait_until_primed()
    _answer("primed")
    said = json.loads(await asyncio.to_thread(sys.stdin.readline))
    events = [Published(**event) for event in said["events"]]
    ledger = Ledger(events, said["kept"], [(mark, start) for mark, start in said["lives"]])
    finished.set_result(ledger.last())
    _, late = await asyncio.wait(tasks, timeout=LONGEST)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    failures = [task.exception() for task in tasks if task not in late and task.exception()]
    report = _report(everybody, ledger)
    _answer(asdict(report) | {"violations": [*map(repr, failures), *report.violations]})


def _answer(message: object) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _report(everybody: Sequence[Subscriber], ledger: Ledger) -> Report:
    found = list(ledger.violations())[:20]
    for number, one in enumerate(everybody):
        faults = list(violations(one.record(), ledger))
        found += [f"subscriber {number}: {fault}" for fault in faults[:3]]
    read = {number for one in everybody for number in one.numbers}
    return Report(
        found[:100],
        len(everybody),
        sum(one.connections for one in everybody),
        sum(one.broken_off for one in everybody),
        sum(len(one.numbers) for one in everybody),
        dict(Counter(gap.reason for one in everybody for gap in one.gaps)),
        [number for number in range(len(ledger.events)) if number not in read],
    )


if __name__ == "__main__":
    asyncio.run(_main())
