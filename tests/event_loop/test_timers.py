"""Timers that fire together: at the time of the first, and none of them late."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.timers import GROUP_LIMIT, SLACK, CoalescedTimers

pytestmark = pytest.mark.anyio

Calls = list[tuple[str, float]]

PAUSE = 10 / SLACK
"""Seconds that make rounds of ten."""


@pytest.fixture
def anyio_backend(virtual_time: Any) -> Any:
    if virtual_time.backend == "trio":
        pytest.skip("trio's scopes need none")
    return virtual_time.anyio_backend


class Bell:
    """Notes who was called, and when."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.timers = CoalescedTimers()
        self.loop = asyncio.get_running_loop()
        # Rounds are cut by the clock: begin with one.
        self.begin = (self.loop.time() // 10 + 1) * 10
        self.members = {name: Member(name, self) for name in "abc"}

    def ask(self, name: str, when: float) -> Any:
        joined = self.timers.group_at(self.loop, self.begin + when, PAUSE)
        joined.members[self.members[name]] = None
        return joined


@dataclass(eq=False)
class Member:
    """Notes when it was called, then does something else."""

    name: str
    bell: Bell
    then: Callable[[], object] = bytes
    again: int = 0

    def on_timer_group(self, now: float, following: float) -> bool:
        assert following == now + PAUSE
        assert now == pytest.approx(self.bell.loop.time(), abs=0.01)
        self.bell.calls.append((self.name, round(now - self.bell.begin, 1)))
        self.then()
        self.again -= 1
        return self.again >= 0


async def test_all_of_a_round_are_called_with_the_first_of_them() -> None:
    bell = Bell()
    for name, when in (("a", 5), ("b", 2), ("c", 9)):
        bell.ask(name, when)
    await anyio.sleep(40)
    assert bell.calls == [("a", 2), ("b", 2), ("c", 2)]


async def test_another_round_is_called_apart() -> None:
    bell = Bell()
    bell.ask("a", 5)
    bell.ask("b", 11)
    await anyio.sleep(40)
    assert bell.calls == [("a", 5), ("b", 11)]


async def test_who_is_forgotten_is_not_called() -> None:
    bell = Bell()
    bell.ask("a", 5)
    bell.ask("b", 6).discard(bell.members["b"])
    bell.ask("c", 15).discard(bell.members["c"])
    await anyio.sleep(40)
    assert bell.calls == [("a", 5)]


async def test_who_forgets_another_while_they_are_called_does_no_harm() -> None:
    bell = Bell()
    rounds: list[Any] = []
    bell.members["a"].then = lambda: rounds[0].discard(bell.members["b"])
    rounds.append(bell.ask("a", 5))
    bell.ask("b", 6)
    await anyio.sleep(40)
    bell.ask("c", 50)
    await anyio.sleep(40)
    assert bell.calls[-1] == ("c", 50)


async def test_who_stays_is_called_again_after_the_pause_with_the_others() -> None:
    bell = Bell()
    for name, when, again in (("a", 2, 2), ("b", 9, 1), ("c", 5, 0)):
        bell.members[name].again = again
        bell.ask(name, when)
    await anyio.sleep(3 * PAUSE)
    first = [("a", 2), ("b", 2), ("c", 2)]
    assert bell.calls == [*first, ("a", 2 + PAUSE), ("b", 2 + PAUSE), ("a", 2 + 2 * PAUSE)]


async def test_who_comes_between_is_called_with_those_who_stay() -> None:
    bell = Bell()
    bell.members["a"].again = 1
    bell.ask("a", 5)
    await anyio.sleep(40)
    bell.ask("b", 7 + PAUSE)
    bell.ask("c", 3 + PAUSE)
    await anyio.sleep(2 * PAUSE)
    then = 3 + PAUSE
    assert bell.calls == [("a", 5), ("a", then), ("b", then), ("c", then)]


async def test_a_crowd_is_called_in_rounds_of_its_own_and_stays_so() -> None:
    bell = Bell()
    names = [str(number) for number in range(2 * GROUP_LIMIT + 1)]
    for number, name in enumerate(names):
        bell.members[name] = Member(name, bell, again=1)
        bell.ask(name, 1 + number / GROUP_LIMIT)
    await anyio.sleep(2 * PAUSE)
    first, second = bell.calls[: len(names)], bell.calls[len(names) :]
    assert Counter(when for _, when in first) == {1: GROUP_LIMIT, 2: GROUP_LIMIT, 3: 1}
    assert second == [(name, when + PAUSE) for name, when in first]


async def test_who_comes_between_joins_the_round_that_is_not_full() -> None:
    bell = Bell()
    for number in range(GROUP_LIMIT + 1):
        name = str(number)
        bell.members[name] = Member(name, bell, again=1)
        bell.ask(name, 5)
    await anyio.sleep(40)
    last = bell.ask("a", 5 + PAUSE)
    assert len(last.members) == 2


async def test_those_who_stay_leave_a_round_alone_that_is_there_already() -> None:
    bell = Bell()
    bell.members["a"].again = 1
    bell.ask("a", 5)
    bell.ask("b", 7 + PAUSE)
    await anyio.sleep(40)
    bell.ask("c", 8 + PAUSE)
    await anyio.sleep(PAUSE)
    assert bell.calls == [("a", 5), ("a", 5 + PAUSE), ("b", 7 + PAUSE), ("c", 7 + PAUSE)]
