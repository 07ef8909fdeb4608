"""`AdoptedResponse`: a response that the application makes itself and that may become a stream.

Rules of this file:
- The application runs in its own task, and its `send` is the producer of the stream. Until its
  response turns out to be one to adopt, everything is as it would be without the middleware.
- A response that is not adopted passes unchanged, except that it gets a ``Vary`` if another client
  would get events.
- An application can't be closed like a generator. When its client leaves, an application that
  waits for ``http.disconnect`` reads it and ends by itself, since it may have tasks that only it
  can stop. If one of them goes on sending, its `send` is slowed down, and holds up nothing else.
  The application is only cancelled after `cleanup_timeout`. Any other application is cancelled
  immediately at its ``await``, and once.
- An application that ends within its body while the server stops counts as complete.
- A malformed body raises an error where the application sends it, and again at each later message.
  What came before is sent. The stream fails even if the application catches the error.
"""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, cast

import anyio
from anyio.lowlevel import checkpoint
from asgiref.sync import markcoroutinefunction
from starlette.types import ASGIApp, Message, Scope, Send

from sse_middleware.errors import BodyError
from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.introspection.generators import Stage
from sse_middleware.items.control_frames import ForeignControlFrames
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import AdoptionRules, accept_for, request_line, with_header_list
from sse_middleware.registry.admission import admit, refuse
from sse_middleware.registry.taken_slots import Full
from sse_middleware.request_context import RequestContext
from sse_middleware.stream.abc import Ending
from sse_middleware.stream.connection import Connection, PassesBody
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.stream import Stream, run_stream
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.wire.response_headers import Headers, with_codec

if TYPE_CHECKING:
    from sse_middleware.legacy.bodies.conversion import Conversion

LATE_SEND = 0.5
"""Seconds that a `send` takes long after the client has left. So an application that never stops
sending costs little, and one that stops isn't held up for long."""

_PATHSEND = "http.response.pathsend"
_BODY_EXTENSIONS = frozenset((_PATHSEND, "http.response.zerocopysend"))

_FILE_CHUNK = 64 * 1024
"""Bytes of a file that are read at once."""


