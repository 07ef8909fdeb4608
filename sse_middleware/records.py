"""The records that observers receive: one frozen value for each thing that happens to a stream.

Rules of this file:
- An observer is called in the event loop with one record at a time, and must not block. It can't
  break a stream: an exception that it raises is logged.
- An observer receives `StreamOpened` and `StreamClosed` in the endpoint's task. So the stream's
  generator sees a context variable that the observer sets at `StreamOpened`.
- Each `StreamOpened` is followed by a `StreamClosed`. A refused stream has only a `StreamClosed`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CloseReason(StrEnum):
    """Why a stream ended."""

    FINISHED = "finished"
    """Its source had no more items."""
    CLIENT_DISCONNECTED = "client_disconnected"
    """The client left before the stream ended."""
    DRAINED = "drained"
    """The server was stopping, the application was draining, or an operator closed the stream.

    A stream that views a run has this reason, too, if the run was drained.
    """
    SEND_TIMEOUT = "send_timeout"
    """The client didn't read for `send_timeout` seconds."""
    MAX_DURATION = "max_duration"
    """The stream reached `max_duration`."""

    """The stream reached `max_duration`."""

    IDLE_TIMEOUT = "idle_timeout"
    """There was no event for `idle_timeout` seconds."""
    ERROR = "error"
    """The endpoint raised an exception, or sending did, or the run that it viewed has failed."""
    CANCELLED = "cancelled"
    """The request was cancelled from outside: by the server, or by a middleware's timeout."""
    REFUSED = "refused"
    """There were too many streams, or the application was draining."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """Identifies a stream.

    Attributes:
        id: 16 hexadecimal digits, unique in this process and across processes.
        method: the request's method.
        path: the request's path, percent-decoded.
        route: the path's template (``/users/{id}``), if the framework provides it.
        client: what `client_key` returned for the request; by default the peer's address.
    """

    id: str
    method: str
    path: str
    route: str | None
    client: str | None


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """A stream begins, before its first item and before its status line is sent."""

    stream: StreamInfo


@dataclass(frozen=True, slots=True)
class FirstEvent:
    """The first event was handed to the server, ``seconds`` after the stream began."""

    stream: StreamInfo
    seconds: float


@dataclass(frozen=True, slots=True)
class EventsSent:
    """One message was handed to the server.

    Attributes:
        events: how many events the message holds; 0 if it only ends a compressed body.
        size: how many bytes were sent, after compression.
    """

    stream: StreamInfo
    events: int
    size: int


@dataclass(frozen=True, slots=True)
class PingSent:
    """A keep-alive of ``size`` bytes was handed to the server."""

    stream: StreamInfo
    size: int


@dataclass(frozen=True, slots=True)
class GapTold:
    """A subscriber of a hub is told that it may have missed events.

    Attributes:
        topics: the topics whose events may be missing.
        reason: ``"expired"``, ``"lost"`` or ``"reset"``. `Hub` says what each means.
    """

    stream: StreamInfo
    topics: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class StreamClosed:
    """A stream has ended, and its generator is closed.

    Attributes:
        reason: why the stream ended.
        events: how many events were handed to the server.
        size: how many bytes were sent, after compression.
        seconds: how long the stream lasted; 0 if it was refused.
        error: the exception that ended the stream, with the reason ``ERROR``: a `RunFailedError` or
            a `RunAbortedError` if that was the run that it viewed. With any other reason, an
            exception that the cleanup raised.
    """

    stream: StreamInfo
    reason: CloseReason
    events: int
    size: int
    seconds: float
    error: BaseException | None = None


StreamRecord = StreamOpened | FirstEvent | EventsSent | PingSent | GapTold | StreamClosed


class Observer(Protocol):
    """Receives the records of streams: any function of one argument."""

    def __call__(self, record: StreamRecord, /) -> object:
        """Receive one record. Called in the event loop, so it must not block."""


@dataclass(frozen=True, slots=True)
class StreamStats:
    """The streams of one application in one event loop, at one moment.

    Attributes:
        open: how many streams are open.
        clients: how many clients have them open; 0 unless `max_streams_per_client` is set.
        draining: whether the application is draining.
        opened: how many streams began since the application started, including the open ones.
        closed: how many streams ended, by reason; those under ``REFUSED`` never began.
        events: how many events were sent.
        size: how many bytes were sent, after compression.
        waiting: how many bytes wait in open streams for slow clients.
    """

    open: int
    clients: int
    draining: bool
    opened: int
    closed: Mapping[CloseReason, int]
    events: int
    size: int
    waiting: int
