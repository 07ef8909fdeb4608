"""`TopicReader`: reads a topic of the hub's own, in the process that has the hub."""

from collections.abc import Callable

from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub.wanted import FindHub, Wanted

_TAKEN_AT_ONCE = 64 * 1024


class TopicReader:
    """Calls a function with each event of a topic.

    Args:
        hub: returns the open hub.
        topic: its name.
        with_kept: whether to begin with what is kept, or with what is published from now on.
        note: called with each event.
        on_gap: called if events up to a clock may be missing.
    """

    __slots__ = ("_on_gap", "_subscription", "began")

    def __init__(
        self,
        hub: FindHub,
        topic: str,
        note: Callable[[PublishedEvent], object],
        on_gap: Callable[[int], object],
        *,
        with_kept: bool = False,
    ) -> None:
        def drop(event: PublishedEvent) -> bool:
            note(event)
            return False

        wanted = Wanted((topic,), with_kept=with_kept, where=drop, dropped_in_a_row=1000)
        self._subscription = Subscription(hub, wanted, float)
        self._on_gap = on_gap
        self.began = 0
        """The clock after which it reads."""

    async def open(self) -> None:
        """Begin, which may wait for the store. What there is is read before this returns."""
        await self._subscription.open(self._take)
        self.began = self._subscription.cursor.clock
        self._take()

    def close(self) -> None:
        """Read nothing more."""
        self._subscription.close()

    def _take(self) -> None:
        """Read what there is. The filter wants nothing, so what is counted is a gap."""
        subscription, before = self._subscription, -1
        while subscription.cursor.clock > before:
            before, events = subscription.cursor.clock, subscription.events
            subscription.take(_TAKEN_AT_ONCE)
            if subscription.events > events:
                self._on_gap(subscription.cursor.clock)
