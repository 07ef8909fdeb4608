"""`Follow`: the states of a client that follows an event stream, without I/O and without a clock.

| from       | on                                              | to                              |
|------------|-------------------------------------------------|---------------------------------|
| connecting | 200 and text/event-stream                       | open                            |
|            | 204                                             | closed: ended                   |
|            | 408, 425, 429, 500, 502 to 504, a network error | waiting                         |
|            | any other status or type, an untrusted server   | closed: refused                 |
| open       | a clean end                                     | waiting if "always", else ended |
| both       | a lost connection, silence for too long         | waiting; if the method is not   |
|            |                                                 | GET and no id is known, broken  |
| waiting    | the delay is over                               | connecting                      |
| any        | it would wait, but the mode is "never"          | closed                          |
|            | it would wait, but all retries are used up      | closed: gave up                 |

Rules of this file:
- It is the table of the TypeScript client that ``python -m sse_middleware typescript`` writes.
- The delay is what ``Retry-After`` says, if that is more than 0. Otherwise it is the reconnection
  time, doubled with each retry, less up to a quarter at random.
- An event begins the count of retries anew, and so does a block that only moves the id. An answer
  doesn't: a server that accepts and ends at once is asked less and less often.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from random import random
from typing import Literal

from sse_middleware.cli.tail.ending import Ending

Reconnect = Literal["always", "on-error", "never"]

RETRY_DELAY = 3.0
"""Seconds before the first retry, unless the server sends a ``retry``."""

MAX_RETRY_DELAY = 30.0
"""Seconds that doubling doesn't pass."""

DOUBLED = 0.5
"""Seconds that are doubled if the server asks for 0, so that it isn't asked without a pause."""

JITTER = 0.25
"""The most of a delay that chance takes away, so that not all clients come back at once."""

LONGEST_DELAY = 24 * 24 * 3600.0
"""Seconds of any wait: what the TypeScript client can wait, too."""

RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
"""Statuses that another attempt may change."""

_SENDABLE = re.compile(rb"[\t -~\x80-\xff]+")
"""An id that a header can have."""

NO_CONTENT = 204
OK = 200


class State(Enum):
    """What the client does now."""

    CONNECTING = auto()
    OPEN = auto()
    WAITING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class Policy:
    """When to reconnect, and how long to wait before it. Times are in seconds."""

    method: str = "GET"
    reconnect: Reconnect = "always"
    max_retries: int | None = None
    """Retries in a row without an event; ``None`` for no limit."""
    retry_delay: float = RETRY_DELAY
    max_retry_delay: float = MAX_RETRY_DELAY


class Follow:
    """The state of one client. The methods say what has happened; they return nothing.

    Args:
        policy: when to reconnect.
        last_event_id: the id to begin after, or the empty string.
        chance: returns a number from 0 up to 1, for the delays.
    """

    def __init__(
        self, policy: Policy, last_event_id: str = "", chance: Callable[[], float] = random
    ) -> None:
        self.state = State.CONNECTING
        self.ending = Ending.ENDED
        """How it ended, once it is closed."""
        self.delay = 0.0
        """Seconds to wait, while it is waiting."""
        self.retries = 0
        """Attempts since the last event."""
        self.last_event_id = last_event_id
        self._policy = policy
        self._retry = policy.retry_delay
        self._chance = chance

    def last_event_id_header(self) -> bytes:
        """Return ``Last-Event-ID`` for the next request: empty without an id that can be sent."""
        sent = self.last_event_id.encode().strip()
        return sent if _SENDABLE.fullmatch(sent) else b""

    def answered(self, status: int, content_type: str, retry_after: float = 0.0) -> None:
        """Take the head of a response. `retry_after` is in seconds, 0 if there is none."""
        if status == NO_CONTENT:
            self._close(Ending.ENDED)
        elif status == OK and is_event_stream(content_type):
            self.state = State.OPEN
        elif status in RETRYABLE:
            self._wait(retry_after, Ending.REFUSED)
        else:
            self._close(Ending.REFUSED)

    def unreachable(self) -> None:
        """There was no answer: a network error."""
        self._wait(0.0, Ending.GAVE_UP)

    def refused(self) -> None:
        """No further attempt can help: the certificate isn't trusted, or the like."""
        self._close(Ending.REFUSED)

    def moved(self, last_event_id: str) -> None:
        """An event has come, or a block that moves the id."""
        self.last_event_id = last_event_id
        self.retries = 0

    def told_to_retry_after(self, milliseconds: int) -> None:
        """The server has sent a ``retry``."""
        self._retry = milliseconds / 1000

    def ended(self) -> None:
        """The body is complete."""
        if self._policy.reconnect == "always":
            self._wait(0.0, Ending.GAVE_UP)
        else:
            self._close(Ending.ENDED)

    def lost(self) -> None:
        """The connection broke after the request was sent, or was silent for too long."""
        if self._policy.method == "GET" or self.last_event_id_header():
            self._wait(0.0, Ending.BROKEN)
        else:
            self._close(Ending.BROKEN)

    def unreadable(self) -> None:
        """The stream has what can't be read. It would be the same again."""
        self._close(Ending.BROKEN)

    def enough(self) -> None:
        """All that was wanted has come."""
        self._close(Ending.ENDED)

    def waited(self) -> None:
        """The delay is over."""
        self.state = State.CONNECTING

    def _close(self, ending: Ending) -> None:
        self.state, self.ending = State.CLOSED, ending

    def _wait(self, retry_after: float, if_never: Ending) -> None:
        if self._policy.reconnect == "never":
            self._close(if_never)
        elif self.retries == self._policy.max_retries:
            self._close(Ending.GAVE_UP)
        else:
            delay = retry_after or self._backoff() * (1 - JITTER * self._chance())
            self.delay = min(delay, LONGEST_DELAY)
            self.retries += 1
            self.state = State.WAITING

    def _backoff(self) -> float:
        if not self.retries:
            return self._retry
        most = max(self._policy.max_retry_delay, self._retry)
        doublings = min(self.retries, 64)  # after these every delay is at its limit
        return min((self._retry or DOUBLED) * 2.0**doublings, most)


def is_event_stream(content_type: str) -> bool:
    """Return whether a ``Content-Type`` is that of an event stream, with any parameters."""
    return content_type.partition(";")[0].strip().lower() == "text/event-stream"
