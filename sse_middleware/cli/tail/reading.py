"""`Reading`: turns the bytes of a stream into what is printed, over all its connections.

It tells `Follow` what has come, and `Measures`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from sse_middleware.cli.tail.follow import Follow, State
from sse_middleware.cli.tail.formats import CopiedBytes, EventFormat, lines_of
from sse_middleware.cli.tail.measures import Measures
from sse_middleware.errors import EventTooLargeError
from sse_middleware.wire.decoding import (
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is printed of a stream."""

    format: EventFormat | CopiedBytes
    encoding: str = "utf-8"
    names: frozenset[str] = frozenset()
    """The names of the events to print and to count; empty for all."""
    count: int | None = None
    """How many events to print; ``None`` for all."""
    max_event_size: int = 1024 * 1024


class Reading:
    """What has come of a stream. `connected` begins a new connection.

    Args:
        wanted: what is printed.
        follow: is told of events, ids and reconnection times.
        measures: counts.
        wall_clock: returns the time that an event is printed with.
    """

    def __init__(
        self,
        wanted: Wanted,
        follow: Follow,
        measures: Measures,
        wall_clock: Callable[[], datetime],
    ) -> None:
        self.silent_since = 0.0
        """When the last event came, or when the connection was opened."""
        self.keep_alives = 0
        """Signs of life since then that were no events."""
        self.problem = ""
        """Why the stream can't be read any further."""
        self._wanted = wanted
        self._left = wanted.count
        self._follow = follow
        self._measures = measures
        self._wall_clock = wall_clock

    def connected(self, now: float) -> None:
        """Begin with a new connection. An event that broke off is dropped."""
        self.silent_since, self.keep_alives = now, 0
        self._measures.connections += 1
        self._decoder = EventStreamDecoder(
            max_event_size=self._wanted.max_event_size, last_event_id=self._follow.last_event_id
        )

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Return what to print of a chunk. Nothing after the last wanted event is printed."""
        self._measures.bytes += len(chunk)
        printed: list[bytes] = []
        self._at = self._wall_clock()
        for piece in self._pieces(chunk):
            if isinstance(self._wanted.format, CopiedBytes):
                printed.append(self._wanted.format(piece))
            self._take(self._decoded(piece), now, printed)
            if self._follow.state is State.CLOSED:
                break
        return b"".join(printed)

    def _pieces(self, chunk: bytes) -> Iterable[bytes]:
        if self._left is not None and isinstance(self._wanted.format, CopiedBytes):
            return lines_of(chunk)
        return [chunk]

    def _decoded(self, piece: bytes) -> Sequence[Decoded]:
        try:
            return self._decoder.feed(piece)
        except EventTooLargeError as error:
            self._follow.unreadable()
            self.problem = (
                f"an event is larger than {error.max_event_size:,} bytes. "
                "--max-event-size allows more"
            )
            return cast("Sequence[Decoded]", error.decoded)

    def _take(self, decoded: Sequence[Decoded], now: float, printed: list[bytes]) -> None:
        events = 0
        for one in decoded:
            match one:
                case MessageEvent():
                    events += 1
                    self._take_event(one, now, printed)
                    if self._left == 0:
                        self._follow.enough()
                        return
                case ReconnectionTime(milliseconds):
                    self._follow.told_to_retry_after(milliseconds)
                case _:  # a comment
                    self._keep_alive()
        if self._decoder.last_event_id != self._follow.last_event_id:
            self._follow.moved(self._decoder.last_event_id)
            if not events:
                self._keep_alive()

    def _take_event(self, event: MessageEvent, now: float, printed: list[bytes]) -> None:
        self._measures.event(now)
        self._follow.moved(event.last_event_id)
        self.silent_since, self.keep_alives = now, 0
        if self._wanted.names and event.type not in self._wanted.names:
            return
        if self._left is not None:
            self._left -= 1
        if not isinstance(self._wanted.format, CopiedBytes):
            text = self._wanted.format(event, self._at)
            printed.append(text.encode(self._wanted.encoding, "backslashreplace"))

    def _keep_alive(self) -> None:
        self.keep_alives += 1
        self._measures.keep_alives += 1
