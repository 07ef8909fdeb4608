"""`EventStream`: the events of one request, as a browser's ``EventSource`` has them.

Rules of this file:
- A task of the client's reads ahead, as a browser does, so that what an hour brings is there after
  an hour. It stops at `READ_AHEAD` bytes that the test has not asked for: an endless burst costs no
  memory, and the application's ``send`` waits in the end. It goes on when a call finds nothing.
- It is never cancelled between two reads: httpx's generators would stay open at their ``yield``.
- Every wait is bounded, and its failure shows what came so far.
- What the application raises is raised by the next call that waits, or else by the disconnect.
"""

import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

import anyio
import httpx
from anyio.abc import TaskGroup

from sse_middleware.events import ServerSentEvent
from sse_middleware.testing.errors import NoEventError, UsageError
from sse_middleware.wire.decoding import (
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)

READ_AHEAD = 64 * 1024
"""Bytes that are read before the test asks for them: three months of keep-alives, or one burst."""

READ_AT_MOST = 4 * 1024 * 1024
"""Bytes that are read for one call: an event may be as large."""

SHOWN = 500
"""Characters of an event, or bytes of what is no stream, that a failure shows."""

Request = Callable[[str], Awaitable[httpx.Response]]
"""Sends the request with this ``Last-Event-ID``, none if it is empty; returns the open response."""


