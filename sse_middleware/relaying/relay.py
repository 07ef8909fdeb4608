"""`relay`: passes the event stream of another server on."""

from collections import deque
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, Literal, Self

from anyio.lowlevel import checkpoint

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.relaying.reader import EventReader, UpstreamReader
from sse_middleware.relaying.source import Upstream, UpstreamSource
from sse_middleware.relaying.stream_end import StreamEnd
from sse_middleware.validation import UNSET, Unset, check

CLOSE_TIMEOUT = 5.0
"""Seconds for closing an upstream where no `cleanup_timeout` is known."""

End = ServerSentEvent | str | Literal[Unset.UNSET] | None
"""The last event of a complete stream."""

EventMap = Callable[[ServerSentEvent], Any]
"""Takes an event, and returns what is sent in its place, or an awaitable of it."""


def relay(upstream: Upstream, *, map: EventMap | None = None, end: End = UNSET) -> "Relay":
    """Pass the event stream of another server on.

    ::

        @app.post("/chat")
        @event_stream(preset=presets.OPENAI)
        async def chat(question: Question) -> AsyncIterable[ServerSentEvent]:
            return relay(client.stream("POST", URL, json=question.model_dump()))

    Return it from an endpoint with `event_stream`, or as ``EventSourceResponse(relay(...))``. Then
    the events pass byte for byte, under the settings of the stream. The upstream is closed when the
    stream ends, also when the client leaves.

    If you iterate over it (``async for event in relay(...)``), it gives a `ServerSentEvent` for
    each event, or what `map` makes of it. Close it with ``contextlib.aclosing``.

    Args:
        upstream: ``client.stream(...)`` of an asynchronous httpx client, the response of
            ``client.send(..., stream=True)``, or an asynchronous iterable of bytes. A response must
            have the status 200 and the media type ``text/event-stream``. Of an iterable only the
            bytes are checked.
        map: a function that takes each event, as a `ServerSentEvent` with `raw_data`. It returns
            the same event to pass its bytes on, another item to send that instead, or ``None`` to
            leave the event out. It may be a coroutine function.
        end: the last event of a complete stream: its data (``"[DONE]"``), or a `ServerSentEvent`
            of which each field that is set must match. A stream that ends without it is broken. By
            default it is the last event of the response's preset, if there is one. ``None``
            expects none. It is not given to `map`. With `map` and a preset, the preset's own last
            event is sent in its place.

    Raises:
        TypeError: `upstream` is none of these.
        ConfigurationError: `map` is not a function, or `end` is not an event.
        UpstreamError: later, where the stream is sent or iterated over: the upstream didn't answer
            with a stream, or its stream is broken.
    """
    return Relay(upstream, map, end)


class Relay:
    """The stream of another server, on its way to one client. `relay` makes it."""

    __slots__ = ("_end", "_source", "map")

    def __init__(self, upstream: Upstream, map: EventMap | None, end: End) -> None:
        check("map", map, map is None or callable(map), "a function, or None")
        self._end = end if end is UNSET else StreamEnd.of(end)
        self.map = map
        """Changes events, if there is such a function."""
        self._source: UpstreamSource | None = UpstreamSource(upstream)

    def take(self) -> UpstreamSource:
        """Return the upstream, for its only stream.

        Raises:
            ConfigurationError: there was another one.
        """
        source, self._source = self._source, None
        if source is None:
            raise ConfigurationError(
                "a relay is for one stream, and this one has had another: call relay(...) in the "
                "endpoint, for each request"
            )
        return source

    def end(self, last: ServerSentEvent | None) -> StreamEnd | None:
        """Return what is known of the last event of the upstream's stream.

        Args:
            last: the last event of the response's preset, if it has one.
        """
        return StreamEnd.of(last) if self._end is UNSET else self._end

    def __aiter__(self) -> "RelayIterator":
        return RelayIterator(self)


class RelayIterator:
    """The events of a relay, one by one.

    Args:
        relay: what is iterated over.
    """

    __slots__ = ("_end", "_events", "_map", "_reader", "_source", "_waiting")

    def __init__(self, relay: Relay) -> None:
        self._map = relay.map
        self._end = relay.end(None)
        self._source = relay.take()
        self._reader = UpstreamReader(self._source, self._end, None)
        self._events = EventReader()
        self._waiting = deque[ServerSentEvent]()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            while True:
                while self._waiting:
                    event = self._waiting.popleft()
                    item = event if self._map is None else self._map(event)
                    if item is not event and isawaitable(item):
                        item = await item
                    if item is not None:
                        return item
                await self._read()
        except BaseException:
            await self.aclose()
            raise

    async def _read(self) -> None:
        blocks = await self._reader.read()
        if blocks is None:
            raise StopAsyncIteration
        for block, _ in blocks:
            for _, event in self._events.read(block):
                if event is not None and not (self._end and self._end.matches(event)):
                    self._waiting.append(event)
        if not self._waiting:
            await checkpoint()  # nothing else may suspend

    async def aclose(self) -> None:
        """Close the upstream."""
        await self._source.close(CLOSE_TIMEOUT)
