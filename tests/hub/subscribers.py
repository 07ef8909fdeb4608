"""A subscriber that takes whatever comes."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from sse_middleware.hub.hub import Hub
from sse_middleware.hub.subscription import Subscription
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent


class Taken:
    """What a subscriber has taken."""

    def __init__(self, subscription: Subscription, limit: int = 64 * 1024) -> None:
        self.subscription = subscription
        self.wire = b""
        self.wakes = 0
        self.paused = False
        self._decoder = EventStreamDecoder()
        self._limit = limit

    def on_wake(self) -> None:
        self.wakes += 1
        if not self.paused:
            self.take_all()

    def take_all(self) -> None:
        while taken := self.subscription.take(self._limit):
            self.wire += taken

    def events(self) -> list[MessageEvent]:
        """Return what came since the last call."""
        wire, self.wire = self.wire, b""
        return [one for one in self._decoder.feed(wire) if isinstance(one, MessageEvent)]

    def data(self) -> list[Any]:
        """Return the data of what came since the last call. Gaps are their reason and topics."""
        return [_shown(event) for event in self.events()]

    @property
    def last_id(self) -> str:
        self._decoder.feed(self.wire)
        self.wire = b""
        return self._decoder.last_event_id


def _shown(event: MessageEvent) -> Any:
    data = json.loads(event.data)
    return (data["reason"], *data["topics"]) if event.type == "gap" else data


@asynccontextmanager
async def subscribed(
    hub: Hub, *topics: str, last_id: str = "", limit: int = 64 * 1024, **wanted: Any
) -> AsyncIterator[Taken]:
    """Subscribe, and take what comes."""
    subscription = hub.subscribe(*topics, **wanted)
    subscription.resume(last_id)
    taken = Taken(subscription, limit)
    await subscription.open(taken.on_wake)
    taken.wire += subscription.position_frame()
    taken.take_all()
    try:
        await passed()
        yield taken
    finally:
        subscription.close()


async def passed() -> None:
    """Let everything happen that is ready."""
    await anyio.sleep(0.001)
