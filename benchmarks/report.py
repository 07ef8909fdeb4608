"""Turns what was measured into the lines of markdown tables.

A ratio is the median of the ratios within each round: what slows the machine down for a while slows
down both sides of a ratio. The smallest and the largest ratio are shown next to it.
"""

import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

import sse_middleware
from benchmarks.churn import Round as ChurnRound
from benchmarks.churn import Tasks
from benchmarks.compression import EVENT_SIZE, Compressed
from benchmarks.latency import PATIENCE, Latencies
from benchmarks.memory import Memory
from benchmarks.pings import Round
from benchmarks.plan import (
    CHURN,
    CHURN_RATIOS,
    MEMORY_SHARES,
    MOST_REQUEST_OVERHEAD,
    MOST_TOKEN_DELAY,
    MOST_TOKEN_DELAYS,
    OURS_STARLETTE,
    PING_SHARES,
    QUEUE_SHARES,
    RATIOS,
    RAW_JSON,
    TOKEN_SHARES,
    Ratio,
    Share,
    Size,
)
from benchmarks.queues import Round as QueueRound
from benchmarks.rates import Rates
from benchmarks.servers import GRANIAN, HYPERCORN
from benchmarks.tokens import Round as TokenRound

UNKNOWN = "not measured: no /proc here"

PEERS = ("fastapi", "sse-starlette", "starlette", "pydantic", "uvicorn", "httptools", "uvloop")


def versions() -> str:
    """Return what was measured, and on which Python."""
    ours = f"sse_middleware {sse_middleware.__version__}"
    peers = [f"{package} {version(package)}" for package in PEERS]
    return ", ".join([f"Python {platform.python_version()}", ours, *peers])


def rates_parts(rates: Rates) -> list[str]:
    """Return how fast each contender was, and the ratios of ours to its peers."""
    return [ratios_table(rates, RATIOS), rates_table(rates)]


def rates_table(rates: Rates) -> str:
    rows = [("scenario", "contender", "events/s (median)", "min .. max")]
    for (scenario, contender), measured in rates.items():
        rows.append((scenario, contender, *spread_columns(measured)))
    return table(rows)


def spread_columns(measured: Sequence[float]) -> tuple[str, str]:
    return f"{median(measured):,.0f}", f"{min(measured):,.0f} .. {max(measured):,.0f}"


def ratios_table(rates: Rates, ratios: Iterable[Ratio]) -> str:
    """Return how many times as fast as its peers ours was, with the floors."""
    rows = [("scenario", "ours", "against", "ratio (median)", "min .. max", "floor", "reached")]
    for ratio in ratios:
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


def share_rows(sizes: Mapping[str, float], shares: Iterable[Share]) -> list[tuple[str, ...]]:
    """Return the share of its peers' cost that ours takes, with the most that it may take."""
    rows: list[tuple[str, ...]] = []
    for share in shares:
        if share.ours in sizes and share.peer in sizes:
            part = sizes[share.ours] / sizes[share.peer]
            verdict = floor_columns(share.most, reached=part <= (share.most or 0))
            rows.append((share.ours, share.peer, f"{part:.2f}", *verdict))
    return rows


def request_line(microseconds: float) -> str:
    """Return what the middleware costs a request that is no stream."""
    reached = "reached" if microseconds <= MOST_REQUEST_OVERHEAD else "**missed**"
    return (
        f"A request that is no stream pays {microseconds:.2f} µs for the middleware "
        f"(at most {MOST_REQUEST_OVERHEAD:g} µs: {reached})."
    )


def memory_parts(memory: Memory, most: int, size: Size) -> list[str]:
    """Return how much of its server's memory an idle stream takes."""
    if memory and not any(memory.values()):
        return [f"Memory was {UNKNOWN}."]
    parts = memory_tables(memory) if memory else []
    if forbidden := [f"{streams:,}" for streams in size.idle_streams if streams not in memory]:
        limit = f"the hard limit of open files permits {most:,}"
        parts.append(f"Streams that were not measured: {', '.join(forbidden)}; {limit}.")
    return parts


