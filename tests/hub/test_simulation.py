"""The hub over a store that loses, delays and lies, in virtual time.

Each trace lets things happen to servers, links and clients, heals everything, and checks what each
client got. Some traces are chosen by hypothesis, more at random. ``HUB_SEED`` and ``HUB_TRACES``
run others. The mistakes of `tests.hub.simulation.mutations` are each found by a trace here.
"""

import logging
import os
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from sse_middleware.hub import listening, paging, topic
from tests.hub.simulation.client import Violation
from tests.hub.simulation.mutations import MUTATIONS
from tests.hub.simulation.traces import STEPS, Trace, play, random_trace
from tests.hub.simulation.world import World

SEED = int(os.environ.get("HUB_SEED", "0"))
TRACES = int(os.environ.get("HUB_TRACES", "300"))

FOUND_BY: dict[str, Trace] = {
    "top_as_keep_alive": [
        ("connect", (0, 0)),
        ("pause", (0,)),
        ("publish", (0, 0, 1)),
        ("keep_alive", (0,)),
        ("cut", (0, 10)),
    ],
    "highest_complete": [
        ("connect", (1, 0)),
        ("delay", (0, 3)),
        ("make_hole", (0, 1)),
        ("publish", (0, 0, 1)),
        ("wait", (3,)),
    ],
    "first_page_only": [
        ("connect", (0, 0)),
        ("cut", (0, 10)),
        ("pause", (0,)),
        ("publish", (0, 0, 6)),
        ("connect", (0, 1)),
        ("sip", (0,)),
        ("sip", (0,)),
        ("publish", (0, 0, 6)),
        ("resume", (0,)),
    ],
    "floor_as_id": [
        ("connect", (1, 0)),
        ("cut", (1, 10)),
        ("publish", (0, 1, 1)),
        ("publish", (0, 0, 10)),
        ("connect_and_cut", (1, 0, 3)),
    ],
    "hole_by_last_seen": [
        ("publish", (0, 0, 1)),
        ("publish", (0, 1, 1)),
        ("connect", (0, 0)),
        ("publish_quietly", (0, 0)),
    ],
    "no_priming": [("connect", (0, 0)), ("cut", (0, 10)), ("publish", (0, 0, 1))],
    "no_incarnation": [
        ("connect", (0, 0)),
        ("publish", (0, 0, 1)),
        ("cut", (0, 10)),
        ("publish", (0, 0, 1)),
        ("restart", (1,)),
    ],
    "id_in_later_block": [("connect", (0, 0)), ("publish_and_cut", (0, 0, 2))],
}
"""For each mistake, a trace in which a client notices it."""

ONCE_WRONG: dict[str, tuple[int, Trace]] = {
    "an old primary whose clock stepped back was thought to have lost nothing": (
        1,
        [
            ("connect", (2, 0)),
            ("fail_over", (10, 7)),
            ("publish", (4, 0, 1)),
            ("restart", (7,)),
            ("step_clock", (4,)),
            ("publish", (6, 3, 9)),
            ("fail_over", (5, 6)),
            ("wait", (5,)),
        ],
    ),
    "a server that lost its newest was thought never to have had it": (
        1,
        [
            ("connect", (1, 0)),
            ("connect_and_cut", (1, 6, 2)),
            ("make_hole", (2, 4)),
            ("restart", (7,)),
            ("step_clock", (8,)),
            ("publish", (5, 7, 9)),
            ("fail_over", (3, 6)),
            ("connect", (7, 8)),
            ("wait", (9,)),
        ],
    ),
    "a store that had begun anew was thought not to need a read": (
        6160,
        [
            ("connect", (1, 0)),
            ("restart", (5,)),
            ("wait", (8,)),
            ("flush", ()),
            ("publish_quietly", (2, 4)),
        ],
    ),
    "a gap of a page was judged by the server of a later read": (
        10,
        [
            ("connect", (10, 3)),
            ("sip", (7,)),
            ("flush", ()),
            ("publish", (4, 1, 6)),
            ("wait", (2,)),
            ("break_listener", (6,)),
            ("resume", (7,)),
            ("delay", (1, 3)),
            ("publish", (3, 10, 4)),
            ("wait", (7,)),
            ("fail_over", (9, 1)),
        ],
    ),
}
"""What random traces have found: the seed, and the trace."""


@pytest.fixture(autouse=True)
def _small_rings_and_pages() -> Iterator[None]:
    """Have rings and pages hold a few events, so that a few events overflow them."""
    logging.disable(logging.WARNING)
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


def test_random_traces() -> None:
    for seed in range(SEED, SEED + TRACES):
        try:
            play(random_trace(seed), seed)
        except Exception as error:
            error.add_note(f"HUB_SEED={seed} HUB_TRACES=1")
            raise


@pytest.mark.parametrize("name", ONCE_WRONG)
def test_what_was_once_wrong(name: str) -> None:
    seed, trace = ONCE_WRONG[name]
    play(trace, seed)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mistake_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    play(FOUND_BY[name], settled=1)
    MUTATIONS[name](monkeypatch)
    with pytest.raises(Violation):
        play(FOUND_BY[name], settled=1)


class Machine(RuleBasedStateMachine):
    """Lets hypothesis choose what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @initialize()
    def connect_all(self) -> None:
        for at in range(3):
            self.world.connect(at, at)

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


for _name, _numbers in dict(STEPS).items():
    setattr(Machine, _name, _rule_of(_name, _numbers))

Machine.TestCase.settings = settings(
    max_examples=int(os.environ.get("HUB_EXAMPLES", "60")),
    stateful_step_count=30,
    derandomize=not os.environ.get("HUB_SEED"),
    suppress_health_check=[HealthCheck.too_slow],
)
TestStateMachine = Machine.TestCase
