"""`Inbox`: what has come of a stream, and how much of it the test has taken.

Rules of this file:
- A client task reads ahead, so what has come depends on timing. What the test has taken does not.
  So `last_event_id` and `reconnection_time` use what was taken.
- The test has taken everything up to the last event or comment that a call returned. But an event
  that no call has returned is not taken. Neither is anything after it, even a comment that a call
  has returned.
- An id or a ``retry`` without an event belongs to the next event or comment. A call that finds
  nothing more, because of the end or the timeout, has taken all that had come by then.
- A new connection begins where the test is. Whatever it had not taken then will not be returned.
"""

import sys
from collections import deque
from dataclasses import dataclass

from sse_middleware.events import ServerSentEvent
from sse_middleware.wire.decoding import (
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the stream, and what a client that has read up to there knows."""

    number: int
    """How many events and comments came up to here."""
    last_event_id: str
    reconnection_time: int | None


class Inbox:
    """Decodes the stream of one client, also over several connections.

    Args:
        last_event_id: the id that the client starts from.
    """

    def __init__(self, last_event_id: str = "") -> None:
        self.events: list[ServerSentEvent] = []
        """Every event that has come."""
        self.comments: list[str] = []
        """Every comment that has come."""
        self._come = self._taken = Place(0, last_event_id, None)
        self._taken_ahead = deque[Place]()  # events that nobody has taken come before them
        self._events = deque[tuple[Place, ServerSentEvent]]()
        self._comments = deque[tuple[Place, str]]()
        self._retry: int | None = None
        self.reconnect()

    @property
    def last_event_id(self) -> str:
        """The last id of what was taken."""
        return self._taken.last_event_id

    @property
    def reconnection_time(self) -> int | None:
        """The last ``retry`` of what was taken, in milliseconds."""
        return self._taken.reconnection_time

    @property
    def has_event(self) -> bool:
        """Whether an event has come that was not taken."""
        return bool(self._events)

    @property
    def has_id(self) -> bool:
        """Whether an id has come beyond that of what was taken."""
        return self._decoder.last_event_id != self.last_event_id

    @property
    def has_comment(self) -> bool:
        """Whether a comment has come that was not taken."""
        return bool(self._comments)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        # Line by line, since the decoder doesn't say where an id without an event came.
        for line in chunk.splitlines(keepends=True):
            for decoded in self._decoder.feed(line):
                self._keep(decoded)

    def take_event(self) -> ServerSentEvent:
        """Return the first event that was not taken."""
        self._taken, event = self._events.popleft()
        self._pass_taken_ahead()
        return event

    def take_comment(self) -> str:
        """Return the first comment that was not taken."""
        place, comment = self._comments.popleft()
        self._take_ahead(place)
        return comment

    def take_rest(self) -> None:
        """Count what has come as taken, except events that no call has returned."""
        self._take_ahead(self._place(self._come.number))

    def reconnect(self) -> None:
        """Begin a new connection where the test is."""
        self._come = self._taken
        self._events.clear()
        self._comments.clear()
        self._taken_ahead.clear()
        self._retry = None
        self._decoder = EventStreamDecoder(
            max_event_size=sys.maxsize, last_event_id=self.last_event_id
        )

    def _take_ahead(self, place: Place) -> None:
        self._taken_ahead.append(place)
        self._pass_taken_ahead()

    def _pass_taken_ahead(self) -> None:
        """Go on to what was taken before, as far as no event lies between."""
        first = self._events[0][0].number if self._events else sys.maxsize
        while self._taken_ahead and self._taken_ahead[0].number < first:
            place = self._taken_ahead.popleft()
            if place.number >= self._taken.number:
                self._taken = place

    def _place(self, number: int) -> Place:
        self._come = Place(number, self._decoder.last_event_id, self._come.reconnection_time)
        return self._come

    def _keep(self, decoded: Decoded) -> None:
        match decoded:
            case Comment(text):
                self.comments.append(text)
                self._comments.append((self._place(self._come.number + 1), text))
            case ReconnectionTime(milliseconds):
                self._retry = milliseconds
                self._come = Place(self._come.number, self._come.last_event_id, milliseconds)
            case MessageEvent():  # pragma: no branch - nothing else is decoded
                event = self._event(decoded)
                self.events.append(event)
                self._events.append((self._place(self._come.number + 1), event))

    def _event(self, decoded: MessageEvent) -> ServerSentEvent:
        retry, self._retry = self._retry, None
        return ServerSentEvent.model_construct(  # not validated: it may be invalid
            raw_data=decoded.data,
            event=None if decoded.type == "message" else decoded.type,
            id=decoded.last_event_id or None,
            retry=retry,
        )