class EventStream:
    """The events of one request: ``async with client.stream("GET", "/events") as events``.

    Events are `ServerSentEvent`s as a browser sees them: ``raw_data`` is the text of the data, and
    `ServerSentEvent.json` what it says; ``event`` is ``None`` for a plain message; ``id`` is the
    last id of the stream so far, which need not have come with this event; ``retry`` is set if it
    came since the event before.

    One task at a time may wait for events.
    """

    def __init__(
        self, request: Request, tasks: TaskGroup, timeout: float, last_event_id: str = ""
    ) -> None:
        self.received: list[ServerSentEvent] = []
        """Every event so far, those included that no call has returned yet."""
        self.comments: list[str] = []
        """Every comment so far; keep-alives are comments."""
        self.reconnection_time: int | None = None
        """The last ``retry``, in milliseconds."""
        self._request = request
        self._tasks = tasks
        self._timeout = timeout
        self._decoder = _decoder(last_event_id)
        self._response: httpx.Response | None = None
        self._body = bytearray()
        self._waiting: deque[ServerSentEvent] = deque()
        self._comments_asked = 0
        self._retry: int | None = None
        self._unasked = 0
        self._asking = self._pausing = False
        self._disconnected = True
        self._ended = anyio.Event()
        self._error: Exception | None = None
        self._changed = anyio.Event()
        self._reading = anyio.CancelScope()

    def __repr__(self) -> str:
        return f"<EventStream: {self._so_far()}>"

    @property
    def connected(self) -> bool:
        """Whether the request has been sent, and not been disconnected."""
        return not self._disconnected

    @property
    def response(self) -> httpx.Response:
        """The response: its status and its headers."""
        if self._response is None:
            raise UsageError("nothing has been sent yet: use `async with client.stream(...)`")
        return self._response

    @property
    def body(self) -> bytes:
        """Every byte of the response so far, as it came through a compression."""
        return bytes(self._body)

    @property
    def last_event_id(self) -> str:
        """The last id of the stream, which a reconnect sends."""
        return self._decoder.last_event_id

    async def next(self, timeout: float | None = None) -> ServerSentEvent:  # noqa: ASYNC109 - of a test's call
        """Wait for the next event.

        Args:
            timeout: seconds, in place of the client's.

        Raises:
            NoEventError: none came in time, or the stream has ended. Shows what came so far.
            UsageError: after a disconnect, or while another task waits.
            Exception: what the application raised.
        """
        await self._until(lambda: bool(self._waiting), "event", timeout)
        if not self._waiting:
            raise NoEventError(f"the stream has ended; {self._so_far()}")
        return self._waiting.popleft()

    async def next_comment(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - as above
        """Wait for the next comment, and return its text. Events are kept. Else as `next`."""
        await self._until(lambda: len(self.comments) > self._comments_asked, "comment", timeout)
        if len(self.comments) == self._comments_asked:
            raise NoEventError(f"the stream has ended; {self._so_far()}")
        self._comments_asked += 1
        return self.comments[self._comments_asked - 1]

    async def take(self, count: int) -> list[ServerSentEvent]:
        """Wait for so many events. Raises as `next`."""
        return [await self.next() for _ in range(count)]

    def __aiter__(self) -> Self:
        """Iterate to the end of the stream. Each wait is bounded as that of `next`."""
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Wait for the next event. Raises as `next`, but for the end."""
        await self._until(lambda: bool(self._waiting), "event", None)
        if not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    async def connect(self) -> None:
        """Send the request; called by the client."""
        self._response = await self._request(self.last_event_id)
        self._disconnected, self._unasked = False, 0
        self._ended, self._reading = anyio.Event(), anyio.CancelScope()
        self._tasks.start_soon(self._read)

    async def disconnect(self) -> None:
        """Leave. When this returns the application has ended: its ``finally`` blocks have run.

        Raises what the application raised since. On a real server it only closes the connection.
        """
        if self._disconnected:
            return
        self._disconnected = True
        if not self._pausing:
            self._reading.cancel()
        self._wake()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        await self.response.aclose()
        self._raise_error()

    async def reconnect(self) -> None:
        """Leave, wait for the last ``retry`` (else not at all), and come back as a browser does.

        The last id of the stream is sent as ``Last-Event-ID``. What has been received so far stays,
        and `response` is the new one. Raises as `disconnect`.
        """
        await self.disconnect()
        await anyio.sleep((self.reconnection_time or 0) / 1000)
        self._decoder = _decoder(self.last_event_id)
        await self.connect()

    async def _until(
        self,
        found: Callable[[], bool],
        what: str,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> None:
        """Wait until `found` or the end of the stream."""
        self._check_use()
        if found():
            return
        seconds = self._timeout if timeout is None else timeout
        with anyio.move_on_after(seconds), self._read_on():
            while not (found() or self._ended.is_set() or self._has_enough()):
                await self._changed.wait()
        if found():
            return
        self._raise_error()
        if not self._ended.is_set():
            enough = self._unasked >= READ_AT_MOST
            bound = f"{READ_AT_MOST} bytes" if enough else f"{seconds:g} s"
            raise NoEventError(f"no {what} within {bound}; {self._so_far()}")

    @contextmanager
    def _read_on(self) -> Iterator[None]:
        self._asking, self._unasked = True, 0
        self._wake()
        try:
            yield
        finally:
            self._asking = False

    def _has_enough(self) -> bool:
        return self._unasked >= (READ_AT_MOST if self._asking else READ_AHEAD)

    def _check_use(self) -> None:
        if self._disconnected:
            raise UsageError(f"read after the disconnect; {self._so_far()}")
        if self._asking:
            raise UsageError("two tasks wait for events of one stream: let one of them do it")

    async def _read(self) -> None:
        """Read to the end of the response, or until cancelled."""
        ended = self._ended
        try:
            with self._reading:
                async for chunk in self.response.aiter_bytes():
                    self._take(chunk)
                    await self._pause()
        except Exception as error:
            self._error = error
        finally:
            ended.set()
            self._wake()

    async def _pause(self) -> None:
        self._pausing = True
        while self._has_enough() and not self._disconnected:
            await self._changed.wait()
        self._pausing = False
        if self._disconnected:
            self._reading.cancel()

    def _take(self, chunk: bytes) -> None:
        self._body += chunk
        self._unasked += len(chunk)
        if self._is_event_stream():
            for decoded in self._decoder.feed(chunk):
                self._keep(decoded)
        self._wake()

    def _keep(self, decoded: Decoded) -> None:
        match decoded:
            case Comment(text):
                self.comments.append(text)
            case ReconnectionTime(milliseconds):
                self.reconnection_time = self._retry = milliseconds
            case MessageEvent(data, kind, last_id):  # pragma: no branch - nothing else is decoded
                event = ServerSentEvent.model_construct(  # as it came, valid or not
                    raw_data=data,
                    event=None if kind == "message" else kind,
                    id=last_id or None,
                    retry=self._retry,
                )
                self._retry = None
                self.received.append(event)
                self._waiting.append(event)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _is_event_stream(self) -> bool:
        media_type = self.response.headers.get("content-type", "").partition(";")[0].strip()
        return bool(media_type.lower() == "text/event-stream")

    def _so_far(self) -> str:
        if self._response is None:
            return "nothing was sent"
        status = f"so far: status {self._response.status_code}, {len(self._body)} bytes"
        if not self._is_event_stream():
            kind = self._response.headers.get("content-type", "of no content-type")
            return f"{status}, {kind}, which is no event stream: {self.body[:SHOWN]!r}"
        last = [f"\n  {_shown(event)}" for event in self.received[-5:]]
        counts = f"{len(self.comments)} comments, {len(self.received)} events"
        return f"{status}, {counts}{', the last of them:' if last else ''}{''.join(last)}"


def _shown(event: ServerSentEvent) -> str:
    text = str(event.model_dump(exclude_none=True))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _decoder(last_event_id: str) -> EventStreamDecoder:
    return EventStreamDecoder(max_event_size=sys.maxsize, last_event_id=last_event_id)
