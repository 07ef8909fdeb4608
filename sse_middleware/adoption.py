"""Adopts a response that the application makes itself: events, or what can become events.

Rules of this file:
- The application runs in its own task, and its `send` is the producer of the stream. Until its
  response turns out to be one that is adopted, all is as without a middleware.
- What is not adopted passes untouched, but for a ``Vary`` where another client would get events.
- An application can't be closed like a generator. When its client leaves, one that waits for
  ``http.disconnect`` reads it and has a moment to end by itself, since it may have tasks that only
  it can stop. Then, and any other at once, it is cancelled at its ``await``, once.
- A body that is malformed fails where the application sends it, and goes on failing. What came
  before is sent. An application that catches the error doesn't keep it from its client.
"""

import logging
from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, cast

import anyio
from anyio.lowlevel import checkpoint
from asgiref.sync import markcoroutinefunction
from starlette.types import ASGIApp, Message, Scope, Send

from sse_middleware.accept import EVENT_STREAM, prefers_events
from sse_middleware.admission import admit, refuse
from sse_middleware.bodies import (
    STREAMING_TYPES,
    AdapterFactory,
    EventStream,
)
from sse_middleware.body_text import BodyFormat
from sse_middleware.conversion import Conversion, EventFields
from sse_middleware.errors import ConfigurationError
from sse_middleware.handover import Handover
from sse_middleware.head import Head, compressed
from sse_middleware.legacy import LegacyRoute, adapter_of
from sse_middleware.outbox import Ending, Outbox
from sse_middleware.payload import OwnFrames
from sse_middleware.registry import Full
from sse_middleware.stream import Stream
from sse_middleware.writer import Opening

logger = logging.getLogger(__name__)

OK = 200

_CONTENT_TYPE = (b"content-type", b"Content-Type")

_BODIES_THAT_PASS_BY = ("http.response.pathsend", "http.response.zerocopysend")


class Adopter:
    """Knows which responses can be adopted. One for each middleware.

    Args:
        adapters: more media types, and what makes their adapters; they count as streams.

    Raises:
        ConfigurationError: there is no such media type or adapter.
    """

    def __init__(self, adapters: Mapping[str, str | AdapterFactory]) -> None:
        self._types = {**STREAMING_TYPES, **_checked(adapters)}
        self._known = frozenset(name.encode() for name in self._types)
        self._reported: set[bytes] = set()

    def converted(
        self,
        message: Message,
        scope: Scope,
        accept: bytes,
        route: LegacyRoute | None,
        max_event_size: int | None = None,
    ) -> tuple[Message, Conversion | None]:
        """Return how a response begins, and what converts its body; ``None`` if nothing does.

        Args:
            message: the ``http.response.start`` that the application sent.
            scope: of the request.
            accept: what the client accepts.
            route: what is configured for the path.
            max_event_size: bytes that a piece of the body may take, if that is less than what the
                route says.
        """
        message = _listed(message)
        headers = Head(message)
        if message["status"] != OK or scope["method"] == "HEAD":
            return message, None
        media_type, charset = headers.content_type()
        if route is not None and route.poll is not None:
            return headers.varied(), None
        factory = self._factory(media_type, headers, route)
        if factory is None or self._is_encoded(headers, scope):
            return message, None
        always = factory is EventStream or (route is not None and route.always)
        if not always and not prefers_events(accept, media_type.encode()):
            return headers.varied(), None
        body = replace(route.body if route else BodyFormat(), charset=charset)
        if max_event_size is not None:
            body = replace(body, max_piece=min(body.max_piece, max_event_size))
        fields = route.fields if route and factory is not EventStream else EventFields()
        conversion = Conversion(factory, body, fields, f"{scope['method']} {scope['path']}")
        if factory is EventStream:
            return headers.of_events(), conversion
        return headers.of_converted(varying=not always), conversion

    def varied(self, message: Message) -> Message:
        """Return the beginning of a response whose client wants no events."""
        # Every response comes through here, so one look must do for what is no stream.
        message = _listed(message)
        for name, value in message.get("headers", ()):
            if name in _CONTENT_TYPE:
                known = value.partition(b";")[0].strip().lower() in self._known
                return self._varied(message) if known else message
        return message

    def _varied(self, message: Message) -> Message:
        headers = Head(message)
        factory = self._factory(headers.content_type()[0], headers, None)
        return message if message["status"] != OK or factory is None else headers.varied()

    def _factory(
        self, media_type: str, headers: Head, route: LegacyRoute | None
    ) -> AdapterFactory | None:
        if media_type == EVENT_STREAM.decode():
            return EventStream
        if route is not None and route.adapter is not None:
            return route.adapter
        factory = self._types.get(media_type)
        whole = media_type.startswith("text/") and headers.get(b"content-length") is not None
        return None if whole and route is None else factory

    def _is_encoded(self, headers: Head, scope: Scope) -> bool:
        encoding = headers.get(b"content-encoding") or b"identity"
        if encoding.strip().lower() == b"identity":
            return False
        if encoding not in self._reported:
            self._reported.add(encoding)
            logger.warning(
                "%s %s has Content-Encoding %s, so it is left as it is: "
                "compress outside of the middleware",
                scope["method"],
                scope["path"],
                encoding.decode("latin-1"),
            )
        return True


