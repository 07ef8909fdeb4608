"""`RelayProducer`: puts the events of an upstream into a stream.

Rules of this file:
- It puts whole events only. So a keep-alive, an error event or a farewell can follow at any time.
- The upstream is read when there is room, so a slow client slows it.
- Where nothing is changed, the upstream sends the first and the last event of its protocol itself,
  and a preset's own are left out. With `map`, the preset's own are sent, and the upstream's last
  event is not.
"""

import logging
from collections.abc import Callable
from inspect import isawaitable

from anyio.lowlevel import checkpoint

from sse_middleware.errors import printable
from sse_middleware.introspection.generators import Stage
from sse_middleware.items.control_frames import ForeignControlFrames
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.items.stream_template import StreamTemplate
from sse_middleware.relaying.errors import UpstreamError
from sse_middleware.relaying.reader import EventReader, UpstreamReader
from sse_middleware.relaying.relay import EventMap, Relay
from sse_middleware.settings import StreamSettings
from sse_middleware.stream.abc import FrameSink

logger = logging.getLogger(__name__)


class RelayControlFrames(ForeignControlFrames):
    """The control frames of a stream that passes unchanged: the upstream has its own first one."""

    __slots__ = ()

    def first(self) -> bytes:
        """Return ``b""``: the upstream sends it."""
        return b""

    def last(self) -> bytes:
        """Return ``b""``: the upstream has sent it."""
        return b""


class RelayProducer:
    """Passes the events of an upstream on.

    Args:
        relay: the upstream.
        settings: how the stream is sent.
        origin: the name of the endpoint, for the log.
        on_id: called when an ``id`` has passed.

    Raises:
        ConfigurationError: another stream has had it.
    """

    __slots__ = ("_end", "_on_id", "_origin", "_reader", "_sends_ids", "_source")

    def __init__(
        self, relay: Relay, settings: StreamSettings, origin: str, on_id: Callable[[], object]
    ) -> None:
        preset = settings.preset
        self._source = relay.take()
        self._end = relay.end(None if preset is None else preset.last)
        self._reader = UpstreamReader(self._source, self._end, settings.max_event_size)
        self._origin = origin
        self._on_id = on_id
        self._sends_ids = False

    async def produce(self, sink: FrameSink) -> None:
        """Put the events until the upstream ends, or until the sink wants no more.

        Raises:
            UpstreamError: the upstream is broken.
        """
        sink.put_in_steps()
        try:
            while (blocks := await self._reader.read()) is not None:
                if not blocks:
                    await checkpoint()  # nothing else may suspend
                if self._reader.sends_ids:
                    self._note_id()
                for block, events in blocks:
                    if await self._put(block, events, sink):
                        return
        except UpstreamError as error:
            # If it becomes a status, nothing else tells the operator why.
            logger.warning("%s: %s", self._origin, printable(error.reason))
            raise

    async def _put(self, block: bytes, events: int, sink: FrameSink, /) -> bool:
        """Put a block. Returns whether the sink wants no more."""
        return sink.put(block, events) and not await sink.room()

    def _note_id(self) -> None:
        if not self._sends_ids:
            self._sends_ids = True
            self._on_id()

    def stage(self) -> Stage:
        """Return what the upstream does."""
        return self._source.stage()

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: nothing runs after `close`."""
        callback()

    async def close(self, within: float) -> None:
        """Close the upstream."""
        await self._source.close(within)


class MappedProducer(RelayProducer):
    """Passes what a function makes of the events of an upstream.

    Args:
        relay: the upstream.
        settings: how the stream is sent.
        origin: the name of the endpoint, for the log.
        on_id: called when an ``id`` has passed.
        change: the function.
        encoder: encodes what the function returns.
    """

    __slots__ = ("_encoder", "_events", "_map", "_passes_end")

    def __init__(
        self,
        relay: Relay,
        settings: StreamSettings,
        origin: str,
        on_id: Callable[[], object],
        change: EventMap,
        encoder: ItemEncoder,
    ) -> None:
        super().__init__(relay, settings, origin, on_id)
        self._map = change
        self._encoder = encoder
        self._events = EventReader()
        self._passes_end = settings.preset is None

    async def _put(self, block: bytes, _: int, sink: FrameSink, /) -> bool:
        put = False
        for text, event in self._events.read(block):
            if event is None:
                frame, events = text, 0
            elif self._end is not None and self._end.matches(event):
                frame, events = (text if self._passes_end else b""), 1
            else:
                item = self._map(event)
                if item is not event and isawaitable(item):
                    item = await item
                if item is None:
                    continue
                frame, events = (text if item is event else self._encoder.encode(item)), 1
            if frame:
                put = True
                if sink.put(frame, events) and not await sink.room():
                    return True
        if not put:
            await checkpoint()  # nothing else may suspend
        return False


def producer_of_relay(
    relay: Relay, settings: StreamSettings, template: StreamTemplate, hints: ItemHints
) -> tuple[RelayProducer, ForeignControlFrames]:
    """Return what streams a relay, and what makes the stream's own frames."""
    if relay.map is None:
        unchanged = RelayControlFrames(template.control, hints)
        return RelayProducer(relay, settings, template.origin, unchanged.id_sent), unchanged
    control = ForeignControlFrames(template.control, hints)
    encoder = ItemEncoder(template.encoding, control, hints)
    producer = MappedProducer(relay, settings, template.origin, control.id_sent, relay.map, encoder)
    return producer, control
