"""Turns what was measured of runs into markdown tables. See `report`.

Ratios are those of a run to the plain stream beside it, within a round.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.redis_server import client_versions, missing_redis
from benchmarks.report import table
from benchmarks.runs import Cost, FastRound, Memory, Paced, PacedRound
from benchmarks.runs_plan import PLAIN, RUN, RunsSize
from benchmarks.stores import Place
from benchmarks.workers_plan import REDIS

NOTHING = "-"

STREAM = "plain stream"


def stores_line(found: Mapping[str, Place]) -> str:
    """Return which Redis was measured, or that there is none."""
    redis = found[REDIS].redis if REDIS in found else None
    if redis is None:
        return f"Runs in Redis were left out: {missing_redis()}."
    return f"Runs in Redis: {redis.version()}, {client_versions()}."


def fast_table(rounds: Sequence[FastRound]) -> str:
    """Return how fast tokens of generators arrive that never wait."""
    head = ("streams at once", "kept in", "tokens/s", "of the plain stream", *COST_HEAD)
    rows: list[tuple[str, ...]] = [head]
    for streams in dict.fromkeys(streams for streams, _ in next(iter(rounds[0].values()))):
        plain = [one[streams, PLAIN] for each in rounds for one in each.values()]
        rows.append((f"{streams:,}", STREAM, *fast_columns(plain, plain)))
        for store in rounds[0]:
            pairs = [(one[store][streams, RUN], one[store][streams, PLAIN]) for one in rounds]
            columns = fast_columns(*zip(*pairs, strict=True))
            rows.append((f"{streams:,}", store, *columns))
    return table(rows)


def fast_columns(ones: Sequence[Cost], plain: Sequence[Cost]) -> tuple[str, ...]:
    ratio = median(one.rate / peer.rate for one, peer in zip(ones, plain, strict=True))
    rate = f"{median(one.rate for one in ones):,.0f}"
    return rate, f"{ratio:.2f}", *cost_columns(ones, plain)


COST_HEAD = ("µs of CPU a token", "times the plain stream's", "µs of Redis a token")


def cost_columns(ones: Sequence[Cost], plain: Sequence[Cost]) -> tuple[str, str, str]:
    ratio = median(one.cpu / peer.cpu for one, peer in zip(ones, plain, strict=True))
    cpu = f"{1e6 * median(one.cpu for one in ones):.1f}"
    return cpu, f"{ratio:.2f}", redis_column(one.redis for one in ones)


def redis_column(seconds: Iterable[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    return f"{1e6 * median(known):.1f}" if known else NOTHING


def paced_title(size: RunsSize) -> str:
    """Return what the next table is about."""
    return f"{size.paced_streams} at once, {1 / size.period:g} tokens a second each:"


def paced_table(rounds: Sequence[PacedRound]) -> str:
    """Return when paced tokens arrive, and what they cost."""
    head = ("kept in", *COST_HEAD, "ms to the client, p50", "p99", "added, p50", "p99")
    plain = [one[PLAIN] for each in rounds for one in each.values()]
    rows = [head, (STREAM, *paced_columns(plain, plain))]
    for store in rounds[0]:
        pairs = [(one[store][RUN], one[store][PLAIN]) for one in rounds]
        rows.append((store, *paced_columns(*zip(*pairs, strict=True))))
    return table(rows)


def paced_columns(ones: Sequence[Paced], plain: Sequence[Paced]) -> tuple[str, ...]:
    costs = cost_columns([one.cost for one in ones], [one.cost for one in plain])
    pairs = list(zip(ones, plain, strict=True))
    delays = (
        median(one.median for one in ones),
        median(one.late for one in ones),
        median(one.median - peer.median for one, peer in pairs),
        median(one.late - peer.late for one, peer in pairs),
    )
    return (*costs, *(f"{1e3 * delay:.2f}" for delay in delays))


def memory_parts(
    plain: float, memories: Mapping[str, Memory], runs: int, size: RunsSize
) -> list[str]:
    """Return what a run takes of its server's memory."""
    each = f"KiB of each of {runs:,}, after {size.held_tokens} tokens"
    cases = ("goes on, with its viewer", "goes on, nobody views it", "has ended, is kept")
    rows: list[tuple[str, ...]] = [(each, *cases)]
    rows.append((STREAM, f"{plain:.1f}", NOTHING, NOTHING))
    for store, one in memories.items():
        figures = (one.viewed, one.unviewed, one.ended)
        rows.append((store, *(f"{kib:.1f}" for kib in figures)))
    parts = [table(rows)]
    if runs < size.held_runs:
        limit = "the hard limit of open files permits no more"
        parts.append(f"There were only {runs:,} runs: {limit}.")
    return parts
