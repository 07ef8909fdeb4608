"""What is told of a stream while it lives: frozen values, for whoever observes.

Rules of this file:
- An observer is called with one value at a time, in the event loop, and must not block it. It can't
  break a stream: what it raises is logged.
- `StreamOpened` and `StreamClosed` are told in the task of the endpoint. A context variable that is
  set at the first holds for everything that the stream's generator does.
- Each stream that is told to be opened is told to be closed. One that is refused is only that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CloseReason(StrEnum):
    """Why a stream has ended."""

    FINISHED = "finished"
    """Its source had nothing more."""
    CLIENT_DISCONNECTED = "client_disconnected"
    DRAINED = "drained"
    """The server was told to stop, or the application to drain."""
    SEND_TIMEOUT = "send_timeout"
    """The client didn't read for `send_timeout` seconds."""
    MAX_DURATION = "max_duration"
    IDLE_TIMEOUT = "idle_timeout"
    """There was no event for `idle_timeout` seconds."""
    ERROR = "error"
    """The endpoint raised an exception, or what sends did."""
    CANCELLED = "cancelled"
    """The request was cancelled from outside: by its server, or by a middleware's timeout."""
    REFUSED = "refused"
    """There were too many streams, or the application was draining."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Which stream it is.

    Attributes:
        id: unique in the process and beyond: 16 hexadecimal digits.
        method: of the request.
        path: of the request, as it was sent.
        route: the template of the path (``/users/{id}``) where the framework tells it.
        client: what `client_key` made of the request; by default the peer's address.
    """

    id: str
    method: str
    path: str
    route: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A stream begins: before its first item, and before its status line."""

    stream: StreamInfo


@dataclass(frozen=True, slots=True)
class FirstEvent:
    """The first event was handed to the server, so many ``seconds`` after the stream began."""

    stream: StreamInfo
    seconds: float


@dataclass(frozen=True, slots=True)
class EventsSent:
    """One message was handed to the server.

    Attributes:
        events: how many events it joined.
        size: its bytes, as they were sent: compressed, if the stream is.
    """

    stream: StreamInfo
    events: int
    size: int


@dataclass(frozen=True, slots=True)
class PingSent:
    """A keep-alive was handed to the server, of so many bytes."""

    stream: StreamInfo
    size: int


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """A stream has ended, its generator is closed.

    Attributes:
        reason: why it has.
        events: how many events were handed to the server.
        size: how many bytes, as they were sent.
        seconds: since the stream began; 0 if it was refused.
        error: what was raised, with the reason ``ERROR``, or by a cleanup with any other.
    """

    stream: StreamInfo
    reason: CloseReason
    events: int
    size: int
    seconds: float
    error: BaseException | None = None


StreamRecord = StreamOpened | FirstEvent | EventsSent | PingSent | StreamClosed


class Observer(Protocol):
    """Is told what happens to streams: any function of one argument."""

    def __call__(self, record: StreamRecord, /) -> object:
        """Take one record. Called in the event loop, so it must not block."""


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The streams of one application in one event loop, at one moment.

    Attributes:
        open: how many are open.
        clients: of how many clients they are; 0 where `max_streams_per_client` isn't set.
        draining: whether the application is draining.
        opened: how many have begun since the application started, the open ones included.
        closed: how many have ended, by reason; ``REFUSED`` are those that never began.
        events: how many events were sent.
        size: how many bytes, as they were sent.
        waiting: bytes that wait in open streams for slow clients.
    """

    open: int
    clients: int
    draining: bool
    opened: int
    closed: Mapping[CloseReason, int]
    events: int
    size: int
    waiting: int