def memory_tables(memory: Memory) -> list[str]:
    head = ("streams", "ours", "against", "ratio", "at most", "reached")
    shares: list[tuple[str, ...]] = [head]
    rows = [("streams", "contender", "KiB per idle stream")]
    for streams, sizes in memory.items():
        shares += [(f"{streams:,}", *row) for row in share_rows(sizes, MEMORY_SHARES)]
        rows += [(f"{streams:,}", contender, f"{kib:.1f}") for contender, kib in sizes.items()]
    return [table(shares), table(rows)]


def pings_parts(rounds: Sequence[Round], streams: int, size: Size) -> list[str]:
    """Return what keep-alives cost. Say so if there were fewer streams than in the plan."""
    if not all(rounds):
        return [f"The CPU time of keep-alives was {UNKNOWN}."]
    costs = round_shares_table(rounds, PING_SHARES, lambda one: one.per_ping)
    parts = [costs, pings_table(rounds)]
    if streams < size.pinged_streams:
        limit = "the hard limit of open files permits no more"
        parts.append(f"Only {streams:,} streams were sent keep-alives: {limit}.")
    return parts


def round_shares_table(
    rounds: Sequence[Mapping[str, Any]], shares: Iterable[Share], cost: Callable[[Any], float]
) -> str:
    """Return the share of its peers' cost that ours takes. Ratios are taken within each round."""
    rows = [("this", "against", "ratio (median)", "min .. max", "at most", "reached")]
    for share in shares:
        parts = [cost(one[share.ours]) / cost(one[share.peer]) for one in rounds]
        middle, spread = median(parts), f"{min(parts):.2f} .. {max(parts):.2f}"
        verdict = floor_columns(share.most, reached=middle <= (share.most or 0))
        rows.append((share.ours, share.peer, f"{middle:.2f}", spread, *verdict))
    return table(rows)


def pings_table(rounds: Sequence[Round]) -> str:
    """Return what a keep-alive costs."""
    rows = [("contender", "CPU, % of a core", "µs per keep-alive", "keep-alives/s")]
    for contender in rounds[0]:
        cpu, cost, pings = (
            median(getattr(one[contender], name) for one in rounds)
            for name in ("cpu", "per_ping", "pings")
        )
        rows.append((contender, f"{100 * cpu:.1f}", f"{1e6 * cost:.1f}", f"{pings:,.0f}"))
    return table(rows)


def tokens_parts(rounds: Sequence[TokenRound]) -> list[str]:
    """Return what an event costs where many streams send small ones."""
    costs = round_shares_table(rounds, TOKEN_SHARES, lambda one: one.cpu)
    return ["CPU of an event:", costs, tokens_table(rounds), delay_line(rounds)]


def delay_line(rounds: Sequence[TokenRound]) -> str:
    """Return how late the median of our events is, with the most that it may be."""
    ours, raw = (median(one[name].median for one in rounds) for name in (OURS_STARLETTE, RAW_JSON))
    most = max(MOST_TOKEN_DELAY / 1e3, MOST_TOKEN_DELAYS * raw)
    verdict = "reached" if ours <= most else "**missed**"
    return f"Half of ours come in {1e3 * ours:.3f} ms (at most {1e3 * most:.3f} ms: {verdict})."


def tokens_table(rounds: Sequence[TokenRound]) -> str:
    rows = [("contender", "µs of CPU an event", "events/s", "ms to the client, p50", "p99")]
    for contender in rounds[0]:
        cpu, rate, middle, late = (
            median(getattr(one[contender], name) for one in rounds)
            for name in ("cpu", "rate", "median", "late")
        )
        figures = (f"{1e6 * cpu:.1f}", f"{rate:,.0f}", f"{1e3 * middle:.3f}", f"{1e3 * late:.2f}")
        rows.append((contender, *figures))
    return table(rows)


