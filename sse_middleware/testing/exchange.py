"""`Exchange`: an ASGI server in memory, for one request. The response can be read as it comes.

Rules of this file:
- It behaves as servers do. `send` waits while too much is unread, and raises nothing once the
  client has left. `receive` returns ``http.disconnect`` as often as it is called.
- If the application sends more than is read, `send` lets other tasks run. Once the client has left,
  it also takes some time, so that an endless application reaches its timeout.
- A message that ASGI doesn't allow at this point raises an error where it is sent.
- Every wait for the application has a timeout, and the error says what it waited for.
- A test that is cancelled disconnects like any other: the application is shielded from the
  cancellation.
- What the application raises is raised where the client notices: instead of the head, after the
  last chunk, or at the end.
"""

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, NoReturn

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled
from starlette.types import ASGIApp, Message, Scope

from sse_middleware.testing.errors import NoAnswerError, ProtocolError, StillRunningError

WINDOW = 64 * 1024
"""Unread bytes of a response at which `send` begins to wait: about the default of servers."""

PATIENCE = 10.0
"""Seconds that an application has for its status line, and to end after a disconnect. Twice as long
as the cleanup of a stream may take."""

SEND_AFTER_DISCONNECT = 0.001
"""Seconds that each `send` takes once the client has left, so that `PATIENCE` runs out."""


@dataclass(frozen=True, slots=True)
class ReceivedHead:
    """The ``http.response.start`` of a response."""

    status: int
    headers: list[tuple[bytes, bytes]]


