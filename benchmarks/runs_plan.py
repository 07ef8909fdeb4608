"""What is measured of runs: tables, no code."""

from dataclasses import dataclass

PLAIN = "/plain"
"""A stream of a generator."""

RUN = "/run"
"""A run of the same generator, with one viewer."""

PATHS = (PLAIN, RUN)


@dataclass(frozen=True, slots=True)
class RunsSize:
    """How much is measured."""

    rounds: int
    loads: tuple[tuple[int, int], ...]
    """How many streams there are at once, and how many tokens each yields as fast as it can."""
    paced_rounds: int
    paced_streams: int
    period: float
    """Seconds that a paced generator waits after each token."""
    seconds: float
    """How long paced tokens are measured in each round."""
    held_runs: int
    """How many runs there are when their memory is measured."""
    held_tokens: int
    """How many tokens each of them has."""
    still: float
    """Seconds in which the memory of a process that has nothing to do doesn't grow."""


FULL = RunsSize(
    rounds=5,
    loads=((1, 50_000), (200, 250)),
    paced_rounds=5,
    paced_streams=200,
    period=1 / 40,
    seconds=1.5,
    held_runs=2_000,
    held_tokens=100,
    still=0.4,
)
QUICK = RunsSize(
    rounds=1,
    loads=((1, 500), (10, 50)),
    paced_rounds=1,
    paced_streams=10,
    period=1 / 40,
    seconds=0.1,
    held_runs=20,
    held_tokens=10,
    still=0.05,
)
