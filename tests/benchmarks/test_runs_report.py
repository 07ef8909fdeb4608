"""The tables of runs, made of figures that were not measured."""

from pathlib import Path

import pytest

from benchmarks import runs_report
from benchmarks.runs import Cost, FastRound, Memory, Paced, PacedRound, measured_stores
from benchmarks.runs_plan import PLAIN, QUICK, RUN
from benchmarks.stores import places
from benchmarks.workers_plan import MEMORY, REDIS, SQLITE


def cost(microseconds: float, redis: float | None = None) -> Cost:
    return Cost(1e6 / microseconds, microseconds / 1e6, redis)


def cells(table: str, begin: str) -> list[str]:
    """Return the cells of the first row that begins so."""
    row = next(line for line in table.splitlines() if line.startswith(f"| {begin} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_ratio_is_taken_within_a_round() -> None:
    # The medians of both are 4 µs. But in two of the three rounds, the run took twice as long.
    rounds: list[FastRound] = [
        {MEMORY: {(1, PLAIN): cost(plain), (1, RUN): cost(run)}}
        for plain, run in ((4, 8), (1, 2), (6, 4))
    ]
    table = runs_report.fast_table(rounds)
    assert cells(table, "1 | plain stream")[2:] == ["250,000", "1.00", "4.0", "1.00", "-"]
    assert cells(table, "1 | memory")[2:] == ["250,000", "0.50", "4.0", "2.00", "-"]


def test_what_a_run_adds_to_a_delay_is_taken_within_a_round() -> None:
    rounds: list[PacedRound] = [
        {
            REDIS: {
                PLAIN: Paced(cost(20), plain / 1e3, plain / 1e2),
                RUN: Paced(cost(50, 7e-6), run / 1e3, run / 1e2),
            }
        }
        for plain, run in ((1, 3), (5, 7), (3, 2))
    ]
    table = runs_report.paced_table(rounds)
    assert cells(table, "plain stream")[1:] == [
        *("20.0", "1.00", "-"),
        *("3.00", "30.00", "0.00", "0.00"),
    ]
    assert cells(table, "Redis")[1:] == [
        *("50.0", "2.50", "7.0"),
        *("3.00", "30.00", "2.00", "20.00"),
    ]


def test_the_title_of_paced_tokens_tells_the_pace() -> None:
    assert runs_report.paced_title(QUICK) == "10 at once, 40 tokens a second each:"


def test_memory_by_store() -> None:
    memories = {MEMORY: Memory(70, 30, 20), SQLITE: Memory(60, 10, 0.5)}
    (table,) = runs_report.memory_parts(23, memories, QUICK.held_runs, QUICK)
    assert cells(table, "plain stream")[1:] == ["23.0", "-", "-"]
    assert cells(table, "SQLite")[1:] == ["60.0", "10.0", "0.5"]


def test_fewer_runs_than_planned_are_told() -> None:
    *_, last = runs_report.memory_parts(1, {MEMORY: Memory(1, 1, 1)}, 7, QUICK)
    assert "only 7 runs" in last


def test_without_redis_the_output_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("redis")
    monkeypatch.setenv("PATH", str(tmp_path))
    with places() as found:
        assert set(measured_stores(found)) == {MEMORY, SQLITE}
        line = runs_report.stores_line(found)
    assert line == (
        "Runs in Redis were left out: neither of redis-server, valkey-server was found."
    )
