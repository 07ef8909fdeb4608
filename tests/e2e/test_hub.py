"""Hundreds of subscribers come and go while much is published, on real servers.

Each of them has every event of its topics once and in order. Where it was away for too long, it was
told a gap.
"""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from .client import HOST
from .conftest import MISHAPS, OUTPUT_SHOWN
from .hub_app import KEPT, TOPICS, WIDE
from .hub_client import AWAY, Finished, Subscriber
from .hub_record import Ledger, Published, violations
from .servers import KINDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SERVERS = "uvicorn-httptools-uvloop", "granian", "hypercorn-asyncio-h1"

SUBSCRIBERS = 500

SLOW = 10
"""Subscribers of the wide topic. No others read it."""

SEED = 20

LONGEST = 180.0
"""Seconds for publishing everything, and for the subscribers to read the rest."""


@pytest.fixture(params=[kind for kind in KINDS if kind.name in SERVERS], ids=lambda kind: kind.name)
def hub_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    kind = request.param
    if missing := kind.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    command = tuple(part.replace("app:app", "hub_app:app") for part in kind.command)
    with running(replace(kind, command=command), tmp_path / "output") as server:
        yield server
    printed = server.output.read_text()
    for mishap in MISHAPS:
        assert mishap not in printed, printed[-OUTPUT_SHOWN:]


def subscribers(server: Server, random: Random) -> Iterator[Subscriber]:
    for number in range(SUBSCRIBERS):
        slow = number < SLOW
        topics = random.sample(TOPICS[1:], random.randint(0 if slow else 1, 4 if slow else 5))
        own = Random(random.random())
        yield Subscriber(
            [server.port],
            [WIDE, *topics] if slow else topics,
            own,
            slow=slow,
            away=[LONGEST] if number == SLOW else AWAY,  # one comes back when all is published
        )


async def publish(port: int) -> Ledger:
    """Have everything published."""
    reader, writer = await asyncio.open_connection(HOST, port)
    target = f"/publish?seed={SEED}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    head, _, body = response.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return Ledger([Published(**event) for event in json.loads(body)], KEPT)


async def scene(port: int, everybody: list[Subscriber]) -> Ledger:
    """Let them all come before the first event. Return what was published."""
    finished: Finished = asyncio.get_running_loop().create_future()
    async with asyncio.timeout(LONGEST), asyncio.TaskGroup() as tasks:
        for one in everybody:
            tasks.create_task(one.run(finished))
        for one in everybody:
            await one.wait_until_primed()
        ledger = await publish(port)
        finished.set_result(ledger.last())
    return ledger


def test_each_subscriber_reads_each_event_once_and_in_order(hub_server: Server) -> None:
    everybody = list(subscribers(hub_server, Random(SEED)))

    ledger = asyncio.run(scene(hub_server.port, everybody))

    assert len(ledger.events) == 20_000
    assert list(ledger.violations()) == []
    for one in everybody:
        assert list(violations(one.record(), ledger)) == []
    # What this is about did happen: they came back, some in time and others too late.
    connections = sum(one.connections for one in everybody)
    assert connections > 4 * len(everybody)
    assert sum(len(one.gaps) for one in everybody) < connections / 2
    assert all(one.gaps for one in everybody[: SLOW + 1])
