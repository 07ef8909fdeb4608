"""A run of the benchmarks leaves no process behind, in whatever way it ends (Linux).

Each run has started all the servers of a part when it says that it begins to measure.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks.redis_server import COMMANDS, redis_command
from tests.must_run import missing
from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(sys.platform != "linux", reason="/proc, and what a killed parent does"),
]

ROOT = Path(__file__).parents[2]
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize(
    ("part", "beginning", "programs"),
    [
        ("latency", "latency:", {"uvicorn", "hypercorn", "granian"}),
        ("workers", "publishing:", {redis_command()}),
    ],
)
def test_no_server_outlives_the_run(
    part: str, beginning: str, programs: set[str | None], number: signal.Signals
) -> None:
    if None in programs:
        missing(" or ".join(COMMANDS))
    with measuring(part, beginning) as run:
        servers = {pid: program(pid) for pid in descendants(run.pid)}
        assert set(servers.values()) == programs
        with watched(servers) as watching:
            run.send_signal(number)
            run.wait(PATIENCE)
            left = [servers[pid] for pid in still_running(watching)]
        assert left == []


def test_a_run_that_ignores_the_end_of_its_terminal_goes_on() -> None:
    with (
        measuring("latency", "latency:", ignored=[signal.SIGHUP]) as run,
        watched(descendants(run.pid)),
    ):
        run.send_signal(signal.SIGHUP)  # if both are handled, Python handles this one first
        run.send_signal(signal.SIGTERM)
        assert run.stderr is not None
        assert run.stderr.read().splitlines()[-1] == b"ended by SIGTERM"


@contextmanager
def measuring(
    part: str, beginning: str, ignored: Sequence[signal.Signals] = ()
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a part of the benchmarks, and enter the block when it begins to measure."""
    for module in ("fastapi", "granian", "httptools", "hypercorn", "sse_starlette", "uvloop"):
        pytest.importorskip(module)
    run = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", part],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: ignore(ignored),  # noqa: PLW1509 - it takes no lock
    )
    assert run.stderr is not None
    with run.stderr:
        try:
            said = iter(run.stderr.readline, b"")
            assert any(line.startswith(beginning.encode()) for line in said)
            yield run
        finally:
            run.kill()
            run.wait()


def ignore(signals: Sequence[signal.Signals]) -> None:
    """Ignore these signals and no others: the process of the tests may ignore some."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN if number in signals else signal.SIG_DFL)


def descendants(pid: int) -> list[int]:
    """Return the children of a process, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *descendants(child))]


def program(pid: int) -> str:
    """Return what a server of the benchmarks runs. A worker of granian has the same name."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    serves = "benchmarks.serve" in words
    return words[words.index("benchmarks.serve") + 2] if serves else Path(words[0].split()[0]).name


@contextmanager
def watched(pids: Iterable[int]) -> Iterator[dict[int, int]]:
    """Have a file for each process, which can be read once it has ended. Kill what still runs."""
    files = {os.pidfd_open(pid): pid for pid in pids}
    try:
        yield files
    finally:
        for file in files:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(file, signal.SIGKILL)
            os.close(file)


def still_running(files: dict[int, int]) -> list[int]:
    """Wait until all processes have ended. Return those that haven't, if patience has."""
    deadline = time.monotonic() + PATIENCE
    running = set(files)
    while running and (ended := select.select(running, [], [], deadline - time.monotonic())[0]):
        running.difference_update(ended)
    return [files[file] for file in running]
