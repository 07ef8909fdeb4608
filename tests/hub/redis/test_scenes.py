"""Whatever happens to Redis or a worker: no loss without a gap, no event twice, none out of order.

Real servers, real sockets and a real Redis. Where only a worker is killed, the scene has its full
size: two servers with 500 clients each, and 20,000 events. Where something goes wrong with Redis,
too, it is smaller. With ``HUB_SCENE=full`` in the environment all scenes have the full size, which
takes a quarter of an hour. ``-s`` shows the figures of each, as what Redis had acknowledged and
has lost. A report in XML has them as the property ``scene``.
"""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .faults import FAULTS, SEVERAL_WORKERS, TWO_SERVERS
from .scene import FULL, SMALL, Fault, Outcome, Size, StartServer, play

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

FAULT_SIZE = FULL if os.environ.get("HUB_SCENE") == "full" else SMALL

Play = Callable[[Fault, Size], Outcome]


@pytest.fixture
def played(
    start_server: StartServer, tmp_path: Path, record_property: Callable[[str, object], None]
) -> Play:
    """Return a function that plays a scene, and checks it."""

    def play_it(fault: Fault, size: Size) -> Outcome:
        outcome = asyncio.run(play(fault, size, start_server, tmp_path))
        record_property("scene", outcome.told)
        sys.stdout.write(f"\n{fault.name}: {outcome.told}\n")
        printed = "".join(path.read_text() for path in tmp_path.glob("worker*"))
        assert outcome.report.violations == [], printed
        assert "Traceback" not in printed
        return outcome

    return play_it


def test_a_worker_is_killed_and_replaced(played: Play) -> None:
    outcome = played(TWO_SERVERS, FULL)
    check_that_nothing_is_lost(outcome)
    assert outcome.report.broken_off > 0, "by the worker"


def test_one_of_several_workers_of_a_server_is_killed(played: Play) -> None:
    check_that_nothing_is_lost(played(SEVERAL_WORKERS, FAULT_SIZE))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_redis_fails(played: Play, fault: Fault) -> None:
    outcome = played(fault, FAULT_SIZE)
    if not fault.begins_anew:
        check_that_nothing_is_lost(outcome)
    elif fault.loses is not None:
        assert bool(outcome.lost) is fault.loses
    gaps = outcome.report.gaps
    assert bool(gaps.get("lost", 0) + gaps.get("reset", 0)) is fault.begins_anew


def check_that_nothing_is_lost(outcome: Outcome) -> None:
    report = outcome.report
    assert set(report.gaps) <= {"expired"}
    assert outcome.publishers.unknown == len(outcome.lost) == 0
    assert report.connections > 2 * report.clients, "they have come and gone"
