"""Clients that come and go: what is told of a server, and the tables of figures not measured."""

import subprocess
import sys

import pytest

from benchmarks.churn import Came
from benchmarks.plan import CHURNS, OURS_STARLETTE, RAW_STARLETTE
from benchmarks.processes import scheduled, wait_for_rest
from benchmarks.report import churn_tables
from tests.benchmarks.test_runs_report import cells

WORKER = """
import time
print("ready", flush=True)
input()
for _ in range(10**6):
    pass
print(time.process_time(), flush=True)
input()
"""
"""Works when it gets a line, tells its CPU time, and waits for another line."""


def came(ours: Came) -> dict[str, Came]:
    """Return a round in which all other contenders are equal."""
    return {churn.contender: Came(500, 1000, 0.01) for churn in CHURNS} | {OURS_STARLETTE: ours}


def test_ratios_are_of_cpu_time_however_long_others_had_the_cores() -> None:
    rounds = [came(Came(10, cpu, 0.002)) for cpu in (1500, 3000, 2000)]
    ratios, rates = churn_tables(rounds)
    against = cells(ratios, f"churn | {OURS_STARLETTE} | {RAW_STARLETTE}")
    assert against[3:5] == ["2.00", "1.50 .. 3.00"]
    assert cells(rates, OURS_STARLETTE)[1:] == ["2,000", "1,500 .. 3,000", "10", "0.2"]


def test_without_proc_the_rate_is_told_and_no_ratio() -> None:
    unknown = {churn.contender: Came(500, None, None) for churn in CHURNS}
    ratios, rates = churn_tables([unknown])
    assert RAW_STARLETTE not in ratios
    assert "no /proc here" in rates
    assert "| 500 |" in rates


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_process_at_rest_has_done_what_it_was_given() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WORKER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.stdin.write(b"work\n")
        process.stdin.flush()
        wait_for_rest(process.pid)
        so_far = scheduled(process.pid)
        assert so_far is not None
        assert so_far.cpu >= float(process.stdout.readline()) > 0
        process.stdin.write(b"end\n")
