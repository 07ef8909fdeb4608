"""`UpstreamReader`: the whole events of an upstream, and whether its stream is complete.

Rules of this file:
- A stream is complete if its body ends, without an error, between two events. If the last event of
  a complete stream is known, it must have come.
- What came before an error is returned before the error.
- An error after the last event of a known end changes nothing: the stream was complete.
- An event that is read gets an ``id`` if it has one, or if one without data came before it.
"""

import sys
from collections.abc import Iterator

from sse_middleware.errors import BodyError
from sse_middleware.events import ServerSentEvent
from sse_middleware.relaying.errors import UpstreamError
from sse_middleware.relaying.source import UpstreamSource
from sse_middleware.relaying.stream_end import StreamEnd
from sse_middleware.relaying.whole_events import Block, WholeEvents
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent, ReconnectionTime
from sse_middleware.wire.event_boundaries import events_in, usual_events


class UpstreamReader:
    """Reads one upstream.

    Args:
        source: the upstream.
        end: the last event of a complete stream, if it is known.
        max_event_size: bytes that one event may take.
    """

    __slots__ = ("_end", "_ended", "_events", "_failure", "_source")

    def __init__(
        self, source: UpstreamSource, end: StreamEnd | None, max_event_size: int | None
    ) -> None:
        self._source = source
        self._end = end
        self._events = WholeEvents(max_event_size)
        self._failure: UpstreamError | None = None
        self._ended = False

    @property
    def sends_ids(self) -> bool:
        """Whether an ``id`` may have passed."""
        return self._events.sends_ids

    async def read(self) -> list[Block] | None:
        """Return what the next bytes complete, which may be nothing; ``None`` at the end.

        Raises:
            UpstreamError: the stream is broken.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None  # its traceback holds this object
            raise failure
        if self._ended:
            return None
        try:
            chunk = await self._source.read()
        except UpstreamError as error:
            return self._end_of_stream(error)
        return self._end_of_stream() if chunk is None else self._blocks(self._events.feed(chunk))

    def _end_of_stream(self, failure: UpstreamError | None = None) -> list[Block]:
        """Return what is whole now that nothing follows."""
        self._ended = True
        blocks = self._blocks(self._events.end())
        if self._end is None:
            self._failure = failure or self._failure
        elif self._came(self._end):
            self._failure = None
        else:
            missing = UpstreamError("the upstream broke: its stream ended without its last event")
            self._failure = failure or self._failure or missing
        return blocks

    def _blocks(self, found: Iterator[Block]) -> list[Block]:
        blocks = []
        try:
            for block in found:
                blocks.append(block)  # noqa: PERF402 - an error must not lose what came before it
        except BodyError as error:
            self._failure = UpstreamError(f"the upstream broke: {error}")
        return blocks

    def _came(self, end: StreamEnd) -> bool:
        """Whether the latest event is the last one of a complete stream."""
        found = [event for _, event in EventReader().read(self._events.last) if event is not None]
        return bool(found) and end.matches(found[-1])


class EventReader:
    """Reads the events of blocks, for a function that changes them."""

    __slots__ = ("_decoder", "_id")

    def __init__(self) -> None:
        self._decoder = EventStreamDecoder(max_event_size=sys.maxsize)  # their size is checked
        self._decoder.feed(b"\n")  # no byte order mark follows
        self._id = ""

    def read(self, block: bytes) -> Iterator[tuple[bytes, ServerSentEvent | None]]:
        """Yield each event with its bytes. What no client would dispatch has ``None``.

        Raises:
            UpstreamError: an event has a name that can't be sent on.
        """
        one_line = block.find(b"\n") == len(block) - 2 and block.endswith(b"\n\n")
        if one_line and b"\r" not in block:  # one event that came alone
            yield block, self._usual_event(block[:-2])
            return
        usual = usual_events(block)
        if usual.size == len(block):
            for text in usual.events:
                yield text + b"\n\n", self._usual_event(text)
            return
        at = 0
        for begin, end in events_in(block):
            if begin > at:
                yield block[at:begin], None
            yield block[begin:end], self._event(block[begin:end])
            at = end
        if at < len(block):
            yield block[at:], None

    def _usual_event(self, text: bytes) -> ServerSentEvent | None:
        """Read an event without its blank line. Nearly all have one line of data and no more."""
        if (
            not text.startswith(b"data: ")
            or b"\n" in text
            or self._id != self._decoder.last_event_id
        ):
            return self._event(text + b"\n\n")
        return ServerSentEvent(raw_data=text[6:].decode("utf-8", "replace"))

    def _event(self, text: bytes) -> ServerSentEvent | None:
        retry, message = None, None
        for one in self._decoder.feed(text):
            if isinstance(one, ReconnectionTime):
                retry = one.milliseconds
            elif isinstance(one, MessageEvent):
                message = one
        if message is None:
            return None
        id_ = message.last_event_id
        new, self._id = id_ != self._id or _has_id(text), id_
        try:
            return ServerSentEvent(
                raw_data=message.data,
                event=None if message.type == "message" else message.type,
                id=id_ if new else None,
                retry=retry,
            )
        except ValueError as error:
            raise UpstreamError(f"the upstream sent an event with a wrong name: {error}") from error


def _has_id(event: bytes) -> bool:
    """Whether an event has an ``id`` that counts."""
    lines = event.splitlines()  # of bytes: at CRLF, CR and LF only
    return any(line.partition(b":")[0] == b"id" and b"\0" not in line for line in lines)
