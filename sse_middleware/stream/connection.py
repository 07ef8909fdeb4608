"""The connection of one request, as the application may see it: a latch on its end.

Rules of this file:
- Servers differ in how often they report a disconnect. Two of them report it once, and `receive`
  then blocks for ever. Here every caller is told, as often as it asks.
- From the opening of a stream on, `watch` is the only reader of the server's `receive`. If the
  application is reading at that moment, `watch` waits for it. What it reads of the request's body
  it keeps for the application, up to a bound. Then it reads on when the application does.
- A complete response ends the connection, whatever completed it: a middleware that answered in the
  application's place ends the stream too.
"""

from collections.abc import Awaitable, Callable

import anyio
from asgiref.sync import markcoroutinefunction
from starlette.types import Message, Receive, Send

UNREAD_BODY_BOUND = 64 * 1024
"""Bytes of a request's body that are kept for an application that has not read them yet: what
servers keep themselves. Beyond it a disconnect is only noticed when the application reads on."""


def _nothing() -> None:
    """Do nothing: there is no watcher."""


class Connection:
    """One request's `receive`, for the application and for a stream.

    ``complete`` tells whether the whole response has been sent.

    Args:
        receive: the server's.
        shared: whether the application reads through this object too. If not, a message that the
            watcher takes is lost to it.
    """

    # Each request has one, and few become streams: what is as yet unset costs nothing here.
    complete = False
    _end: Message | None = None
    _watched = False
    _readers = 0
    _waiting = 0
    _size = 0
    _changed: anyio.Event | None = None
    _unread: list[Message] | None = None

    def __init__(self, receive: Receive, *, shared: bool = True) -> None:
        self.shared = shared
        self._receive = receive
        self._on_end: Callable[[], object] = _nothing

    @property
    def awaited(self) -> bool:
        """Whether the application waits for a message."""
        return self._waiting > 0

    @property
    def end_was_read(self) -> bool:
        """Whether the end has come, and the application waits for it."""
        return self._waiting > 0 and self._end is not None

    async def receive(self) -> Message:
        """As the server's `receive`, but with an end that lasts."""
        self._waiting += 1
        try:
            return await self._message()
        finally:
            self._waiting -= 1

    async def _message(self) -> Message:
        while self._watched and not self._unread and self._end is None:
            await self._change()
        if self._unread:
            return self._next_unread(self._unread)
        if self._end is not None:
            return self._end
        self._readers += 1
        try:
            return self._note(await self._receive())
        finally:
            self._readers -= 1
            self._wake()

    def sending(self, send: Send, begin: Callable[[Message], Message] | None = None) -> Send:
        """Return the one `send` that sees when the response is complete.

        Args:
            send: the server's.
            begin: what the ``http.response.start`` is replaced by, if it is.
        """
        self._send, self._begin = send, begin
        return self._observed

    @markcoroutinefunction
    def _observed(self, message: Message) -> Awaitable[None]:
        # No coroutine of our own around every message but the last. Marked as what it stands for,
        # since asgiref warns of a `send` that is no coroutine function.
        kind = message["type"]
        if kind == "http.response.body":
            more = message.get("more_body", False)
            return self._send(message) if more else self.finish(message)
        if self._begin is not None and kind == "http.response.start":
            message = self._begin(message)
        return self._send(message)

    async def finish(self, message: Message) -> None:
        """Send the last message of the response."""
        await self._send(message)
        self.complete = True
        self._ended({"type": "http.disconnect"})

    async def watch(self, on_end: Callable[[], object]) -> None:
        """Read until the end of the connection, and call `on_end` once it has come."""
        self._on_end = on_end
        self._watched = True
        if self._end is not None:
            on_end()
        try:
            while self._end is None:
                if self._readers or self._size >= UNREAD_BODY_BOUND:
                    await self._change()
                else:
                    self._keep(self._note(await self._receive()))
        finally:
            self._on_end = _nothing
            self._watched = False
            self._wake()

    def _note(self, message: Message) -> Message:
        if message["type"] in ("http.disconnect", "websocket.disconnect"):
            self._ended(message)
        return message

    def _ended(self, message: Message) -> None:
        if self._end is None:
            self._end = message
            self._on_end()
            self._wake()

    def _keep(self, message: Message) -> None:
        if message is not self._end:
            if self._unread is None:
                self._unread = []
            self._unread.append(message)
            self._size += len(message.get("body", b""))
            self._wake()

    def _next_unread(self, unread: list[Message]) -> Message:
        message = unread.pop(0)
        self._size -= len(message.get("body", b""))
        self._wake()
        return message

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
