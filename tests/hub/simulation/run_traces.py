"""What happens in a world with runs, one thing after the other."""

import random
from collections.abc import Sequence

from tests.hub.simulation.runs_world import RunsWorld
from tests.hub.simulation.traces import Trace, let_happen, repeatable

RUN_STEPS: Sequence[tuple[str, int]] = (
    ("begin", 3),
    ("begin", 3),
    ("begin", 3),
    ("attach", 3),
    ("attach", 3),
    ("restart", 3),
    ("come_back", 3),
    ("come_back", 3),
    ("come_back", 3),
    ("come_back", 3),
    ("come_back_here", 2),
    ("come_back_here", 2),
    ("leave", 2),
    ("leave", 2),
    ("read_slowly", 1),
    ("read_on", 1),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("emit", 3),
    ("finish_work", 1),
    ("finish_work", 1),
    ("fail_work", 1),
    ("stop", 2),
    ("stop", 2),
    ("stop_well", 2),
    ("crash", 1),
    ("crash", 1),
    ("pause", 1),
    ("pause", 1),
    ("go_on", 1),
    ("go_on", 1),
    ("close_process", 1),
    ("wait", 1),
    ("wait", 1),
    ("wait", 1),
    ("wait", 1),
    ("delay", 2),
    ("fail", 1),
    ("stall", 1),
    ("lose_answers", 2),
    ("be_silent", 2),
    ("drop", 2),
    ("break_listener", 1),
    ("restart_server", 1),
    ("flush", 0),
    ("heal", 0),
    ("heal", 0),
    ("heal", 0),
)


KEY_AT = {
    "attach": 2,
    "begin": 2,
    "restart": 2,
    "emit": 0,
    "finish_work": 0,
    "fail_work": 0,
    "stop": 1,
    "stop_well": 1,
}
"""Which number of a step is a key."""


def random_run_trace(seed: int, steps: int = 25) -> Trace:
    """Return a trace at random. Most of it is about one key."""
    chosen = random.Random(seed)
    key = chosen.randrange(3)
    trace: list[tuple[str, tuple[int, ...]]] = [
        ("begin", (0, chosen.randrange(3), key)),
        ("attach", (1, chosen.randrange(3), key)),
    ]
    for _ in range(steps):
        name, numbers = chosen.choice(RUN_STEPS)
        drawn = [chosen.randrange(11) for _ in range(numbers)]
        if name in KEY_AT and chosen.random() < 0.8:
            drawn[KEY_AT[name]] = key
        trace.append((name, tuple(drawn)))
    return trace


def play_runs(trace: Trace, seed: int = 0, *, settled: float = 0.7) -> RunsWorld:
    """Let things happen one after the other. Raises `Violation`.

    Args:
        trace: what happens.
        seed: of what happens at random within that.
        settled: how likely the clients get everything before the next thing happens.
    """
    with repeatable(seed):
        world = RunsWorld(seed)
        let_happen(world, trace, settled)
    return world
