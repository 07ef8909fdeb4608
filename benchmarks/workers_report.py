"""Turns what was measured of hubs that processes share into markdown tables. See `report`."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import median

from benchmarks.broadcast import Sent
from benchmarks.redis_server import client_versions, missing_redis
from benchmarks.report import floor_columns, spread_columns, table
from benchmarks.stores import Place, Published, Replays, Round, Way
from benchmarks.workers import DelayRound, FannedOut, FanOutRound
from benchmarks.workers_plan import (
    BATCH,
    BATCHED,
    CONCURRENT,
    LEAST_REPLAYED,
    MEMORY,
    ONE_BY_ONE,
    REDIS,
    WorkersSize,
)

PUBLISHED = "Publishes a second, by how many wait at the same time:"
PUBLISH_CPU = "µs of CPU in the publisher's process for one of them:"
DELAYS = "ms from `publish` to the client of another worker, by events a second:"
DELIVERIES = "Deliveries a second of events in a row, by workers:"

MIDDLE, LATE = "p50", "p99"

WAYS: Mapping[str, Way] = {ONE_BY_ONE: 1, CONCURRENT: BATCH, BATCHED: BATCHED}

NOTHING = "-"


def machine_line(found: Mapping[str, Place]) -> str:
    """Return what was measured on, or that there is no Redis."""
    cores = f"{os.cpu_count()} cores"
    redis = found[REDIS].redis if REDIS in found else None
    if redis is None:
        return f"{cores}. Redis was left out: {missing_redis()}."
    return f"{cores}, {redis.version()}, {client_versions()}."


def publishing_parts(rounds: Sequence[Round]) -> list[str]:
    """Return what publishing costs, and how that grows."""
    rates = growth_by_way(rounds, lambda one: one.rate, 0)
    costs = growth_by_way(rounds, lambda one: 1e6 * one.python, 1)
    return [ways_table(rounds), PUBLISHED, rates, PUBLISH_CPU, costs]


def ways_table(rounds: Sequence[Round]) -> str:
    """Return what each way to publish costs in each store. Ratios are taken within a round."""
    costs = ("µs of CPU in Python", "as in memory", "µs of CPU in Redis")
    rows = [("published", "store", "events/s (median)", "min .. max", *costs)]
    for name, way in WAYS.items():
        for store in rounds[0]:
            ones = [one[store][way] for one in rounds]
            ratio = median(one[store][way].python / one[MEMORY][way].python for one in rounds)
            python = f"{1e6 * median(one.python for one in ones):.1f}"
            spread = spread_columns([one.rate for one in ones])
            redis = redis_column([one.redis for one in ones])
            rows.append((name, store, *spread, python, f"{ratio:.1f}", redis))
    return table(rows)


def redis_column(seconds: Iterable[float | None]) -> str:
    known = [one for one in seconds if one is not None]
    return f"{1e6 * median(known):.1f}" if known else NOTHING


def growth_by_way(
    rounds: Sequence[Round], figure: Callable[[Published], float], decimals: int
) -> str:
    """Return a figure by the number of publishes that wait."""
    rows = [("at the same time", *rounds[0])]
    ways = [way for way in rounds[0][MEMORY] if way != BATCHED]
    for way in ways:
        middles = (median(figure(one[store][way]) for one in rounds) for store in rounds[0])
        rows.append((f"{way}", *(f"{middle:,.{decimals}f}" for middle in middles)))
    return table(rows)


def replays_table(replays: Replays, size: WorkersSize) -> str:
    """Return how fast kept events are replayed from each store."""
    head = f"replay of {size.replayed_events:,} events from"
    rows = [(head, "events/s (median)", "min .. max", "at least", "reached")]
    for store, rates in replays.items():
        floor = LEAST_REPLAYED if store == REDIS else None
        verdict = floor_columns(floor, reached=median(rates) >= LEAST_REPLAYED)
        shown = (f"{LEAST_REPLAYED:,.0f}", verdict[1]) if floor else verdict
        rows.append((store, *spread_columns(rates), *shown))
    return table(rows)


def delays_table(rounds: Sequence[DelayRound]) -> str:
    """Return how long events are on their way."""
    stores = list(rounds[0])
    heads = [f"{store}, {part}" for store in stores for part in (MIDDLE, LATE)]
    rows = [("events/s", *heads)]
    for rate in rounds[0][MEMORY]:
        ones = ([one[store][rate] for one in rounds] for store in stores)
        rows.append((f"{rate:,.0f}", *(text for sent in ones for text in delay_columns(sent))))
    return table(rows)


def delay_columns(ones: Sequence[Sent]) -> tuple[str, str]:
    middle, late = (median(one.median for one in ones), median(one.late for one in ones))
    return f"{1e3 * middle:.2f}", f"{1e3 * late:.2f}"


def fan_out_parts(rounds: Sequence[FanOutRound], clients: int, size: WorkersSize) -> list[str]:
    """Return what deliveries cost, and how that grows with the workers."""
    parts = [paced_table(rounds, clients), bursts_table(rounds, clients)]
    parts += [DELIVERIES, deliveries_table(rounds)]
    if clients < size.clients:
        limit = "the hard limit of open files permits no more"
        parts.append(f"There were only {clients:,} clients: {limit}.")
    return parts


def paced_table(rounds: Sequence[FanOutRound], clients: int) -> str:
    """Return what a delivery of a paced event costs. Ratios are taken within a round."""
    columns = ("µs of CPU a delivery", "as in memory", "p50 in ms", "p99 in ms")
    rows: list[tuple[str, ...]] = [(f"paced, to {clients:,} clients", "workers", *columns)]
    for store, number in rounds[0]:
        ones = [one[store, number].paced for one in rounds]
        shares = (
            one[store, number].paced.per_delivery / one[MEMORY, 1].paced.per_delivery
            for one in rounds
        )
        cost = f"{1e6 * median(one.per_delivery for one in ones):.1f}"
        rows.append((store, f"{number}", cost, f"{median(shares):.2f}", *delay_columns(ones)))
    return table(rows)


def bursts_table(rounds: Sequence[FanOutRound], clients: int) -> str:
    """Return how much some workers can do."""
    in_a_row = ("µs of CPU a delivery", "µs of Redis an event", "deliveries/s")
    rest = ("deliveries/s, at once", "publishes/s of all workers")
    rows: list[tuple[str, ...]] = [
        (f"in a row, to {clients:,} clients", "workers", *in_a_row, *rest)
    ]
    for store, number in rounds[0]:
        rows.append((store, f"{number}", *burst_columns([one[store, number] for one in rounds])))
    return table(rows)


def burst_columns(ones: Sequence[FannedOut]) -> Iterator[str]:
    yield f"{1e6 * median(one.in_a_row.per_delivery for one in ones):.1f}"
    yield redis_column([one.redis for one in ones])
    yield f"{median(one.deliveries for one in ones):,.0f}"
    yield f"{median(one.deliveries_at_once for one in ones):,.0f}"
    yield f"{median(one.published for one in ones):,.0f}"


def deliveries_table(rounds: Sequence[FanOutRound]) -> str:
    """Return how the rate of deliveries grows with the workers."""
    stores = list(dict.fromkeys(store for store, _ in rounds[0]))
    rows = [("workers", *stores)]
    for number in dict.fromkeys(number for _, number in rounds[0]):
        columns = (deliveries_column(rounds, store, number) for store in stores)
        rows.append((f"{number}", *columns))
    return table(rows)


def deliveries_column(rounds: Sequence[FanOutRound], store: str, number: int) -> str:
    if (store, number) not in rounds[0]:
        return NOTHING
    return f"{median(one[store, number].deliveries for one in rounds):,.0f}"
