"""From what was measured to the lines of markdown tables.

A ratio is the median over the rounds of the ratio within each round: what slows the machine down
for a while slows down both sides of it. Beside it stand the smallest and the largest of them.
"""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

import sse_middleware
from benchmarks.latency import PATIENCE, Latencies
from benchmarks.plan import LOADS, MOST_REQUEST_OVERHEAD, RATIOS, Ratio

Rates = dict[tuple[str, str], list[float]]
"""Events per second of each round, by scenario and contender."""

PEERS = ("fastapi", "sse-starlette", "starlette", "pydantic", "uvicorn", "httptools", "uvloop")


def versions() -> str:
    """Return what was measured, and on which Python."""
    ours = f"sse_middleware {sse_middleware.__version__}"
    peers = [f"{package} {version(package)}" for package in PEERS]
    return ", ".join([f"Python {platform.python_version()}", ours, *peers])


def rates_table(rates: Rates) -> str:
    """Return how fast each contender was."""
    rows = [("scenario", "contender", "events/s (median)", "min .. max")]
    for load in LOADS:
        measured = rates.get((load.scenario, load.contender))
        if measured:
            spread = f"{min(measured):,.0f} .. {max(measured):,.0f}"
            rows.append((load.scenario, load.contender, f"{median(measured):,.0f}", spread))
    return table(rows)


def ratios_table(rates: Rates) -> str:
    """Return how many times as fast as its peers ours was, beside the floors."""
    rows = [("scenario", "ours", "against", "ratio (median)", "min .. max", "floor", "reached")]
    for ratio in RATIOS:
        measured = ratios_of(ratio, rates)
        if measured:
            middle = median(measured)
            spread = f"{min(measured):.2f} .. {max(measured):.2f}"
            verdict = floor_columns(ratio.floor, reached=middle >= (ratio.floor or 0))
            rows.append((ratio.scenario, ratio.ours, ratio.peer, f"{middle:.2f}", spread, *verdict))
    return table(rows)


def ratios_of(ratio: Ratio, rates: Rates) -> list[float]:
    ours = rates.get((ratio.scenario, ratio.ours), [])
    peer = rates.get((ratio.scenario, ratio.peer), [])
    return [mine / theirs for mine, theirs in zip(ours, peer, strict=False)]


def floor_columns(floor: float | None, *, reached: bool) -> tuple[str, str]:
    if floor is None:
        return "-", "-"
    return f"{floor:g}", "yes" if reached else "**no**"


def request_line(microseconds: float) -> str:
    """Return what a request that is no stream pays."""
    reached = "reached" if microseconds <= MOST_REQUEST_OVERHEAD else "**missed**"
    return (
        f"A request that is no stream pays {microseconds:.2f} µs for the middleware "
        f"(at most {MOST_REQUEST_OVERHEAD:g} µs: {reached})."
    )


def memory_table(sizes: dict[str, float | None]) -> str:
    """Return what an idle stream takes of its server's memory."""
    rows = [("contender", "KiB per idle stream")]
    for contender, size in sizes.items():
        rows.append((contender, "not measured: no /proc here" if size is None else f"{size:.1f}"))
    return table(rows)


def latency_table(latencies: Latencies) -> str:
    """Return how long after its client had left a generator was ended."""
    rows = [("stream", "client sends", "contender", "ms to `finally` (median)", "worst")]
    for leave, seconds in latencies.items():
        never = seconds.count(math.inf)
        worst = f"not within {PATIENCE:g} s: {never} of {len(seconds)}"
        middle, most = (f"{1000 * value:.2f}" for value in (median(seconds), max(seconds)))
        rows.append((leave.scenario, leave.way, leave.contender, middle, worst if never else most))
    return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table; the first row is its head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
