"""`AdoptedResponse`: a response that the application makes itself and that becomes a stream.

Rules of this file:
- The application runs in its own task, and its `send` is the producer of the stream. Until its
  response turns out to be one to adopt, everything is as it would be without the middleware.
- A response that is not adopted passes unchanged, except that it gets a ``Vary`` where another
  client would get events.
- An application can't be closed like a generator. When its client leaves, an application that waits
  for ``http.disconnect`` reads it and has a moment to end by itself, since it may have tasks that
  only it can stop. Then it is cancelled at its ``await``, once. Any other application is cancelled
  at once.
- A malformed body raises an error where the application sends it, and again at each later message.
  What came before is sent. The stream fails even if the application catches the error.
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, cast

import anyio
from anyio.lowlevel import checkpoint
from asgiref.sync import markcoroutinefunction
from starlette.types import ASGIApp, Message, Scope, Send

from sse_middleware.items.control_frames import ConfiguredControlFrames
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import AdoptionRules
from sse_middleware.registry.admission import admit, refuse
from sse_middleware.registry.slots import Full
from sse_middleware.request_context import RequestContext
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.opening import Opening
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.stream import Stream
from sse_middleware.wire.response_headers import compressed

if TYPE_CHECKING:
    from sse_middleware.legacy.conversion import Conversion

_BODY_EXTENSIONS = ("http.response.pathsend", "http.response.zerocopysend")


class AdoptedResponse:
    """One request whose response may be adopted. It is also the `StreamWork` of its stream.

    Args:
        app: the application.
        scope: of the request.
        context: of the request.
        send: the server's `send`.
        rules: decide whether the response is adopted.
        accept: the ``Accept`` of the request.
        route: the `LegacyRoute` that matches the request.
    """

    __slots__ = (
        "_accept",
        "_app",
        "_context",
        "_conversion",
        "_outbox",
        "_room_lock",
        "_route",
        "_rules",
        "_scope",
        "_send",
        "_send_to_client",
        "_stream",
    )

    _outbox: Outbox

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        context: RequestContext,
        send: Send,
        rules: AdoptionRules,
        accept: bytes,
        route: LegacyRoute | None,
    ) -> None:
        self._app = app
        self._scope = _without_body_extensions(scope)
        self._context = context
        self._rules = rules
        self._accept = accept
        self._route = route
        self._conversion: Conversion | None = None
        self._room_lock: anyio.Lock | None = None
        self._send_to_client = context.connection.sending(send)
        self._send: Send = self._before_head
        """Handles the next message. This method is the state of the response."""
        settings = context.settings
        control = ConfiguredControlFrames(settings)
        self._stream = Stream(
            self._send_to_client, context.connection, settings, control, cooperative=True
        )

    def __repr__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    def respond(self) -> Awaitable[None]:
        """Run the application and, if there is one, its stream. Raises what they raise."""
        return self._stream.run(self)

    async def run(self, stream: Stream) -> None:  # noqa: ARG002 - a `StreamWork`
        """Run the application."""
        try:
            await self._app(self._scope, self._context.connection.receive, self._send_message)
        finally:
            # A bound method here would be a reference cycle, which only a garbage collection frees.
            self._send = self._send_to_client if self._conversion is None else _after_end
        if self._conversion is None or self._outbox.closed:
            return
        if self._conversion.error is not None:
            raise self._conversion.error
        self._outbox.close(Ending.BROKEN)

    async def close(self, within: float) -> None:  # noqa: ARG002 - a `StreamWork`
        """Forget the error: its traceback holds this object. The application has ended."""
        cast("Conversion", self._conversion).error = None  # the stream is open, so there is one

    @markcoroutinefunction
    def _send_message(self, message: Message) -> Awaitable[None]:
        return self._send(message)

    @markcoroutinefunction
    def _before_head(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            if not self._context.claimed:
                return self._begin(message)
            self._send = self._send_to_client
        return self._send_to_client(message)

    async def _begin(self, message: Message) -> None:
        settings = self._context.settings
        start, conversion = self._rules.converted(
            message, self._scope, self._accept, self._route, settings.max_event_size
        )
        if conversion is None:
            self._send = self._send_to_client
            await self._send_to_client(start)
            return
        self._context.claim()
        self._send = self._swallow
        start, codec = compressed(start, self._scope["headers"], settings.codecs)
        slot = admit(self._context.registry(), self._scope)
        if isinstance(slot, Full):
            await refuse(self._send_to_client, slot, settings)
            self._stream.refuse()
            await checkpoint()  # ends an application that sends from its own task
            return
        self._context.slot = slot
        self._conversion = conversion
        self._outbox = self._stream.open(Opening(start, codec, slot))
        self._send = self._convert

    async def _swallow(self, message: Message) -> None:  # noqa: ARG002 - a `Send`
        """Drop a message: the response was refused, and the application may not have noticed."""
        await checkpoint()

    async def _convert(self, message: Message) -> None:
        """Turn a message of the body into events."""
        conversion, outbox = cast("Conversion", self._conversion), self._outbox
        if message["type"] != "http.response.body" or outbox.closed:
            await checkpoint()  # the application may send without end
            return
        more = message.get("more_body", False)
        frames = conversion.feed(bytes(message.get("body", b"")))
        events = conversion.events
        if not more:
            frames += conversion.end()
            events += conversion.events
        full = frames and outbox.put(frames, events)
        if conversion.error is not None:
            raise conversion.error
        if not more:
            outbox.close(Ending.COMPLETE)
        elif full:
            await self._wait_for_room()
        elif not frames:
            await checkpoint()  # nothing else slows the application down

    async def _wait_for_room(self) -> None:
        if self._room_lock is None:
            self._room_lock = anyio.Lock()
        async with self._room_lock:  # the application may send from several tasks
            await self._outbox.room(closable=False)


async def _after_end(message: Message) -> None:  # noqa: ARG001 - a `Send`
    """Raise in a thread of the application that still sends: nothing else can stop it."""
    await checkpoint()
    raise BrokenPipeError("the request has ended")


def _without_body_extensions(scope: Scope) -> Scope:
    """Return a scope in which body messages are the only way to send a body."""
    extensions = scope.get("extensions") or {}
    if not any(name in extensions for name in _BODY_EXTENSIONS):
        return scope
    kept = {name: extensions[name] for name in extensions if name not in _BODY_EXTENSIONS}
    return {**scope, "extensions": kept}
