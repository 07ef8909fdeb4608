"""`Connection`: the `receive` and `send` of one request, with a latch on the disconnect.

Rules of this file:
- Servers differ in how often they report a disconnect. Two of them report it once, and `receive`
  then blocks for ever. Here every caller gets the disconnect, as often as it asks.
- Once a stream has opened, `watch` is the only reader of the server's `receive`. If the application
  is reading at that moment, `watch` waits for it.
- `watch` keeps what it reads of the request's body for the application, joined, up to a bound. At
  the bound it waits for the application to read, for a bounded time. Then it drops the rest, and
  reads on: nothing that a client sends may hide that it has left. An application that reads what
  was dropped gets an error.
- A complete response ends the connection, whatever completed it. So if a middleware answers in
  place of the application, the stream ends too.
- What passes messages on, and has nothing to do for most of them, is left out for these: it would
  cost a fifth of an event for many subscribers.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from types import MethodType
from typing import Protocol

import anyio
from anyio.lowlevel import checkpoint
from asgiref.sync import markcoroutinefunction
from starlette.types import Message, Receive, Send

from sse_middleware.errors import RequestBodyError
from sse_middleware.event_loop.loop import call_later
from sse_middleware.introspection.send_wrappers import inside_wrappers
from sse_middleware.introspection.server_receive import is_servers_own

UNREAD_BODY_BOUND = 64 * 1024
"""Bytes of a request's body that are kept until the application reads them: as many as servers
keep."""

UNREAD_PATIENCE = 1.0
"""Seconds that a body over the bound waits for an application that has read nothing of it."""

READER_PATIENCE = 30.0
"""Seconds that it waits for one that has read some of the body: time to work on a piece."""

OTHERS_BOUND = 16
"""How many messages of other types are kept. No server sends more than one."""

MESSAGES_A_PASS = 32
"""How many messages are read before other tasks get a turn."""

_DISCONNECTS = frozenset(("http.disconnect", "websocket.disconnect"))

_DROPPED = (
    f"more than {UNREAD_BODY_BOUND} bytes of the request's body were not read while its stream was "
    "open, so the rest was dropped: read the body before the first event"
)


async def _disconnected() -> Message:
    """Be the `receive` of a request that has ended."""
    return {"type": "http.disconnect"}


class Watcher(Protocol):
    """Is told of the end of a connection."""

    def connection_lost(self) -> None:
        """Notice the end of the connection."""

    def fail(self, error: BaseException) -> None:
        """Notice that the end of the connection can't be known."""


class PassesBody:
    """Has a method that is a `send`, and does nothing to most messages of a body."""

    __slots__ = ()

    past_start: Callable[[], Send]
    """Returns where messages go that neither start nor complete a response."""


def past_start(send: Send) -> Send:
    """Return where messages go that neither start nor complete a response. It has started."""
    send = inside_wrappers(send)
    owner = send.__self__ if type(send) is MethodType else None  # a proxy has a `__self__`, too
    return owner.past_start() if isinstance(owner, PassesBody) else send


