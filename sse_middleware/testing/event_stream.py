"""`EventStream`: the events of one request, as a browser's ``EventSource`` sees them.

Rules of this file:
- A task of the client reads ahead, as a browser does. So after an hour, the events of an hour are
  there. It pauses at `READ_AHEAD` bytes that the test has not asked for, so an endless burst fills
  no memory and the application's ``send`` has to wait. It resumes when a call finds no event.
- The task is never cancelled between two reads: httpx's generators would stay open at their
  ``yield``.
- Every wait has a timeout, and the error shows what came so far.
- What the application raises is raised by the next call that waits, or else by the disconnect.
- What has come and what the test has taken can differ: see `inbox`.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Self

import anyio
import httpx
from anyio.abc import TaskGroup

from sse_middleware.events import ServerSentEvent
from sse_middleware.testing.errors import NoEventError, UsageError
from sse_middleware.testing.inbox import Inbox

READ_AHEAD = 64 * 1024
"""Bytes to read before the test asks for them: three months of keep-alives, or one burst."""

READ_AT_MOST = 4 * 1024 * 1024
"""Bytes to read for one call. One event may be this large."""

SHOWN = 500
"""Characters of an event, or bytes of another body, that an error shows."""

Request = Callable[[str], Awaitable[httpx.Response]]
"""Sends the request with this ``Last-Event-ID``, unless it is empty. Returns the open response."""


class EventStream:
    """The events of one request: ``async with client.stream("GET", "/events") as events``.

    Each event is a `ServerSentEvent` as a browser sees it. ``raw_data`` is the text of its data,
    and `ServerSentEvent.json` parses it. ``event`` is ``None`` for a plain message. ``id`` is the
    last id of the stream, which may have come with an earlier event. ``retry`` is set if it came
    since the event before.

    Only one task at a time may wait for events.
    """

    def __init__(
        self, request: Request, tasks: TaskGroup, timeout: float, last_event_id: str = ""
    ) -> None:
        self._request = request
        self._tasks = tasks
        self._timeout = timeout
        self._inbox = Inbox(last_event_id)
        self._response: httpx.Response | None = None
        self._body = bytearray()
        self._bytes_ahead = 0
        self._has_waiter = self._is_paused = False
        self._disconnected = True
        self._ended = anyio.Event()
        self._error: Exception | None = None
        self._changed = anyio.Event()
        self._reading = anyio.CancelScope()

    def __repr__(self) -> str:
        return f"<EventStream: {self._summary()}>"

    @property
    def connected(self) -> bool:
        """Whether the request was sent and the client has not disconnected."""
        return not self._disconnected

    @property
    def response(self) -> httpx.Response:
        """The response, for its status and headers."""
        if self._response is None:
            raise UsageError("nothing has been sent yet: use `async with client.stream(...)`")
        return self._response

    @property
    def body(self) -> bytes:
        """Every byte of the response so far, decompressed."""
        return bytes(self._body)

    @property
    def received(self) -> list[ServerSentEvent]:
        """Every event so far, including those that no call has returned yet."""
        return self._inbox.events

    @property
    def comments(self) -> list[str]:
        """Every comment so far, also those that no call has returned. Keep-alives are comments."""
        return self._inbox.comments

    @property
    def last_event_id(self) -> str:
        """The last id of what the test has taken. A reconnect sends it."""
        return self._inbox.last_event_id

    @property
    def reconnection_time(self) -> int | None:
        """The last ``retry`` of what the test has taken, in milliseconds."""
        return self._inbox.reconnection_time

    async def next(self, timeout: float | None = None) -> ServerSentEvent:  # noqa: ASYNC109 - tests pass it
        """Wait for the next event.

        Args:
            timeout: seconds to wait. Replaces the timeout of the client.

        Raises:
            NoEventError: no event came in time, or the stream has ended. Shows what came so far.
            UsageError: the client has disconnected, or another task waits.
            Exception: what the application raised.
        """
        await self._wait_until(lambda: self._inbox.has_event, "event", timeout)
        if not self._inbox.has_event:
            raise NoEventError(f"the stream has ended; {self._summary()}")
        return self._inbox.take_event()

    async def next_comment(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - as above
        """Wait for the next comment and return its text. Keeps events. Raises as `next`."""
        await self._wait_until(lambda: self._inbox.has_comment, "comment", timeout)
        if not self._inbox.has_comment:
            raise NoEventError(f"the stream has ended; {self._summary()}")
        return self._inbox.take_comment()

    async def next_id(self, timeout: float | None = None) -> str:  # noqa: ASYNC109 - as above
        """Wait for an id beyond `last_event_id`, and return `last_event_id`. Raises as `next`.

        An id without an event is how a hub tells a client its position: a stream of a hub begins
        with one. From then on nothing that is published is missed. Events that have come and that
        no call has returned stay, and so do their ids.
        """
        await self._wait_until(lambda: self._inbox.has_id, "id", timeout)
        if not self._inbox.has_id:
            raise NoEventError(f"the stream has ended; {self._summary()}")
        self._inbox.take_rest()
        return self.last_event_id

    async def take(self, count: int) -> list[ServerSentEvent]:
        """Wait for `count` events and return them. Raises as `next`."""
        return [await self.next() for _ in range(count)]

    def __aiter__(self) -> Self:
        """Iterate to the end of the stream. Each wait has the timeout of the client."""
        return self

    async def __anext__(self) -> ServerSentEvent:
        """Wait for the next event. Raises as `next`, except at the end of the stream."""
        await self._wait_until(lambda: self._inbox.has_event, "event", None)
        if not self._inbox.has_event:
            raise StopAsyncIteration
        return self._inbox.take_event()

    async def connect(self) -> None:
        """Send the request. The client calls this."""
        self._response = await self._request(self.last_event_id)
        self._disconnected, self._bytes_ahead = False, 0
        self._ended, self._reading = anyio.Event(), anyio.CancelScope()
        self._tasks.start_soon(self._read)

    async def disconnect(self) -> None:
        """Disconnect, and wait until the application has ended and its ``finally`` blocks have run.

        Raises what the application raised meanwhile. With a real server, this only closes the
        connection.
        """
        if self._disconnected:
            return
        self._disconnected = True
        if not self._is_paused:
            self._reading.cancel()
        self._wake()
        with anyio.CancelScope(shield=True):
            await self._ended.wait()
        await self.response.aclose()
        self._raise_error()

    async def reconnect(self) -> None:
        """Disconnect, wait for the last ``retry`` if there was one, and connect again.

        As a browser does, this sends the last id as ``Last-Event-ID``. It uses the id and the
        ``retry`` that the test has taken. What was read ahead of the test stays in `received`, but
        only events of the new connection are returned from now on. `response` becomes the new
        response. Raises as `disconnect`.
        """
        await self.disconnect()
        await anyio.sleep((self.reconnection_time or 0) / 1000)
        self._inbox.reconnect()
        await self.connect()

    async def _wait_until(
        self,
        found: Callable[[], bool],
        what: str,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> None:
        """Wait until `found` returns true or the stream has ended."""
        self._check_use()
        if found():
            return
        seconds = self._timeout if timeout is None else timeout
        try:
            with anyio.move_on_after(seconds), self._resume_reading():
                while not (found() or self._ended.is_set() or self._reached_limit()):
                    await self._changed.wait()
        finally:
            if not found():
                self._inbox.take_rest()
        if found():
            return
        self._raise_error()
        if not self._ended.is_set():
            at_limit = self._bytes_ahead >= READ_AT_MOST
            bound = f"{READ_AT_MOST} bytes" if at_limit else f"{seconds:g} s"
            raise NoEventError(f"no {what} within {bound}; {self._summary()}")

    @contextmanager
    def _resume_reading(self) -> Iterator[None]:
        self._has_waiter, self._bytes_ahead = True, 0
        self._wake()
        try:
            yield
        finally:
            self._has_waiter = False

    def _reached_limit(self) -> bool:
        return self._bytes_ahead >= (READ_AT_MOST if self._has_waiter else READ_AHEAD)

    def _check_use(self) -> None:
        if self._disconnected:
            raise UsageError(f"read after the disconnect; {self._summary()}")
        if self._has_waiter:
            raise UsageError("two tasks wait for events of one stream: only one may wait")

    async def _read(self) -> None:
        """Read until the end of the response, or until cancelled."""
        ended = self._ended
        try:
            with self._reading:
                async for chunk in self.response.aiter_bytes():
                    self._take(chunk)
                    await self._pause_at_limit()
        except Exception as error:
            self._error = error
        finally:
            ended.set()
            self._wake()

    async def _pause_at_limit(self) -> None:
        self._is_paused = True
        while self._reached_limit() and not self._disconnected:
            await self._changed.wait()
        self._is_paused = False
        if self._disconnected:
            self._reading.cancel()

    def _take(self, chunk: bytes) -> None:
        self._body += chunk
        self._bytes_ahead += len(chunk)
        if self._is_event_stream():
            self._inbox.feed(chunk)
        self._wake()

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

    def _summary(self) -> str:
        if self._response is None:
            return "nothing was sent"
        status = f"so far: status {self._response.status_code}, {len(self._body)} bytes"
        if not self._is_event_stream():
            kind = self._response.headers.get("content-type", "of no content-type")
            return f"{status}, {kind}, which is not an event stream: {self.body[:SHOWN]!r}"
        last = [f"\n  {_shown(event)}" for event in self.received[-5:]]
        counts = f"{len(self.comments)} comments, {len(self.received)} events"
        return f"{status}, {counts}{', the last of them:' if last else ''}{''.join(last)}"


def _shown(event: ServerSentEvent) -> str:
    text = str(event.model_dump(exclude_none=True))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
