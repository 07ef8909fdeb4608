"""A server under load for minutes: clients come and go in every way, and nothing is left behind.

The load comes in three phases. After each one the server comes to rest. Then there must be no
stream, no slot, no task, no generator, no object of the package and no open file that was not there
before the first one. Each stream that was opened must have been closed once, for a reason that its
client caused. The memory must be what it was after the first phase. In the end the server is told
to stop with streams open, and does.

``SOAK_SECONDS`` says how long the load lasts for each server. ``SOAK_SEED`` repeats the random
choices of a run.
"""

import asyncio
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_middleware.wire import MessageEvent
from tests.e2e.client import HOST
from tests.e2e.draining import Served, Way, served

from .behaviours import EVENTS
from .load import ALLOWED, Load, hears_farewell, together
from .report import Report
from .resting import at_rest, baseline_of, resident
from .visit import Visit

pytestmark = pytest.mark.e2e

SECONDS = float(os.environ.get("SOAK_SECONDS", "180"))
"""How long the load lasts, for each server."""

SEED = int(os.environ.get("SOAK_SEED", random.randrange(10**6)))

GUESTS = {"uvicorn": 150, "hypercorn": 50}
"""Clients at a time, and as many at once: a load that a server handles next to other work."""

PHASES = 3

AROUND = 240.0
"""Seconds for everything but the load: a warm-up, three rests, and two shutdowns."""

GROWTH = 1.10 if SECONDS >= 120 else 1.25
"""By how much the memory may exceed its plateau, which is not quite one after a short third."""

FILES = 4096
"""Open files that the processes need at most: hundreds of connections, and some."""

STAYING = 200
"""Streams that are open when the server is told to stop."""

STOPPING = 15.0
"""Seconds that it has to stop, on a machine that others use too; it needs one or two."""

KEEP_ALIVE = "60"
"""Seconds that a server waits for the next request: on a busy machine a client may be late."""

MISHAPS = [
    "ExceptionGroup",
    "never retrieved",
    "never awaited",
    "cleanup_timeout",
    "was destroyed",
    "observer",
    "ResourceWarning",
]
"""What a server may not have printed."""

WAYS = [
    Way(
        "uvicorn",
        (
            *("-m", "uvicorn", "tests.soak.app:app", "--host", HOST, "--port", "{port}"),
            *("--http", "httptools", "--loop", "uvloop", "--log-level", "critical"),
            *("--backlog", "4096", "--timeout-keep-alive", KEEP_ALIVE),
        ),
        ("uvicorn", "httptools", "uvloop"),
    ),
    Way(
        "hypercorn",
        (
            # It keeps a connection that is half closed as long as one that is kept alive.
            *("-m", "hypercorn", "tests.soak.app:app", "-b", HOST + ":{port}", "-w", "0"),
            *("-k", "asyncio", "--log-level", "critical", "--backlog", "4096"),
            *("--keep-alive", "10"),
        ),
        ("hypercorn",),
    ),
]


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Let this process, and those that it starts, open many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(SECONDS + AROUND)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)
def test_nothing_is_left_behind(
    way: Way,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")  # or each thread's grows to a peak of its own
    if missing := way.missing():
        pytest.skip(f"not installed: {', '.join(missing)}")
    python = ".".join(map(str, sys.version_info[:3]))
    report = Report(f"{way.name}, Python {python}, {SECONDS:g} s, SOAK_SEED={SEED}")
    with served(way, tmp_path / "output") as server:
        try:
            asyncio.run(soak(server, report, GUESTS[way.name]))
            printed = server.output.read_text(errors="replace")
            report.wrong += [f"printed: {mishap}" for mishap in MISHAPS if mishap in printed]
        finally:
            with capsys.disabled():
                sys.stdout.write(report.text())
    assert not report.wrong, "\n".join([*report.wrong, printed[-4000:]])


async def soak(server: Served, report: Report, guests: int) -> None:
    load = report.load = Load(server.port, SEED, guests)
    sampling = asyncio.create_task(sample(server.process.pid, report))
    await load.each_once()
    baseline = await baseline_of(server.port)
    report.rest("warm", baseline)
    for number in range(1, PHASES + 1):
        await load.run(SECONDS / PHASES)
        state = await at_rest(server.port, baseline)
        report.rest(f"phase {number}", state)
        report.wrong += [f"phase {number}: {what}" for what in state.left_behind(baseline)]
    sampling.cancel()
    report.wrong += wrong_reasons(report.last.closings) + growth(report)
    await stop(server, load, report)
    report.wrong += load.errors


async def sample(pid: int, report: Report) -> None:
    """Watch the memory, for the report only."""
    began = time.monotonic()
    while True:
        report.samples.append((time.monotonic() - began, resident(pid), report.load.at_once))
        await asyncio.sleep(1)


def wrong_reasons(closings: Counter[tuple[str, str]]) -> list[str]:
    """Say which streams were closed for a reason that their client did not give."""
    wrong = [
        f"{name!r}: {number} closed as {reason}"
        for (name, reason), number in closings.items()
        if reason not in ALLOWED.get(name, ())
    ]
    missing = {reason for _, reason in closings}.symmetric_difference(REASONS)
    return wrong + [f"reasons that were not to be seen, or were not seen: {missing}"] * bool(
        missing
    )


REASONS = {
    "finished",
    "client_disconnected",
    "drained",
    "send_timeout",
    "max_duration",
    "idle_timeout",
    "error",
    "refused",
}
"""All but `CANCELLED`: no one cancels a request."""


def growth(report: Report) -> list[str]:
    """Say if the memory has grown after its plateau."""
    _, plateau, *later = (state.resident for _, state in report.rests)
    return [
        f"memory: {size / plateau:.3f} of the plateau" for size in later if size > GROWTH * plateau
    ]


async def stop(server: Served, load: Load, report: Report) -> None:
    """Tell the server to stop while streams are open: all get a farewell, and it stops."""
    opened = asyncio.Barrier(STAYING + 1)

    async def act(visit: Visit) -> None:
        try:
            await visit.get("/pings", accept=EVENTS, events=1, end="stay")
            await visit.first(MessageEvent)
        finally:
            await opened.wait()
        await hears_farewell(visit)

    async def tell() -> None:
        await opened.wait()
        server.process.send_signal(signal.SIGTERM)

    began = time.monotonic()
    await together([tell(), *(load.watched("stays", act) for _ in range(STAYING))])
    code = await asyncio.to_thread(server.exit_code, STOPPING)
    if code not in (0, -signal.SIGTERM):  # uvicorn ends by the signal that it was sent
        report.wrong.append(f"exit code {code}")
    report.stopped(code, time.monotonic() - began)
