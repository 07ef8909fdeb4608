"""The tables of gateways, made of figures that were not measured."""

import pytest

from benchmarks import relaying_report
from benchmarks.relaying import Round
from benchmarks.relaying_plan import DECODED, GATEWAYS, QUICK, RELAY, SCENES
from tests.benchmarks.test_runs_report import cells


def measured(relay: float, decoded: float) -> Round:
    """Return a round in which all other gateways take one microsecond."""
    costs = {(scene, gateway.name): 1e-6 for scene in SCENES for gateway in GATEWAYS}
    own = {(scene, RELAY): relay / 1e6 for scene in SCENES}
    return {**costs, **own, **{(scene, DECODED): decoded / 1e6 for scene in SCENES}}


@pytest.mark.parametrize(("relay", "reached"), [(1, "yes"), (3, "**no**")])
def test_a_ratio_is_taken_within_a_round_and_has_a_floor(relay: float, reached: str) -> None:
    rounds = [measured(relay, 20), measured(2 * relay, 40), measured(1, 1)]
    shares, costs, how = relaying_report.relaying_parts(rounds, QUICK)
    row = cells(shares, f"burst | {RELAY} | {DECODED}")
    assert row[3:] == [f"{relay / 20:.3f}", f"{relay / 20:.3f} .. 1.000", "0.1", reached]
    assert cells(costs, DECODED)[1:] == ["20.00", "20.00"]
    assert "5 streams" in how


def test_it_says_what_can_not_be_measured() -> None:
    nothing = dict.fromkeys(measured(1, 1), 0.0)
    (said,) = relaying_report.relaying_parts([nothing], QUICK)
    assert "no /proc here" in said
