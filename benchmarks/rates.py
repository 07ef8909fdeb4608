"""How many events per second a stream of each contender sends.

The contenders take turns. In each round each of them runs once. Those of one scenario run directly
one after the other, so that the machine's speed is about the same for all of them.
"""

import time

from benchmarks.client import events_per_second
from benchmarks.plan import LOADS, Load, Size
from benchmarks.progress import say
from benchmarks.servers import BETTER_SSE, RunningServer, missing_better_sse, serving

Rates = dict[tuple[str, str], list[float]]
"""Events per second in each round, by scenario and contender."""

Round = dict[tuple[str, str], float]
"""The same for one round."""

WARM_UP = 10
"""The warm-up is a round whose events are divided by this. What the first request loads or
compiles, and what the interpreters learn about the code, is no cost of an event."""


def measure_rates(size: Size) -> Rates:
    missing = missing_better_sse()
    loads = [load for load in LOADS if not (missing and load.server == BETTER_SSE)]
    with serving(load.server for load in loads) as running:
        say("rates: warming up")
        run_round(loads, running, size.divisor * WARM_UP)
        end = time.monotonic() + size.budget
        rounds: list[Round] = []
        while len(rounds) < size.rounds and (not rounds or time.monotonic() < end):
            say(f"rates: round {len(rounds) + 1} of {size.rounds}")
            rounds.append(run_round(loads, running, size.divisor))
    return {key: [one[key] for one in rounds] for key in rounds[0]}


def run_round(loads: list[Load], running: dict[str, RunningServer], divisor: int) -> Round:
    """Run every load once with a fraction of its events."""
    return {
        (load.scenario, load.contender): events_per_second(
            running[load.server].port, load.path, load.events // divisor
        )
        for load in loads
    }