class Exchange:
    """Serves one request, and holds the response for the client.

    Args:
        app: the application.
        scope: the request's scope.
        body: the chunks of the request's body.
        window: unread bytes of the response at which `send` begins to wait.
        patience: seconds that the application has for its status line, and to end.
    """

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        body: AsyncGenerator[bytes, None],
        *,
        window: int = WINDOW,
        patience: float = PATIENCE,
    ) -> None:
        self.disconnected = False
        """Whether the client has left."""
        self.ended = False
        """Whether the application has ended."""
        self._app = app
        self._scope = scope
        self._body = body
        self._window = window
        self._patience = patience
        self._upload: deque[Message] = deque()
        self._head: ReceivedHead | None = None
        self._chunks: deque[bytes] = deque()
        self._unread = self._sent_since_read = 0
        self._complete = self._receiving = self._sending = False
        self._error: Exception | None = None
        self._changed = anyio.Event()
        self._serving = anyio.CancelScope(shield=True)

    def __repr__(self) -> str:
        return f"<{self._request}: {'ended' if self.ended else 'running'}, {self._progress()}>"

    async def serve(self) -> None:
        """Run the application until it ends. Keeps what it raises for the client."""
        try:
            with self._serving:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._send_body)
                    await self._run()
                    tasks.cancel_scope.cancel()
        finally:
            self.ended = True
            self._wake()

    async def head(self) -> ReceivedHead:
        """Wait for the status line.

        Raises:
            NoAnswerError: it did not come in time, or the application ended without one.
            Exception: what the application raised before it.
        """
        with anyio.move_on_after(self._patience):
            await self._wait_until(lambda: self._head is not None or self.ended)
        if self._head is not None:
            return self._head
        self._raise_error()
        if self.ended:
            raise NoAnswerError(f"{self._request} ended without http.response.start")
        raise NoAnswerError(
            f"{self._request}: no http.response.start within patience={self._patience:g} s; "
            f"the application {self._activity()}"
        )

    async def chunk(self) -> bytes:
        """Wait for the next chunk of the body. Returns ``b""`` at its end.

        Raises:
            ProtocolError: the application ended without the last message of the body.
            Exception: what the application raised after the last chunk.
        """
        await checkpoint_if_cancelled()
        await self._wait_until(lambda: bool(self._chunks) or self._complete or self.ended)
        if self._chunks:
            chunk = self._chunks.popleft()
            self._unread -= len(chunk)
            self._sent_since_read = 0
            self._wake()
            return chunk
        if not self._complete:
            self._raise_error()
            if not self.disconnected:
                raise ProtocolError(f"{self._request} ended without its last http.response.body")
        return b""

    def leave(self) -> None:
        """Disconnect the client, without waiting for the application."""
        self.disconnected = True
        self._wake()

    async def disconnect(self, *, silent: bool = False) -> None:
        """Disconnect the client, and wait until the application has ended.

        Args:
            silent: raise nothing now, and leave the error to the next call.

        Raises:
            StillRunningError: the application did not end in time.
            Exception: what the application raised, unless this was raised before.
        """
        self.leave()
        with anyio.move_on_after(self._patience, shield=True):
            await self._wait_until(lambda: self.ended)
        if not self.ended:
            self._serving.cancel()
            self._error = self._error or StillRunningError(
                f"{self._request} is still running patience={self._patience:g} s after its client "
                f"has left: the application {self._activity()}"
            )
        if not silent:
            self._raise_error()

    @property
    def failed(self) -> bool:
        """Whether there is an error that has not been raised yet."""
        return self._error is not None

    @property
    def _request(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    async def _run(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as error:
            self._error = self._error or error

    async def _send_body(self) -> None:
        """Offer the body of the request chunk by chunk, as the application reads it."""
        try:
            async with aclosing(self._body):
                async for chunk in self._body:
                    if chunk:  # servers don't pass on empty ones
                        await self._offer(chunk, more=True)
        except Exception as error:
            self._error = error
            self._serving.cancel()
        else:
            await self._offer(b"", more=False)

    async def _offer(self, chunk: bytes, *, more: bool) -> None:
        await self._wait_until(lambda: not self._upload)
        self._upload.append({"type": "http.request", "body": chunk, "more_body": more})
        self._wake()

    async def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _activity(self) -> str:
        if self._sending:
            return "waits in send()"
        if self._receiving:
            return "waits in receive()"
        return "waits neither in receive() nor in send()"

    def _progress(self) -> str:
        if self._head is None:
            return "before http.response.start"
        return "after its last http.response.body" if self._complete else "within its body"

    async def _receive(self) -> Message:
        self._receiving = True
        try:
            await self._wait_until(
                lambda: bool(self._upload) or self.disconnected or self._complete
            )
        finally:
            self._receiving = False
        if not self._upload or self.disconnected:
            return {"type": "http.disconnect"}
        message = self._upload.popleft()
        self._wake()
        return message

    async def _send(self, message: Message) -> None:
        match message.get("type"):
            case "http.response.start" if self._head is None:
                self._head = self._checked_head(message)
                self._wake()
            case "http.response.body" if self._head is not None and not self._complete:
                await self._take(self._checked_body(message), more=message.get("more_body", False))
            case kind:
                self._refuse(f"{kind!r} {self._progress()}")

    async def _take(self, body: bytes, *, more: bool) -> None:
        self._complete = not more
        self._sent_since_read += 1
        if body and not self.disconnected and self._scope["method"] != "HEAD":
            self._chunks.append(body)
            self._unread += len(body)
        self._wake()
        self._sending = True
        try:
            await self._let_others_run()
            await self._wait_until(lambda: self._unread < self._window or self.disconnected)
        finally:
            self._sending = False

    async def _let_others_run(self) -> None:
        if self.disconnected:
            await anyio.sleep(SEND_AFTER_DISCONNECT)
        elif self._sent_since_read > 1:
            await checkpoint()

    def _checked_head(self, message: Message) -> ReceivedHead:
        status, headers = message.get("status"), message.get("headers", ())
        if not isinstance(status, int) or isinstance(status, bool):
            self._refuse(f"status={status!r}, which must be an int")
        if not isinstance(headers, Iterable):
            self._refuse(f"headers={headers!r}, which must be pairs of bytes")
        return ReceivedHead(int(status), [self._checked_header(header) for header in headers])

    def _checked_header(self, header: Any) -> tuple[bytes, bytes]:
        if not isinstance(header, list | tuple) or [*map(type, header)] != [bytes, bytes]:
            self._refuse(f"the header {header!r}, which must be a pair of bytes")
        name, value = header
        return name, value

    def _checked_body(self, message: Message) -> bytes:
        body: Any = message.get("body", b"")
        if not isinstance(body, bytes | bytearray | memoryview):
            self._refuse(f"body={body!r}, which must be bytes")
        return bytes(body)

    def _refuse(self, what: str) -> NoReturn:
        """Raise where the message was sent. The client gets the error even if this is caught."""
        self._error = self._error or ProtocolError(f"{self._request} sent {what}")
        raise self._error
