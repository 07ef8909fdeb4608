"""Timers of many streams that fire together (timer coalescing).

With a thousand idle streams, the event loop would wake up a thousand times for their keep-alives,
and one wake-up costs as much as one keep-alive. A keep-alive may come a little early. So all timers
that are due within the same short span fire when the first of them does, and from then on they are
due together.

Rules of this file:
- A member is never called later than it asked for, or earlier than `SLACK` permits.
- A member without neighbours is called exactly on time.
- Members that were called together are called together the next time, too.
- A group that all members have left keeps its timer: the next stream is about to join it. A timer
  for each short stream would cost more than the stream's keep-alives.
- A group has at most `GROUP_LIMIT` members, so that other tasks never wait long.
"""

import asyncio
import math
from typing import Protocol, cast

from sse_middleware.event_loop.loop import running_asyncio_task

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
    """The timers of the running event loop. On trio each is on its own, and no group is needed."""

    def __init__(self) -> None:
        task = running_asyncio_task()
        self._loop = None if task is None else task.get_loop()
        self._open: dict[tuple[float, int], TimerGroup] = {}  # the groups that others may join
        self.has_groups = task is not None
        """Whether `group_at` may be called."""

    def group_at(self, when: float, interval: float) -> "TimerGroup":
        """Return the group whose members are called at a time of the loop's clock, or just before.

        Args:
            when: the time.
            interval: the seconds between two calls of the same member.
        """
        found = self._open.get(_key(when, interval))
        if found is None or found.is_full:
            found = TimerGroup(cast("asyncio.AbstractEventLoop", self._loop), self, interval)
        found.include(when)
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

    __slots__ = ("_fires_at", "_loop", "_timer", "_timers", "interval", "members", "when")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, timers: CoalescedTimers, interval: float
    ) -> None:
        self._loop = loop
        self._timers = timers
        self.interval = interval
        self.members: dict[Member, None] = {}
        """What is called. Members add themselves."""
        self.when = math.inf
        """When its members are called."""
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf  # when the timer fires, which may be earlier

    @property
    def is_full(self) -> bool:
        """Whether no other member should join."""
        return len(self.members) >= GROUP_LIMIT

    def include(self, when: float) -> None:
        """Call all members at this time at the latest."""
        if when < self._fires_at:
            self._start(when)
        elif when < self.when or not self.members:
            self.when = when

    def discard(self, member: Member) -> None:
        """Don't call a member any more. It may have been called, or may never have joined."""
        self.members.pop(member, None)

    def _start(self, when: float) -> None:
        self._stop()
        self.when = self._fires_at = when
        self._timer = self._loop.call_at(when, self._fire)
        self._timers.add(self)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timers.remove(self)

    def _fire(self) -> None:
        self._stop()
        if self._fires_at < self.when:  # those who were due now have left
            following = self.when
        else:
            now = self._loop.time()
            following = now + self.interval
            self._call(now, following)
        if self.members:
            self._start(following)

    def _call(self, now: float, following: float) -> None:
        members = self.members
        leaving = [one for one in tuple(members) if not one.on_timer_group(now, following)]
        for one in leaving:
            members.pop(one, None)
