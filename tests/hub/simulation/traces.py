"""What happens in a world, one thing after the other."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.hub.simulation.world import World

Trace = Sequence[tuple[str, tuple[int, ...]]]
"""What happens: methods of `World`, and their arguments."""

STEPS: Sequence[tuple[str, int]] = (
    ("publish", 3),
    ("publish", 3),
    ("publish", 3),
    ("publish", 3),
    ("connect", 2),
    ("connect", 2),
    ("cut", 2),
    ("cut", 2),
    ("publish_quietly", 2),
    ("publish_and_cut", 3),
    ("connect_and_cut", 3),
    ("connect_and_cut", 3),
    ("pause", 1),
    ("resume", 1),
    ("resume", 1),
    ("sip", 1),
    ("sip", 1),
    ("keep_alive", 1),
    ("wait", 1),
    ("wait", 1),
    ("wait", 1),
    ("delay", 2),
    ("fail", 1),
    ("stall", 1),
    ("break_listener", 1),
    ("make_hole", 2),
    ("restart", 1),
    ("flush", 0),
    ("fail_over", 2),
    ("heal", 0),
    ("heal", 0),
    ("step_clock", 1),
)


def random_trace(seed: int, steps: int = 25) -> Trace:
    chosen = random.Random(seed)
    trace: list[tuple[str, tuple[int, ...]]] = [
        ("connect", (at, chosen.randrange(2))) for at in range(3)
    ]
    for _ in range(steps):
        name, numbers = chosen.choice(STEPS)
        trace.append((name, tuple(chosen.randrange(11) for _ in range(numbers))))
    return trace


def play(trace: Trace, seed: int = 0, *, settled: float = 0.7) -> World:
    """Let things happen one after the other. Raises `Violation`.

    Args:
        trace: what happens.
        seed: of what happens at random within that.
        settled: how likely the clients get everything before the next thing happens.
    """
    with repeatable(seed):
        world = World(seed)
        let_happen(world, trace, settled)
    return world


def let_happen(world: Any, trace: Trace, settled: float) -> None:
    """Let things happen in a world, of hubs or of runs, and close it."""
    try:
        for name, numbers in trace:
            getattr(world, name)(*numbers)
            if world.random.random() < settled:
                world.settle()
        world.finish()
    finally:
        world.close()


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Have the library wait as long before it tries again whenever the seed is the same."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
