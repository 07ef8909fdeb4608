"""Turns what was measured of gateways into markdown tables. See `report`."""

from collections.abc import Sequence
from statistics import median

from benchmarks.plan import Share
from benchmarks.relaying import Round
from benchmarks.relaying_plan import (
    BURST,
    DECODED,
    DECODED_CHANGED,
    GATEWAYS,
    PACED,
    RAW_BYTES,
    RELAY,
    RELAY_CHANGED,
    RELAY_READ,
    RelaySize,
)
from benchmarks.report import floor_columns, table

SHARES = {
    BURST: (
        Share(RELAY, DECODED, 0.1),
        Share(RELAY, RAW_BYTES),
        Share(RELAY_READ, DECODED),
        Share(RELAY_CHANGED, DECODED_CHANGED),
    ),
    PACED: (
        Share(RELAY, DECODED),
        Share(RELAY, RAW_BYTES),
        Share(RELAY_READ, DECODED),
        Share(RELAY_CHANGED, DECODED_CHANGED),
    ),
}
"""The shares of the CPU time that its peer takes for an event."""


def relaying_parts(rounds: Sequence[Round], size: RelaySize) -> list[str]:
    """Return what an event costs each gateway, and the ratios within the rounds."""
    if not all(rounds[0].values()):
        return ["The CPU time of gateways was not measured: no /proc here."]
    how = f"Paced: {size.streams} streams, an event every {1e3 * size.period:.0f} ms in each."
    return [shares_table(rounds), costs_table(rounds), how]


def shares_table(rounds: Sequence[Round]) -> str:
    rows = [("scene", "this", "against", "ratio (median)", "min .. max", "at most", "reached")]
    for scene, shares in SHARES.items():
        for share in shares:
            parts = [one[scene, share.ours] / one[scene, share.peer] for one in rounds]
            middle, spread = median(parts), f"{min(parts):.3f} .. {max(parts):.3f}"
            verdict = floor_columns(share.most, reached=middle <= (share.most or 0))
            rows.append((scene, share.ours, share.peer, f"{middle:.3f}", spread, *verdict))
    return table(rows)


def costs_table(rounds: Sequence[Round]) -> str:
    rows: list[tuple[str, ...]] = [("contender", "µs of CPU an event, burst", "paced")]
    for gateway in GATEWAYS:
        costs = [median(one[scene, gateway.name] for one in rounds) for scene in (BURST, PACED)]
        rows.append((gateway.name, *(f"{1e6 * cost:.2f}" for cost in costs)))
    return table(rows)