def queues_parts(rounds: Sequence[QueueRound], streams: int, size: Size) -> list[str]:
    """Return when the events of a burst arrive that is put into many queues."""
    times = [("contender", "ms to the client, p50", "p99")]
    for contender in rounds[0]:
        middle, late = (median(one[contender][part] for one in rounds) for part in (0, 1))
        times.append((contender, f"{1e3 * middle:.0f}", f"{1e3 * late:.0f}"))
    how = f"Bursts of {size.queue_burst} events into the queues of {streams:,} streams; the p50:"
    shares = round_shares_table(rounds, QUEUE_SHARES, lambda one: one[0])
    return [how, shares, table(times)]


def churn_parts(rounds: list[ChurnRound], tasks: Tasks, size: Size) -> list[str]:
    """Return how fast clients came and went, and the tasks that they left."""
    return [*churn_tables(rounds), tasks_table(tasks, size.left_streams)]


def churn_tables(rounds: list[ChurnRound]) -> list[str]:
    rates: Rates = {}
    rows = [
        (
            "contender",
            "connections per CPU second (median)",
            "min .. max",
            "per second (median)",
            "server idle, %",
        )
    ]
    for contender in rounds[0]:
        came = [one[contender] for one in rounds]
        known = [one.per_cpu_second for one in came if one.per_cpu_second is not None]
        idle = [one.idle for one in came if one.idle is not None]
        rates[CHURN, contender] = known
        rows.append(
            (
                contender,
                *(spread_columns(known) if known else (UNKNOWN, "-")),
                f"{median(one.per_second for one in came):,.0f}",
                f"{100 * median(idle):.1f}" if idle else UNKNOWN,
            )
        )
    return [ratios_table(rates, CHURN_RATIOS), table(rows)]


def tasks_table(tasks: Tasks, streams: int) -> str:
    """Return how many tasks the streams left."""
    rows = [("contender", "tasks before", f"after {streams:,} streams", "more, at most", "reached")]
    for contender, (before, after) in tasks.items():
        verdict = floor_columns(0, reached=after <= before)
        rows.append((contender, str(before), str(after), *verdict))
    return table(rows)


def latency_parts(latencies: Latencies) -> list[str]:
    """Return how long the end of a generator took after its client had left."""
    others = ", ".join(f"{package} {version(package)}" for package in (HYPERCORN, GRANIAN))
    return [latency_table(latencies), f"The other servers: {others}."]


def latency_table(latencies: Latencies) -> str:
    head = ("server", "stream", "client sends", "contender", "ms to `finally` (median)", "worst")
    rows = [(*head, "at most", "reached")]
    for leave, seconds in latencies.items():
        never = seconds.count(math.inf)
        worst = f"not within {PATIENCE:g} s: {never} of {len(seconds)}"
        middle, most = (1000 * value for value in (median(seconds), max(seconds)))
        verdict = floor_columns(leave.most, reached=middle <= (leave.most or 0))
        measured = (f"{middle:.2f}", worst if never else f"{most:.2f}")
        rows.append((leave.by, leave.scenario, leave.way, leave.contender, *measured, *verdict))
    return table(rows)


def compression_table(codecs: dict[str, Compressed | None]) -> str:
    """Return what each codec saves and costs."""
    size = f"{EVENT_SIZE}-byte events, times as short"
    rows = [("codec", size, "µs per event", "KiB of context, first event", "long stream")]
    for name, one in codecs.items():
        if one is None:
            rows.append((name, "not measured: its package is missing", "", "", ""))
        else:
            contexts = (context_column(one.first_kib), context_column(one.long_kib))
            rows.append((name, f"{one.ratio:.2f}", f"{one.microseconds:.2f}", *contexts))
    return table(rows)


def context_column(kib: float | None) -> str:
    return UNKNOWN if kib is None else f"{kib:.1f}"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a markdown table. The first row is its head."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|" + " --- |" * len(rows[0]), *body])
