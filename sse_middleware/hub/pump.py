"""`Pump`: wakes the subscribers of topics, some at a time.

Rules of this file:
- Waking one subscriber costs a write. So a pass of the event loop wakes `WOKEN_AT_ONCE` of them at
  most, and other tasks run in between.
- Only one call is scheduled at a time. What is published meanwhile joins the next write of those
  that are still to be woken.
- While nobody subscribes, nothing is scheduled.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

WOKEN_AT_ONCE = 250
"""How many subscribers a pass wakes: a few milliseconds of work."""


class Woken(Protocol):
    """A subscriber."""

    @property
    def wake(self) -> Callable[[], object]:
        """Has it look for something new. It must not raise."""


class Watched(Protocol):
    """A topic."""

    @property
    def subscribers(self) -> Iterable[Woken]:
        """Who subscribes to it."""


class Pump:
    """Wakes subscribers.

    Args:
        call_soon: has the event loop call a function.
    """

    __slots__ = ("_call_soon", "_scheduled", "_topics", "_waiting")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._topics = dict[Watched, None]()
        self._waiting = deque[Woken]()
        self._scheduled = False

    def wake_all_of(self, topic: Watched) -> None:
        """Wake the subscribers of a topic soon."""
        if topic not in self._topics:
            self._topics[topic] = None
            self._schedule()

    def wake(self, subscribers: Iterable[Woken]) -> None:
        """Wake some subscribers soon."""
        self._waiting.extend(subscribers)
        self._schedule()

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        for _ in range(WOKEN_AT_ONCE):
            if not self._waiting and not self._next_topic():
                return
            self._waiting.popleft().wake()
        if self._waiting or self._topics:
            self._schedule()

    def _next_topic(self) -> bool:
        """Have the subscribers of another topic wait. Returns false if there are none."""
        while self._topics and not self._waiting:
            topic = next(iter(self._topics))
            del self._topics[topic]
            self._waiting.extend(topic.subscribers)
        return bool(self._waiting)
