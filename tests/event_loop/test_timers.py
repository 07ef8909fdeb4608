"""Timers that fire together: at the time of the first, and none of them late."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.timers import GROUP_LIMIT, SLACK, CoalescedTimers, TimerGroup

# trio's cancel scopes are cheap: it needs no timers of ours.
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True),
]

INTERVAL = 10 / SLACK
"""Seconds that make groups of ten."""


class Timers:
    """The timers of one loop, and when each member was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.timers = CoalescedTimers()
        self.loop = asyncio.get_running_loop()
        # The clock delimits the groups: begin with one.
        self.begin = (self.loop.time() // 10 + 1) * 10
        self.members = {name: Member(name, self) for name in "abc"}

    def add(self, name: str, when: float) -> TimerGroup:
        group = self.timers.group_at(self.begin + when, INTERVAL)
        group.members[self.members[name]] = None
        return group


@dataclass(eq=False)
class Member:
    """Notes when it was called, then does something else."""

    name: str
    timers: Timers
    then: Callable[[], object] = bytes
    stays: int = 0
    """How many times it stays in its group."""

    def on_timer_group(self, now: float, following: float) -> bool:
        assert following == now + INTERVAL
        assert now == pytest.approx(self.timers.loop.time(), abs=0.01)
        self.timers.calls.append((self.name, round(now - self.timers.begin, 1)))
        self.then()
        self.stays -= 1
        return self.stays >= 0


async def test_a_group_is_called_at_the_time_of_its_first_member() -> None:
    timers = Timers()
    for name, when in (("a", 5), ("b", 2), ("c", 9)):
        timers.add(name, when)
    await anyio.sleep(40)
    assert timers.calls == [("a", 2), ("b", 2), ("c", 2)]


async def test_each_group_is_called_at_its_own_time() -> None:
    timers = Timers()
    timers.add("a", 5)
    timers.add("b", 11)
    await anyio.sleep(40)
    assert timers.calls == [("a", 5), ("b", 11)]


async def test_a_discarded_member_is_not_called() -> None:
    timers = Timers()
    timers.add("a", 5)
    timers.add("b", 6).discard(timers.members["b"])
    timers.add("c", 15).discard(timers.members["c"])
    await anyio.sleep(40)
    assert timers.calls == [("a", 5)]


async def test_a_group_that_all_have_left_is_joined_again_and_is_not_early() -> None:
    timers = Timers()
    left = timers.add("a", 5)
    left.discard(timers.members["a"])
    assert timers.add("b", 8) is left
    assert timers.add("c", 7) is left
    await anyio.sleep(40)
    assert timers.calls == [("b", 7), ("c", 7)]


async def test_a_group_that_all_have_left_has_a_timer_for_one_interval() -> None:
    timers = Timers()
    timers.add("a", 5).discard(timers.members["a"])
    loop: Any = timers.loop
    assert [timer.when() for timer in loop._scheduled if not timer.cancelled()] == [
        timers.begin + 5
    ]
    await anyio.sleep(20)
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]
    assert timers.calls == []


async def test_a_group_that_all_have_left_may_be_joined_by_one_who_is_due_earlier() -> None:
    timers = Timers()
    timers.add("a", 5).discard(timers.members["a"])
    timers.add("b", 3)
    await anyio.sleep(40)
    assert timers.calls == [("b", 3)]


async def test_a_member_may_discard_another_while_the_group_is_called() -> None:
    timers = Timers()
    group = timers.add("a", 5)
    timers.members["a"].then = lambda: group.discard(timers.members["b"])
    timers.add("b", 6)
    await anyio.sleep(40)
    timers.add("c", 50)
    await anyio.sleep(40)
    assert timers.calls[-1] == ("c", 50)


async def test_members_that_stay_are_called_together_after_the_interval() -> None:
    timers = Timers()
    for name, when, stays in (("a", 2, 2), ("b", 9, 1), ("c", 5, 0)):
        timers.members[name].stays = stays
        timers.add(name, when)
    await anyio.sleep(3 * INTERVAL)
    first = [("a", 2), ("b", 2), ("c", 2)]
    second = [("a", 2 + INTERVAL), ("b", 2 + INTERVAL)]
    assert timers.calls == [*first, *second, ("a", 2 + 2 * INTERVAL)]


async def test_a_new_member_joins_those_that_stay() -> None:
    timers = Timers()
    timers.members["a"].stays = 1
    timers.add("a", 5)
    await anyio.sleep(40)
    timers.add("b", 7 + INTERVAL)
    timers.add("c", 3 + INTERVAL)
    await anyio.sleep(2 * INTERVAL)
    then = 3 + INTERVAL
    assert timers.calls == [("a", 5), ("a", then), ("b", then), ("c", then)]


async def test_too_many_members_make_several_groups_and_keep_them() -> None:
    timers = Timers()
    names = [str(number) for number in range(2 * GROUP_LIMIT + 1)]
    for number, name in enumerate(names):
        timers.members[name] = Member(name, timers, stays=1)
        timers.add(name, 1 + number / GROUP_LIMIT)
    await anyio.sleep(2 * INTERVAL)
    first, second = timers.calls[: len(names)], timers.calls[len(names) :]
    assert Counter(when for _, when in first) == {1: GROUP_LIMIT, 2: GROUP_LIMIT, 3: 1}
    assert second == [(name, when + INTERVAL) for name, when in first]


async def test_a_new_member_joins_the_group_that_is_not_full() -> None:
    timers = Timers()
    for number in range(GROUP_LIMIT + 1):
        name = str(number)
        timers.members[name] = Member(name, timers, stays=1)
        timers.add(name, 5)
    await anyio.sleep(40)
    last = timers.add("a", 5 + INTERVAL)
    assert len(last.members) == 2


async def test_members_that_stay_do_not_join_a_group_that_is_there_already() -> None:
    timers = Timers()
    timers.members["a"].stays = 1
    timers.add("a", 5)
    timers.add("b", 7 + INTERVAL)
    await anyio.sleep(40)
    timers.add("c", 8 + INTERVAL)
    await anyio.sleep(INTERVAL)
    then = 7 + INTERVAL
    assert timers.calls == [("a", 5), ("a", 5 + INTERVAL), ("b", then), ("c", then)]
