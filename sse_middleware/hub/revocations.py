"""`Revocations`: ends the streams of subjects that were disconnected, on every worker.

Rules of this file:
- A disconnect is an event of a topic of the hub's own. Each worker that has a stream with a subject
  reads that topic.
- A stream is registered first. Then the disconnects since it was made are looked at. So none falls
  in between.
- If events of that topic may be missing, all streams that have a subject end: their clients come
  back, and are checked by the application.
"""

from collections import OrderedDict
from collections.abc import Iterable

import anyio

from sse_middleware.hub.ids import parse_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.topic_reader import TopicReader
from sse_middleware.hub.wanted import FindHub, OpenSubscription

TOPIC = "\0disconnect"
"""The name of the topic. No topic of the application can have it."""

KEEP = Keep(count=1000, seconds=3600)
"""What the topic keeps. A stream looks back only to when it was made."""

MARGIN = 1.0
"""Seconds by which the clocks of a store and of an event loop may drift apart."""


class Revocations:
    """The disconnects that a worker has heard of.

    Args:
        hub: returns the open hub.
    """

    def __init__(self, hub: FindHub) -> None:
        self._hub = hub
        self._streams = dict[str, dict[OpenSubscription, None]]()
        """By subject."""
        self._clocks = OrderedDict[str, int]()
        """When each subject was last disconnected. The latest are last."""
        self._known_from = 0
        """Streams that were made before this clock end as they open: disconnects may be missing."""
        self._reader: TopicReader | None = None
        self._opening = anyio.Lock()

    async def watch(self, subscription: OpenSubscription) -> None:
        """End a stream once its subject is disconnected. See `Guard`."""
        subject = subscription.subject or ""
        self._streams.setdefault(subject, {})[subscription] = None
        async with self._opening:
            if self._reader is None:
                await self._open()
        if subscription.ended:
            self.forget(subscription)
        elif max(self._clocks.get(subject, 0), self._known_from) > self._made_at(subscription):
            subscription.end()

    def forget(self, subscription: OpenSubscription) -> None:
        """Watch a stream no more. See `Guard`."""
        subject = subscription.subject or ""
        streams = self._streams.get(subject, {})
        streams.pop(subscription, None)
        if not streams:
            self._streams.pop(subject, None)
        if not self._streams:
            reader, self._reader = self._reader, None
            if reader is not None:
                reader.close()

    async def _open(self) -> None:
        """Read the topic, from all that it keeps."""
        reader = TopicReader(self._hub, TOPIC, self._note, self._end_all, with_kept=True)
        await reader.open()
        self._reader = reader
        self._known_from = max(self._known_from, reader.began)

    def _end_all(self, clock: int) -> None:
        """End all streams: disconnects up to a clock may be missing."""
        self._known_from = clock
        for streams in tuple(self._streams.values()):
            _end(streams)

    def _note(self, event: PublishedEvent) -> None:
        """Note a disconnect, and end the streams that were made before."""
        position, subject = parse_position(event.id), event.json()
        clock = 0 if position is None else position.clock
        self._clocks[subject] = clock
        self._clocks.move_to_end(subject)
        if len(self._clocks) > KEEP.count:
            _, forgotten = self._clocks.popitem(last=False)
            self._known_from = max(self._known_from, forgotten)
        streams = self._streams.get(subject, {})
        _end(one for one in streams if clock > self._made_at(one))

    def _made_at(self, subscription: OpenSubscription) -> int:
        """Return the store's time when a stream was made, or a little before."""
        worker = self._hub().worker
        return worker.time_of(worker.clock() - subscription.age() - MARGIN)


def _end(streams: Iterable[OpenSubscription]) -> None:
    for one in tuple(streams):
        one.end()