class Adoption:
    """One request whose response may be adopted; the source of its stream.

    Args:
        app: the application.
        scope: of the request.
        handover: of the request.
        send: the server's.
        adopter: knows whether the response can be adopted.
        accept: what the client accepts.
        route: what is configured for the path.
    """

    __slots__ = (
        "_accept",
        "_adopter",
        "_app",
        "_connection",
        "_conversion",
        "_direct",
        "_diverted",
        "_ended",
        "_handover",
        "_outbox",
        "_respond",
        "_route",
        "_scope",
        "_stream",
        "_waiting",
    )

    _outbox: Outbox

    def __init__(
        self,
        app: ASGIApp,
        scope: Scope,
        handover: Handover,
        send: Send,
        adopter: Adopter,
        accept: bytes,
        route: LegacyRoute | None,
    ) -> None:
        self._app = app
        self._scope = _without_shortcuts(scope)
        self._handover = handover
        self._direct = send
        self._adopter = adopter
        self._accept = accept
        self._route = route
        self._conversion: Conversion | None = None
        self._ended = False
        self._waiting: anyio.Lock | None = None
        self._diverted = False
        settings = handover.settings
        self._connection = connection = handover.connection
        self._respond = connection.sending(send)
        own = OwnFrames(settings)
        self._stream = Stream(self._respond, connection, settings, own, heeding=True)

    def __repr__(self) -> str:
        return f"{self._scope['method']} {self._scope['path']}"

    def run(self) -> Coroutine[Any, Any, None]:
        """Run the application, and its stream if there is one. Raises what they raise."""
        return self._stream.run(self)

    async def feed(self, stream: Stream) -> None:  # noqa: ARG002 - a `Feed`
        """Run the application."""
        try:
            await self._app(self._scope, self._connection.receive, self._send)
        finally:
            self._ended = True
        if self._conversion is None or self._outbox.closed:
            return
        if self._conversion.error is not None:
            raise self._conversion.error
        self._outbox.close(Ending.BROKEN)

    async def close(self, within: float) -> None:  # noqa: ARG002 - a `Feed`
        """Forget the error, whose traceback holds this object. The application has ended."""
        cast("Conversion", self._conversion).error = None  # the stream is open, so there is one

    @markcoroutinefunction
    def _send(self, message: Message) -> Awaitable[None]:
        if self._diverted:
            return self._take(message)
        kind = message["type"]
        if kind == "http.response.body":  # as `_respond`, without a call more for each message
            more = message.get("more_body", False)
            return self._direct(message) if more else self._connection.finish(message)
        if kind == "http.response.start" and not self._handover.claimed:
            return self._begin(message)
        return self._direct(message)

    async def _begin(self, message: Message) -> None:
        settings = self._handover.settings
        start, conversion = self._adopter.converted(
            message, self._scope, self._accept, self._route, settings.max_event_size
        )
        if conversion is None:
            await self._respond(start)
            return
        self._handover.claim()
        self._diverted = True
        start, codec = compressed(start, self._scope, settings)
        slot = admit(self._handover, self._scope)
        if isinstance(slot, Full):
            await refuse(self._respond, slot, settings)
            self._stream.refuse()
            await checkpoint()  # an application whose task this is ends here
        else:
            self._conversion = conversion
            self._outbox = self._stream.open(Opening(start, codec, slot))

    async def _take(self, message: Message) -> None:
        conversion = self._conversion
        if conversion is None:
            await checkpoint()  # it was refused, and may not have noticed yet
            return
        if message["type"] != "http.response.body" or self._outbox.closed:
            await checkpoint()  # it may go on and on
            if self._ended:  # and a thread of it still does, which nothing else can stop
                raise BrokenPipeError("the request has ended")
            return
        more = message.get("more_body", False)
        frames = conversion.feed(bytes(message.get("body", b"")))
        events = conversion.events
        if not more:
            frames += conversion.end()
            events += conversion.events
        full = frames and self._outbox.put(frames, events)
        if conversion.error is not None:
            raise conversion.error
        if not more:
            self._outbox.close(Ending.COMPLETE)
        elif full:
            await self._room()
        elif not frames:
            await checkpoint()  # nothing else slows it down

    async def _room(self) -> None:
        if self._waiting is None:
            self._waiting = anyio.Lock()
        async with self._waiting:  # one at a time, whatever tasks the application sends from
            await self._outbox.room(closable=False)


def _checked(adapters: Mapping[str, str | AdapterFactory]) -> dict[str, AdapterFactory]:
    for media_type in adapters:
        if not isinstance(media_type, str) or media_type.count("/") != 1:
            raise ConfigurationError(f"adapters must be for media types, got {media_type!r}")
    return {
        media_type.lower(): adapter_of(f"the adapter of {media_type}", factory)
        for media_type, factory in adapters.items()
    }


def _listed(message: Message) -> Message:
    """Return a message whose headers can be read more than once."""
    if isinstance(message.get("headers", ()), list | tuple):
        return message
    return {**message, "headers": list(message["headers"])}


def _without_shortcuts(scope: Scope) -> Scope:
    """Return a scope that offers no way to send a body but by messages."""
    extensions = scope.get("extensions") or {}
    if not any(name in extensions for name in _BODIES_THAT_PASS_BY):
        return scope
    kept = {name: extensions[name] for name in extensions if name not in _BODIES_THAT_PASS_BY}
    return {**scope, "extensions": kept}
