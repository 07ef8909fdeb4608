"""The tables of hubs that workers share, made of figures that were not measured."""

from pathlib import Path

import pytest

from benchmarks import workers_report
from benchmarks.broadcast import Sent
from benchmarks.plot import PICTURES, draw, read_curves
from benchmarks.stores import Published, Round, places
from benchmarks.workers import FannedOut
from benchmarks.workers_plan import BATCH, BATCHED, MEMORY, QUICK, REDIS, SQLITE


def published(python: float, redis: float | None = None) -> dict[int | str, Published]:
    """One store in one round. `python` is in microseconds."""
    ways: tuple[int | str, ...] = (1, BATCH, BATCHED)
    return {way: Published(1e6 / python, python / 1e6, redis) for way in ways}


def sent(milliseconds: float) -> Sent:
    seconds = milliseconds / 1000
    return Sent(seconds, seconds, seconds, 2 * seconds, 3 * seconds)


def cells(table: str, begin: str) -> list[str]:
    """Return the cells of the first row that begins so."""
    row = next(line for line in table.splitlines() if line.startswith(f"| {begin} "))
    return [cell.strip() for cell in row.strip("|").split("|")]


def test_a_ratio_is_taken_within_a_round() -> None:
    # The medians of both are 5 µs. But in two of the three rounds, SQLite took three times as long.
    rounds: list[Round] = [
        {MEMORY: published(fast), SQLITE: published(slow)}
        for fast, slow in ((10, 30), (1, 3), (5, 5))
    ]
    row = cells(workers_report.ways_table(rounds), "one by one | SQLite")
    assert row[4:] == ["5.0", "3.0", "-"]


def test_the_cost_of_redis_is_shown_where_there_is_one() -> None:
    rounds: list[Round] = [{MEMORY: published(4), REDIS: published(40, 2e-5)}]
    table = workers_report.ways_table(rounds)
    assert cells(table, "batches of 50 | Redis")[-1] == "20.0"
    assert cells(table, "batches of 50 | memory")[-1] == "-"


def test_without_redis_the_output_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("redis")
    monkeypatch.setenv("PATH", str(tmp_path))
    with places() as found:
        assert set(found) == {MEMORY, SQLITE}
        line = workers_report.machine_line(found)
    assert "Redis was left out: neither of redis-server, valkey-server was found" in line


@pytest.mark.parametrize(("rates", "reached"), [([9e4, 1.1e5, 1.2e5], "yes"), ([9e4], "**no**")])
def test_only_redis_has_a_floor(rates: list[float], reached: str) -> None:
    table = workers_report.replays_table({MEMORY: [1.0], REDIS: rates}, QUICK)
    assert cells(table, "memory")[-2:] == ["-", "-"]
    assert cells(table, "Redis")[-2:] == ["100,000", reached]


def test_the_plots_read_what_the_report_prints() -> None:
    rounds: list[Round] = [{MEMORY: published(0.5), REDIS: published(40, 2e-5)}]
    fanned_out = FannedOut(sent(10), sent(1), None, 200_000, 300_000, 5_000)
    shared = FannedOut(sent(20), sent(2), 2e-5, 50_000, 60_000, 1_000)
    text = "\n\n".join(
        [
            *workers_report.publishing_parts(rounds),
            workers_report.DELAYS,
            workers_report.delays_table(
                [{MEMORY: {20: sent(0.4), 1_000: sent(0.3)}, REDIS: {20: sent(1), 1_000: sent(2)}}]
            ),
            *workers_report.fan_out_parts(
                [{(MEMORY, 1): fanned_out, (REDIS, 1): shared, (REDIS, 2): shared}],
                QUICK.clients,
                QUICK,
            ),
        ]
    )
    curves = [read_curves(text, panel.growth) for panel in PICTURES["workers"]]
    assert curves == [
        {MEMORY: [(1, 2_000_000), (50, 2_000_000)], REDIS: [(1, 25_000), (50, 25_000)]},
        {MEMORY: [(1, 0.5), (50, 0.5)], REDIS: [(1, 40), (50, 40)]},
        {
            f"{MEMORY}, p50": [(20, 0.4), (1_000, 0.3)],
            f"{MEMORY}, p99": [(20, 0.8), (1_000, 0.6)],
            f"{REDIS}, p50": [(20, 1), (1_000, 2)],
            f"{REDIS}, p99": [(20, 2), (1_000, 4)],
        },
        {MEMORY: [(1, 200_000)], REDIS: [(1, 50_000), (2, 50_000)]},
    ]
    picture = draw(list(zip(PICTURES["workers"], curves, strict=True)))
    assert picture.count("<polyline") == sum(len(one) for one in curves)
    assert picture.count("stroke-dasharray") == 2


def test_fewer_clients_than_planned_are_told() -> None:
    one = FannedOut(sent(10), sent(1), None, 200_000, 300_000, 5_000)
    *_, last = workers_report.fan_out_parts([{(MEMORY, 1): one}], 7, QUICK)
    assert "only 7 clients" in last
