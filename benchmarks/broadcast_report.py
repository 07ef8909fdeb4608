"""Turns what was measured of broadcasts into the lines of markdown tables. See `report`."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.broadcast import Broadcast, Broadcasts
from benchmarks.plan import BROADCAST_SHARES, Size
from benchmarks.report import table

GROWTH = "µs of CPU for one event, published alone:"

LOADS = {"paced": "paced", "in a row": "in_a_row", "at once": "at_once"}
"""What is measured, and its field in `Broadcast`."""

DELAYS = (
    ("paced", "median", "paced: p50"),
    ("paced", "late", "p99"),
    ("in_a_row", "median", "in a row: p50"),
    ("in_a_row", "late", "p99"),
    ("in_a_row", "whole", "all"),
    ("at_once", "median", "at once: p50"),
    ("at_once", "late", "p99"),
    ("at_once", "whole", "all"),
)
"""For each column: a field of `Broadcast`, a field of `Sent`, and the column's head."""

FEWEST_FOR_MEMORY = 100
"""With fewer subscribers, the memory of a process grows by chance."""


def broadcast_parts(
    broadcasts: Broadcasts, reasons: Mapping[str, str], most: int, size: Size
) -> list[str]:
    """Return what an event for many subscribers costs, and when it reaches them."""
    parts = [f"Left out: {contender}, because {why}." for contender, why in reasons.items()]
    parts += [broadcast_shares_table(broadcasts), broadcast_costs_table(broadcasts)]
    parts += [broadcast_delays_table(broadcasts), GROWTH, growth_table(broadcasts)]
    if forbidden := [f"{number:,}" for number in size.subscribers if number > most]:
        limit = f"the hard limit of open files permits {most:,}"
        parts.append(f"Subscribers that were not measured: {', '.join(forbidden)}; {limit}.")
    return parts


def broadcast_shares_table(broadcasts: Broadcasts) -> str:
    """Return the share of its peers' cost that ours takes. Ratios are taken within each round."""
    loads = [f"CPU, {load}" for load in LOADS]
    rows: list[tuple[str, ...]] = [("subscribers", "this", "against", *loads, "memory")]
    for number, rounds in broadcasts.items():
        for share in BROADCAST_SHARES:
            if {share.ours, share.peer} <= rounds[0].keys():
                pairs = [(one[share.ours], one[share.peer]) for one in rounds]
                shares = (share_column(pairs, load) for load in LOADS.values())
                memory = memory_share(*pairs[0], number)
                rows.append((f"{number:,}", share.ours, share.peer, *shares, memory))
    return table(rows)


def share_column(pairs: Iterable[tuple[Broadcast, Broadcast]], load: str) -> str:
    loads = ((getattr(ours, load), getattr(peer, load)) for ours, peer in pairs)
    return f"{median(ours.per_delivery / peer.per_delivery for ours, peer in loads):.2f}"


def broadcast_costs_table(broadcasts: Broadcasts) -> str:
    """Return what a delivery costs, and how much memory a subscriber takes."""
    head = ("subscribers", "contender, in µs of CPU a delivery")
    rows: list[tuple[str, ...]] = [(*head, *LOADS, "KiB a subscriber")]
    for number, rounds in broadcasts.items():
        for contender, first in rounds[0].items():
            ones = [one[contender] for one in rounds]
            costs = (middle(ones, load, "per_delivery", 1e6) for load in LOADS.values())
            memory = memory_column(first.kib, number)
            rows.append((f"{number:,}", contender, *(f"{cost:.1f}" for cost in costs), memory))
    return table(rows)


def broadcast_delays_table(broadcasts: Broadcasts) -> str:
    """Return when events reach their subscribers."""
    heads = (head for *_, head in DELAYS)
    rows: list[tuple[str, ...]] = [("subscribers", "contender, in ms", *heads)]
    for number, rounds in broadcasts.items():
        for contender in rounds[0]:
            ones = [one[contender] for one in rounds]
            figures = (middle(ones, load, name, 1e3) for load, name, _ in DELAYS)
            rows.append((f"{number:,}", contender, *(f"{figure:.1f}" for figure in figures)))
    return table(rows)


def middle(ones: Iterable[Broadcast], load: str, name: str, factor: float) -> float:
    """Return the median of a figure over the rounds."""
    figures: list[float] = [getattr(getattr(one, load), name) for one in ones]
    return factor * median(figures)


def memory_column(kib: float, number: int) -> str:
    return f"{kib:.1f}" if number >= FEWEST_FOR_MEMORY else "-"


def memory_share(ours: Broadcast, peer: Broadcast, number: int) -> str:
    measured = number >= FEWEST_FOR_MEMORY and peer.kib > 0
    return f"{ours.kib / peer.kib:.2f}" if measured else "-"


def growth_table(broadcasts: Broadcasts) -> str:
    """Return how the cost of publishing grows with the number of subscribers."""
    contenders = list(next(iter(broadcasts.values()))[0])
    rows = [("subscribers", *contenders)]
    for number, rounds in broadcasts.items():
        costs = (median(one[name].paced.per_event for one in rounds) for name in contenders)
        rows.append((f"{number:,}", *(f"{1e6 * cost:,.0f}" for cost in costs)))
    return table(rows)


def replay_line(rates: Sequence[float], size: Size) -> str:
    """Return how fast kept events are replayed."""
    if not rates:
        return "Nothing was replayed: there is no hub."
    figures = f"{median(rates):,.0f} events/s (median; {min(rates):,.0f} .. {max(rates):,.0f})"
    return f"{size.replayed_events:,} kept events are replayed at {figures}."
