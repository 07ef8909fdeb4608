"""Runs of several worker processes over one server that loses, delays and lies, in virtual time.

Each trace lets things happen to processes, their links, the server and clients, heals everything,
and checks what the server has and what each client got. Some traces are chosen by hypothesis, more
at random. ``HUB_SEED`` and ``HUB_TRACES`` run others. The mistakes of
`tests.hub.simulation.run_mutations` are each found by a trace here.
"""

import logging
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from sse_middleware.hub import listening, paging, topic
from tests.hub.simulation.client import Violation
from tests.hub.simulation.run_mutations import RUN_MUTATIONS
from tests.hub.simulation.run_traces import RUN_STEPS, play_runs, random_run_trace
from tests.hub.simulation.runs_world import RunsWorld
from tests.hub.simulation.traces import Trace

SEED = int(os.environ.get("HUB_SEED", "0"))
TRACES = int(os.environ.get("HUB_TRACES", "200"))

PARTS = 10
"""Tests that share the traces, so that each takes a second or two."""

FOUND_BY: dict[str, Trace] = {
    "no_fence_by_token": [
        ("begin", (0, 0, 1)),
        ("restart", (1, 1, 1)),
        ("emit", (1, 1, 0)),
    ],
    "no_fence_by_lease": [
        ("begin", (0, 0, 1)),
        ("leave", (0, 10)),
        ("stall", (0,)),
        ("emit", (1, 1, 0)),
        ("wait", (5,)),
        ("heal", ()),
    ],
    "no_number": [
        ("begin", (0, 0, 1)),
        ("lose_answers", (0, 1)),
        ("emit", (1, 1, 0)),
        ("wait", (2,)),
    ],
    "end_in_two_steps": [
        ("begin", (0, 0, 1)),
        ("be_silent", (0, 1)),
        ("finish_work", (1,)),
        ("wait", (2,)),
        ("crash", (0,)),
    ],
    "abort_while_held": [("begin", (0, 0, 1)), ("attach", (1, 1, 1))],
    "one_look": [("begin", (0, 0, 1)), ("attach", (1, 1, 1)), ("crash", (0,))],
    "stop_by_message_only": [
        ("begin", (0, 0, 1)),
        ("emit", (1, 1, 0)),
        ("wait", (0,)),
        ("drop", (0, 1)),
        ("stop", (1, 1)),
    ],
    "stop_stays": [
        ("begin", (0, 0, 1)),
        ("stop", (0, 1)),
        ("restart", (1, 1, 1)),
        ("wait", (3,)),
    ],
    "events_after_end": [("begin", (0, 0, 1)), ("fail_work", (1,)), ("wait", (2,))],
    "another_run_untold": [
        ("begin", (0, 0, 1)),
        ("leave", (0, 10)),
        ("emit", (1, 1, 0)),
        ("restart", (1, 1, 1)),
        ("come_back", (0, 1, 0)),
        ("wait", (1,)),
    ],
    "earlier_run_in_ring": [
        ("begin", (0, 0, 1)),
        ("emit", (1, 1, 0)),
        ("restart", (0, 0, 1)),
        ("attach", (0, 0, 1)),
    ],
    "wait_behind_end": [
        ("begin", (0, 0, 1)),
        ("pause", (0,)),
        ("restart_server", (0,)),
    ],
    "begins_again": [
        ("begin", (0, 0, 0)),
        ("leave", (0, 10)),
        ("finish_work", (0,)),
        ("wait", (4,)),
        ("come_back", (0, 1, 1)),
    ],
}
"""For each mistake, a trace in which it is noticed."""

