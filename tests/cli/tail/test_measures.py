"""The figures of ``--stats``."""

import random

import pytest

from sse_middleware.cli.tail.measures import Measures, duration


def measured(*times: float) -> Measures:
    measures = Measures(0)
    for time in times:
        measures.event(time)
    return measures


def test_the_summary() -> None:
    measures = measured(1, 1.5, 2, 2.5, 12.5)
    measures.bytes, measures.keep_alives, measures.connections = 12_345, 3, 2
    assert measures.summary(20) == (
        "time         20.0 s\n"
        "events       5 (0.2/s)\n"
        "bytes        12,345 (617/s)\n"
        "between      p50 501 ms, p99 10.0 s, longest 10.0 s\n"
        "keep-alives  3\n"
        "reconnects   1\n"
    )


@pytest.mark.parametrize("events", [(), (1.0,)])
def test_less_than_two_events_have_no_delay(events: tuple[float, ...]) -> None:
    measures = measured(*events)
    assert measures.percentile(50) is None
    assert "between" not in measures.summary(0)
    assert "reconnects   0" in measures.summary(0)


def test_percentiles_are_right_within_half_a_percent() -> None:
    chance = random.Random(1)
    delays = [chance.lognormvariate(-3, 2) for _ in range(5_000)]
    measures, now = Measures(0), 0.0
    measures.event(now)
    for delay in delays:
        now += delay
        measures.event(now)
    for percent in (1, 50, 90, 99, 100):
        exact = sorted(delays)[max(0, round(len(delays) * percent / 100) - 1)]
        assert measures.percentile(percent) == pytest.approx(exact, rel=0.006)


def test_events_that_come_together() -> None:
    measures = measured(1, 1, 1, 1, 2)
    assert measures.percentile(50) == 0
    assert measures.percentile(99) == 1  # no estimate is longer than the longest


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.00 ms"),
        (0.00123, "1.23 ms"),
        (0.0456, "45.6 ms"),
        (0.789, "789 ms"),
        (1, "1.00 s"),
        (61.25, "61.2 s"),
        (3600, "3600 s"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