class AdoptedResponse(PassesBody):
    """One request whose response may be adopted; the work of its stream.

    Args:
        scope: the request's.
        context: the request's.
        send: the server's `send`.
        rules: say whether the response is adopted.
        route: the `LegacyRoute` that matches the request.
    """

    __slots__ = (
        "_before",
        "_connection",
        "_context",
        "_control",
        "_conversion",
        "_headers",
        "_looks_for_ids",
        "_outbox",
        "_room_lock",
        "_route",
        "_rules",
        "_scope",
        "_send",
        "_stream",
        "_task",
        "unfinished",
    )

    _control: ForeignControlFrames
    _conversion: "Conversion"
    _before: bytes
    _looks_for_ids: bool
    _outbox: Outbox
    _room_lock: anyio.Lock | None

    def __init__(
        self,
        scope: Scope,
        context: RequestContext,
        send: Send,
        rules: AdoptionRules,
        route: LegacyRoute | None,
    ) -> None:
        # Most requests never become streams, so other methods set what only streams need.
        self._headers = headers = scope.get("headers", ())  # an application may set others
        self._scope = _only_bodies(scope, headers, route) if "extensions" in scope else scope
        self._context = context
        self._rules = rules
        self._route = route
        self._stream: Stream | None = None
        self._connection = cast("Connection", context.connection)
        self._connection.sending(send)
        self._send: Send | None = self._before_head
        """Handles the next message. This method is the state of the response. ``None`` passes the
        message on: a bound method would be kept for each stream."""
        self.unfinished = False
        """Whether there is a stream that `finish` must finish when the application has ended."""

    def __repr__(self) -> str:
        return request_line(self._scope)

    def run(self, app: ASGIApp) -> Awaitable[None]:
        """Return what runs the application. On trio that runs its stream, too."""
        self._task = running_asyncio_task()
        if self._task is not None:
            return self._call(app)
        self._stream = self._new_stream()  # trio's scopes must surround the application
        return run_stream(self._stream, partial(self._run_guarded, app))

    def _call(self, app: ASGIApp) -> Awaitable[None]:
        return app(self._scope, self._connection.receive, self._send_message)

    async def _run_guarded(self, app: ASGIApp) -> None:
        try:
            await self._call(app)
        finally:
            self.leave()
        self._end_body()

    def keep(self, error: BaseException) -> bool:
        """Keep what the application has raised, if its stream has to be finished first."""
        if self.unfinished:
            cast("Stream", self._stream).keep(error)
        return self.unfinished

    async def finish(self) -> None:
        """Finish the stream of an application that has ended. Raises what that has raised."""
        stream = cast("Stream", self._stream)
        try:
            if not stream.has_failed:
                self._end_body()
        except BodyError as error:
            stream.keep(error)
        try:
            await stream.finish()
        finally:
            self._stream = None

    def _end_body(self) -> None:
        """End what the application has left unfinished."""
        stream = cast("Stream", self._stream)
        if stream.is_open and not self._outbox.closed:
            if self._conversion.error is not None:
                raise self._conversion.error
            stream.end_unfinished()

    def leave(self) -> None:
        """Take no more messages. A bound method would be a reference cycle, which only gc frees."""
        self._send = None if self._stream is None else _after_end

    def close(self, within: float) -> None:  # noqa: ARG002 - a `Work`
        """Forget the error: its traceback holds this object. The application has ended."""
        self._conversion.error = None

    def stage(self) -> Stage:
        """Return `Stage.PRODUCING`: what the application does can't be known."""
        return Stage.PRODUCING

    def when_idle(self, callback: Callable[[], object]) -> None:
        """Call back at once: the application has ended."""
        callback()

    def past_start(self) -> Send:
        """Return where messages go that neither start nor complete a response. It has started."""
        if self._send is not None:
            return self._send_message
        return self._connection.past_start()

    @markcoroutinefunction
    def _send_message(self, message: Message) -> Awaitable[None]:
        send = self._send
        return self._connection.send(message) if send is None else send(message)

    @markcoroutinefunction
    def _before_head(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            if not self._context.claimed:
                return self._begin(message)
            self._send = None
        return self._connection.send(message)

    def _begin(self, message: Message) -> Awaitable[None]:
        """Begin the response, unchanged or as a stream."""
        message = with_header_list(message)
        if self._route is not None or self._rules.concern(message):
            message, conversion = self._converted(message)
            if conversion is not None:
                return self._open(message, conversion)
        self._send = None
        return self._connection.send(message)

    def _converted(self, message: Message) -> "tuple[Message, Conversion | None]":
        """Return the first message of the response and, if it is adopted, its conversion."""
        accept = accept_for(self._headers, self._route)
        if accept is None and (unconverted := self._rules.unconverted(message)) is not None:
            return unconverted, None
        size = self._context.settings.max_event_size
        return self._rules.converted(message, self._scope, accept or b"*/*", self._route, size)

    async def _open(self, head: Message, conversion: "Conversion") -> None:
        """Open the stream, or refuse it."""
        head, codec = with_codec(
            head, self._scope.get("headers", ()), self._context.settings.codecs
        )
        slot = admit(self._context.registry(), self._scope)
        self._context.claim()
        stream = self._stream = self._stream or self._new_stream()
        self.unfinished = self._task is not None
        if isinstance(slot, Full):
            await self._refuse(slot, stream)
        else:
            self._context.slot = slot
            self._conversion = conversion
            self._room_lock = None
            start = StreamStart(head, codec, slot, at_once=True, cooperative=True)
            self._outbox = stream.open(start, self)
            self._outbox.note_boundary(between_events=conversion.between_events)
            self._looks_for_ids = conversion.between_events  # not where a body is compressed
            self._send = self._convert

    async def _refuse(self, full: Full, stream: Stream) -> None:
        self._send = self._swallow
        await refuse(self._connection.send, full, self._context.settings)
        stream.refuse()
        await checkpoint()  # ends an application that sends from its own task

    def _new_stream(self) -> Stream:
        settings = self._context.settings
        self._control = ForeignControlFrames(self._context.templates.control_of(settings))
        self._before = b""
        return Stream(
            self._connection.send,
            self._connection,
            settings,
            self._control,
            shielding=False,
            running_in=self._task,
        )

    async def _swallow(self, message: Message) -> None:  # noqa: ARG002 - a `Send`
        """Drop a message: the response was refused, and the application may not have noticed."""
        await checkpoint()

    async def _convert(self, message: Message) -> None:
        """Turn a message of the body into events."""
        if message["type"] != "http.response.body" or self._outbox.closed:
            if message["type"] == _PATHSEND and not self._outbox.closed:
                await self._convert_file(message["path"])
            else:
                await self._drop(message)
            return
        conversion, more = self._conversion, message.get("more_body", False)
        body = bytes(message.get("body", b""))
        if more and conversion.error is None and conversion.is_one_event(body):
            if self._add(body, 1, between_events=True):
                await self._wait_for_room()
            return
        if not more:
            self._outbox.awaited = True  # what comes after the body is not cancelled
        awaited = self._outbox.on_boundary is not None  # a farewell waits for the event's end
        for part in conversion.cut_at_end_of_event(body) if awaited else (body,):
            await self._put(conversion.feed(part), more=more)
        if not more:
            await self._put(conversion.end(), more=False)
        if conversion.error is not None:
            raise conversion.error
        if not more:
            self._outbox.close(Ending.COMPLETE)

    async def _convert_file(self, path: str) -> None:
        """Turn a file into events. The server has offered to send it: the client asked for none."""
        async with await anyio.open_file(path, "rb") as file:
            while not self._outbox.closed and (chunk := await file.read(_FILE_CHUNK)):
                await self._convert(
                    {"type": "http.response.body", "body": chunk, "more_body": True}
                )
        await self._convert({"type": "http.response.body", "more_body": False})

    async def _drop(self, message: Message) -> None:
        """Drop a message that is not a body, or comes after the end of the stream."""
        if message["type"] in _BODY_EXTENSIONS:
            raise BodyError(f"{self!r}: a stream can't be sent by {message['type']}")
        if message.get("more_body", False) and cast("Stream", self._stream).is_overdue:
            await anyio.sleep(LATE_SEND)
        await checkpoint()  # the application may send without end

    async def _put(self, slices: Iterable[tuple[bytes, int]], *, more: bool) -> None:
        """Put what a message has become. Other tasks get a turn after each slice."""
        full = None
        for frames, events in slices:
            if full is not None:
                await (self._wait_for_room() if full and more else checkpoint())
            between_events = self._conversion.between_events
            full = bool(frames) and self._add(frames, events, between_events=between_events)
        if more and full:
            await self._wait_for_room()
        elif more and full is None:
            await checkpoint()  # nothing else slows the application down

    def _add(self, frames: bytes, events: int, *, between_events: bool) -> bool:
        """Put frames. Returns whether the next ones must wait for room."""
        full = self._outbox.put(frames, events)
        self._outbox.note_boundary(between_events=between_events)
        if self._looks_for_ids:
            seen = self._before + frames  # a chunk may end within the name of the field
            if b"id:" in seen:  # in data it does no harm
                self._looks_for_ids = False
                self._control.id_sent(within_line=self._before[-1:] not in b"\r\n")
            self._before = b"" if between_events else seen[-2:]
        return full

    async def _wait_for_room(self) -> None:
        if self._room_lock is None:
            self._room_lock = anyio.Lock()
        async with self._room_lock:  # the application may send from several tasks
            await self._outbox.room(closable=False)


async def _after_end(message: Message) -> None:  # noqa: ARG001 - a `Send`
    """Raise in a thread that still sends for the application: nothing else can stop it."""
    await checkpoint()
    raise BrokenPipeError("the request has ended")


def _only_bodies(scope: Scope, headers: Headers, route: LegacyRoute | None) -> Scope:
    """Return a scope in which body messages are the only way to send a body, if it matters."""
    extensions = scope["extensions"] or {}
    if _BODY_EXTENSIONS.isdisjoint(extensions) or accept_for(headers, route) is None:
        return scope
    kept = {name: extensions[name] for name in extensions if name not in _BODY_EXTENSIONS}
    return {**scope, "extensions": kept}
