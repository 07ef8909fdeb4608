"""Timers of many streams that fire together (timer coalescing).

With a thousand idle streams, the event loop would wake up a thousand times for their keep-alives,
and one wake-up costs as much as one keep-alive. A keep-alive may come a little early. So all timers
that are due within the same short span fire when the first of them does, and from then on they are
due together.

Rules of this file:
- A member is never called later than it asked for, or earlier than `SLACK` permits.
- A member without neighbours is called exactly on time.
- Members that were called together are called together the next time, too.
- A group has at most `GROUP_LIMIT` members, so that other tasks never wait long.
"""

import asyncio
import math
from typing import Protocol

SLACK = 0.2
"""The part of its interval by which a member may be called early, to be called with others."""

GROUP_LIMIT = 250
"""How many members a group may have: a few milliseconds of work."""


class Member(Protocol):
    """What a group calls."""

    def on_timer_group(self, now: float, following: float) -> bool:
        """Wake up. Returns whether to stay in the group, to be called again after the interval.

        Args:
            now: the time of the loop's clock.
            following: when the group calls its members again.
        """


class CoalescedTimers:
    """The timers of one asyncio loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[float, int], TimerGroup] = {}  # the groups that others may join

    def group_at(
        self, loop: asyncio.AbstractEventLoop, when: float, interval: float
    ) -> "TimerGroup":
        """Return the group whose members are called at a time of the loop's clock, or just before.

        Args:
            loop: the running one.
            when: the time.
            interval: the seconds between two calls of the same member.
        """
        found = self._open.get(_key(when, interval))
        if found is None or found.is_full:
            found = TimerGroup(loop, self, interval)
        if when < found.when:
            found.start(when)
        return found

    def add(self, group: "TimerGroup") -> None:
        """Let others join a group, unless they can join another one already."""
        key = _key(group.when, group.interval)
        present = self._open.get(key)
        if present is None or present.is_full:
            self._open[key] = group

    def remove(self, group: "TimerGroup") -> None:
        """Let no others join a group."""
        key = _key(group.when, group.interval)
        if self._open.get(key) is group:
            del self._open[key]


def _key(when: float, interval: float) -> tuple[float, int]:
    return interval, int(when / (interval * SLACK))


class TimerGroup:
    """Members that are called together, when the first of them is due."""

    __slots__ = ("_loop", "_timer", "_timers", "interval", "members", "when")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timers: CoalescedTimers, interval: float
    ) -> None:
        self._loop = loop
        self._timers = timers
        self.interval = interval
        self.members: dict[Member, None] = {}
        """What is called. Members add themselves."""
        self.when = math.inf
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_full(self) -> bool:
        """Whether no other member should join."""
        return len(self.members) >= GROUP_LIMIT

    def start(self, when: float) -> None:
        """Call all members at this time."""
        self._stop()
        self.when = when
        self._timer = self._loop.call_at(when, self._fire)
        self._timers.add(self)

    def discard(self, member: Member) -> None:
        """Don't call a member any more. It may have been called, or may never have joined."""
        self.members.pop(member, None)
        if not self.members:
            self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timers.remove(self)

    def _fire(self) -> None:
        self._stop()
        now = self._loop.time()
        following = now + self.interval
        members = self.members
        leaving = [one for one in tuple(members) if not one.on_timer_group(now, following)]
        for one in leaving:
            members.pop(one, None)
        if members:
            self.start(following)