ONCE_WRONG: dict[str, tuple[int, Trace]] = {
    "a worker that forgets a topic never rested": (
        86,
        [
            ("attach", (0, 0, 0)),
            ("heal", ()),
            ("begin", (1, 2, 1)),
            ("finish_work", (0,)),
            ("come_back", (0, 0, 0)),
            ("go_on", (0,)),
            ("fail", (0,)),
            ("read_on", (0,)),
            ("attach", (0, 0, 0)),
            ("restart", (0, 0, 1)),
            ("heal", ()),
            ("wait", (10,)),
        ],
    ),
    "a viewer waited for the next look at a run that was gone": (
        2,
        [
            ("begin", (0, 0, 0)),
            ("wait", (1,)),
            ("fail", (0,)),
            ("begin", (1, 0, 0)),
            ("wait", (5,)),
            ("restart_server", (0,)),
        ],
    ),
    "a viewer's stream ended although its run had only begun again": (
        2,
        [
            ("begin", (3, 0, 2)),
            ("wait", (1,)),
            ("lose_answers", (0, 1)),
            ("begin", (0, 0, 1)),
            ("attach", (1, 1, 1)),
            ("restart_server", (1,)),
            ("wait", (2,)),
            ("emit", (1, 3, 0)),
        ],
    ),
    "a client of a second run, which was gone when it read, was thought to be owed the first": (
        0,
        [
            ("begin", (0, 2, 0)),
            ("emit", (0, 7, 10)),
            ("wait", (8,)),
            ("fail_work", (0,)),
            ("delay", (3, 1)),
            ("stop", (0, 0)),
            ("restart", (4, 5, 0)),
            ("wait", (10,)),
        ],
    ),
    "what was written again after a loss was thought never to have been lost": (
        2,
        [
            ("begin", (6, 9, 9)),
            ("lose_answers", (0, 10)),
            ("emit", (9, 6, 1)),
            ("restart_server", (1,)),
        ],
    ),
    "a run that a crash brought back was owed to those who were told that it was gone": (
        0,
        [
            ("begin", (0, 2, 0)),
            ("drop", (5, 3)),
            ("emit", (0, 1, 1)),
            ("restart", (5, 9, 0)),
            ("emit", (0, 2, 6)),
            ("restart_server", (2,)),
        ],
    ),
    "a run was to be aborted at the very end of its lease": (
        0,
        [
            ("begin", (0, 2, 2)),
            ("emit", (2, 2, 1)),
            ("wait", (10,)),
            ("emit", (2, 9, 5)),
            ("restart_server", (4,)),
            ("begin", (0, 4, 2)),
        ],
    ),
}
"""What random traces have found: the seed, and the trace."""


@pytest.fixture(autouse=True)
def _small_rings_and_pages() -> Iterator[None]:
    """Have rings and pages hold a few events, so that a few events overflow them."""
    logging.disable(logging.CRITICAL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topic, "RING_BYTES", 300)
        for module in (listening, paging):
            patch.setattr(module, "CHUNK", 2)
        patch.setattr(listening, "READ_LIMIT", 4)
        patch.setattr(paging, "PAGE_EVENTS", 4)
        patch.setattr(paging, "PAGE_BYTES", 200)
        patch.setattr(paging, "FEWEST", 2)
        yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("part", range(PARTS))
def test_random_traces(part: int) -> None:
    for seed in range(SEED + part, SEED + TRACES, PARTS):
        try:
            play_runs(random_run_trace(seed), seed)
        except Exception as error:
            error.add_note(f"HUB_SEED={seed} HUB_TRACES=1")
            raise


@pytest.mark.parametrize("name", ONCE_WRONG)
def test_what_was_once_wrong(name: str) -> None:
    seed, trace = ONCE_WRONG[name]
    play_runs(trace, seed)


@pytest.mark.parametrize("name", RUN_MUTATIONS)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    play_runs(FOUND_BY[name], settled=1)
    RUN_MUTATIONS[name](monkeypatch)
    with pytest.raises(Violation):
        play_runs(FOUND_BY[name], settled=1)


class Machine(RuleBasedStateMachine):
    """Lets hypothesis choose what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.world = RunsWorld()

    @rule(settled=st.booleans())
    def settle(self, settled: bool) -> None:
        if settled:
            self.world.settle()

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.close()


def _rule_of(name: str, numbers: int) -> Callable[[Machine, list[int]], None]:
    number = st.integers(0, 10)

    @rule(numbers=st.lists(number, min_size=numbers, max_size=numbers), settled=st.booleans())
    def happen(self: Machine, numbers: list[int], settled: bool) -> None:
        getattr(self.world, name)(*numbers)
        if settled:
            self.world.settle()

    return happen


for _name, _numbers in dict(RUN_STEPS).items():
    setattr(Machine, _name, _rule_of(_name, _numbers))

Machine.TestCase.settings = settings(
    max_examples=int(os.environ.get("HUB_EXAMPLES", "60")),
    stateful_step_count=30,
    derandomize=not os.environ.get("HUB_SEED"),
    suppress_health_check=[HealthCheck.too_slow],
)
TestRunStateMachine = Machine.TestCase