class Connection(PassesBody):
    """The `receive` and `send` of one request, shared by the application and a stream.

    ``complete`` says whether the whole response has been sent.

    Args:
        receive: the server's `receive`.
        shared: whether the application reads through this object, too. If not, the application
            never sees a message that the watcher takes.
    """

    # Each request makes one of these, and few become streams. Class attributes cost nothing here.
    complete = False
    _end: Message | None = None
    _watcher: Watcher | None = None
    _readers = 0
    _waiting = 0
    _changed: anyio.Event | None = None
    _body: bytearray | None = None  # what was read of the body and not by the application
    _body_ended = False  # whether `_body` is the end of the body
    _has_read = False
    _dropped = False
    _others: deque[Message] | None = None

    def __init__(self, receive: Receive, *, shared: bool = True) -> None:
        self.shared = shared
        self._receive = receive

    def needs_own_task(self) -> bool:
        """Whether only one task can go on with `watch`: it doesn't read from the server itself."""
        return not is_servers_own(self._receive)

    def leave(self) -> None:
        """Read nothing more from the server: the request has ended."""
        self._receive = _disconnected

    @property
    def awaited(self) -> bool:
        """Whether the application is waiting for a message."""
        return self._waiting > 0

    @property
    def end_was_read(self) -> bool:
        """Whether the disconnect has come, and the application is about to read it."""
        return self._waiting > 0 and self._end is not None

    async def receive(self) -> Message:
        """Receive as from the server, but the disconnect can be read any number of times."""
        self._waiting += 1
        try:
            return await self._next_message()
        finally:
            self._waiting -= 1

    async def _next_message(self) -> Message:
        while self._watcher and not (self._has_unread() or self._dropped or self._end):
            await self._wait_for_change()
        if self._has_unread():
            return self._next_unread()
        if self._end is not None:
            return self._end
        if self._dropped:
            raise RequestBodyError(_DROPPED)
        self._readers += 1
        try:
            return self._observe(await self._receive())
        finally:
            self._readers -= 1
            self._wake()

    def sending(self, send: Send) -> Send:
        """Let `send` call another one, and return it. Replaces an earlier one.

        Args:
            send: the server's `send`.
        """
        self._send = send
        return self.send

    @markcoroutinefunction
    def send(self, message: Message) -> Awaitable[None]:
        """Send to the server, and notice when the response is complete."""
        # Only the last message needs a coroutine of our own. The mark is for asgiref, which warns
        # about a `send` that is not a coroutine function.
        if message.get("more_body") or message["type"] != "http.response.body":
            return self._send(message)
        return self.finish(message)

    def past_start(self) -> Send:
        """Return where messages go that neither start nor complete a response. It has started."""
        return past_start(self._send)

    async def finish(self, message: Message) -> None:
        """Send the last message of the response."""
        await self._send(message)
        self.complete = True
        self._latch_end({"type": "http.disconnect"})

    async def watch(self, watcher: Watcher) -> None:
        """Read until the connection ends, and tell a watcher. Raises nothing."""
        # One coroutine: it is what an idle stream keeps.
        self._watcher = watcher
        read = 0
        try:
            if self._end is not None:
                watcher.connection_lost()
            while self._end is None:
                if self._readers:
                    await self._wait_for_change()
                elif self._body is not None and self._is_over_the_bound():
                    await self._wait_for_reader()
                else:
                    self._note(await self._receive())
                    read += 1
                    if not read % MESSAGES_A_PASS:
                        await checkpoint()
        except Exception as error:
            watcher.fail(error)
        finally:
            self._watcher = None
            self._wake()

    def _note(self, message: Message) -> None:
        kind = message["type"]
        if kind in _DISCONNECTS:
            self._latch_end(message)
            return
        if kind == "http.request":
            self._keep_body(message.get("body", b""), ends=not message.get("more_body", False))
        else:
            self._others = self._others or deque(maxlen=OTHERS_BOUND)
            self._others.append(message)
        self._wake()

    def _is_over_the_bound(self) -> bool:
        return not self._dropped and self._body is not None and len(self._body) >= UNREAD_BODY_BOUND

    async def _wait_for_reader(self) -> None:
        """Wait until the application reads, and drop what comes later if it doesn't."""
        # No scope: another task may go on with `watch`.
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            self._wake()

        cancel = call_later(READER_PATIENCE if self._has_read else UNREAD_PATIENCE, give_up)
        try:
            while self._is_over_the_bound() and not late:
                await self._wait_for_change()
        finally:
            cancel()
        self._dropped = self._is_over_the_bound()

    def _observe(self, message: Message) -> Message:
        if message["type"] in _DISCONNECTS:
            self._latch_end(message)
        return message

    def _latch_end(self, message: Message) -> None:
        if self._end is None:
            self._end = message
            if self._watcher is not None:
                self._watcher.connection_lost()
            self._wake()

    def _keep_body(self, body: bytes, *, ends: bool) -> None:
        if self._dropped:
            return
        if body:
            self._body = self._body or bytearray()
            self._body += body
        self._body_ended = ends

    def _has_unread(self) -> bool:
        return bool(self._body or self._body_ended or self._others)

    def _next_unread(self) -> Message:
        if self._others:
            return self._others.popleft()
        body, ended = bytes(self._body or b""), self._body_ended
        self._body, self._body_ended, self._has_read = None, False, True
        self._wake()
        return {"type": "http.request", "body": body, "more_body": not ended}

    async def _wait_for_change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
