"""`EventSourceResponse`: marks a response as a stream of events, and opens it.

Everything that happens to the items happens in `payload`, `iterables` and `stream`; here they are
put together.
"""

from collections.abc import AsyncIterable, Coroutine, Iterable, Mapping
from inspect import isasyncgen
from typing import Any, Literal, Unpack

from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sse_middleware.admission import admit, refuse
from sse_middleware.connection import Connection
from sse_middleware.default import DEFAULT, Default
from sse_middleware.handover import Handover
from sse_middleware.head import compressed, with_defaults
from sse_middleware.item_type import ItemType, ItemTypes
from sse_middleware.iterables import Source, source_of
from sse_middleware.payload import Encoder, OwnFrames
from sse_middleware.registry import Full, Policy, Registry, Slot
from sse_middleware.routing import dump_options
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.stream import Stream
from sse_middleware.writer import Opening

_WITHOUT_BODY = ("GET", "HEAD", None)  # None: a WebSocket handshake


class EventSourceResponse(StreamingResponse):
    """A response whose body is the events that an iterable yields.

    As ``response_class`` it tags a FastAPI endpoint that yields; it may be returned from any
    endpoint, or called as an ASGI application. Under `SSEMiddleware` the middleware's settings
    hold, without it the defaults.

    Args:
        content: an iterable or asynchronous iterable of items: `ServerSentEvent`, ``None`` for a
            keep-alive, or data. A synchronous one is pulled in a worker thread.
        status_code: of the response. A browser's ``EventSource`` accepts nothing but 200, and takes
            204 for the polite way to say that it shall not come back.
        headers: added to ``Content-Type``, ``Cache-Control: no-cache`` and
            ``X-Accel-Buffering: no``; one of these names replaces the default.
        media_type: in place of ``text/event-stream``.
        background: run after the stream, also after a disconnect; not after an error.
        item_type: validate and filter data as this type. By default what the return annotation of
            the endpoint that yields names; ``Any`` for neither.
        settings: the fields of `StreamSettings`, over those of the middleware.

    Raises:
        TypeError: `content` can't be iterated, or is a string, bytes, a mapping or a model, whose
            iteration would give characters or keys.
        ConfigurationError: an unknown setting, or a value that can't work.
    """

    media_type = "text/event-stream"

    # FastAPI reads the default of status_code from this very signature.
    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
        item_type: Any = DEFAULT,
        **settings: Unpack[StreamOptions],
    ) -> None:
        self.body_iterator = _checked(content)
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        self.init_headers(headers)
        self.overrides = Overrides(settings)  # refused here if it can't work, whatever is below
        """Its settings, over those of the middleware."""
        self._item_type: ItemType | Literal[Default.DEFAULT] | None = (
            item_type
            if item_type is None or item_type is DEFAULT or isinstance(item_type, ItemType)
            else ItemType.declared(item_type)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, then run the background task.

        ``HEAD`` and a status without a body (204) are answered without starting the stream.
        """
        handover = Handover.find(scope)
        if handover is None:
            shared = scope.get("method") in _WITHOUT_BODY
            alone = Registry(Policy(drain=False))
            connection = Connection(receive, shared=shared)
            handover = Handover(connection, StreamSettings(), ItemTypes(), lambda: alone)
        handover.claim()
        if scope["type"] == "websocket":
            send = _as_denial(send)
        if scope.get("method") == "HEAD" or not _may_have_body(self.status_code):
            await self._send_head(send, self.overrides.over(handover.settings))
        elif (stream := await self._admitted(scope, send, handover)) is not None:
            await stream
        if self.background is not None:
            await self.background()

    async def _admitted(
        self, scope: Scope, send: Send, handover: Handover
    ) -> Coroutine[Any, Any, None] | None:
        """Return the stream that is to run, or refuse it."""
        settings = self.overrides.over(handover.settings)
        own = self._own(settings)
        source = source_of(self.body_iterator, self._encoder(scope, handover, settings, own))
        admitted = False
        try:
            start, codec = compressed(self._start(settings), scope, settings)
            slot = self._admit(handover, scope)
            admitted = isinstance(slot, Slot)
        finally:
            if not admitted:
                await source.close(settings.cleanup_timeout)
        if isinstance(slot, Full):
            await refuse(send, slot, settings)
            return None
        kind = _Opened if settings.preset is None else _Framed
        opened = kind(source, Opening(start, codec, slot), own)
        return Stream(send, handover.connection, settings, own).run(opened)

    def _admit(self, handover: Handover, scope: Scope) -> Slot | Full:
        return admit(handover, scope)

    def _own(self, settings: StreamSettings) -> OwnFrames:
        return OwnFrames(settings)

    def _encoder(
        self, scope: Scope, handover: Handover, settings: StreamSettings, own: OwnFrames
    ) -> Encoder:
        item_type = self._item_type
        if item_type is DEFAULT:
            item_type = handover.item_types.of(scope.get("endpoint"))
        options = None if item_type is None else dump_options(scope.get("route"))
        if item_type is not None and options:
            item_type = item_type.dumped_with(options)
        return Encoder(settings, own.ping, item_type, origin_of(scope, self.body_iterator))

    async def _send_head(self, send: Send, settings: StreamSettings) -> None:
        await send(self._start(settings))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        unused = Encoder(settings, bytes, None, "")
        await source_of(self.body_iterator, unused).close(settings.cleanup_timeout)

    def _start(self, settings: StreamSettings) -> Message:
        preset = () if settings.preset is None else settings.preset.raw_headers
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": with_defaults(self.raw_headers, preset),
        }


class _Opened:
    """A source whose stream is open from the beginning."""

    __slots__ = ("_opening", "_own", "_source", "close")

    def __init__(self, source: Source, opening: Opening, own: OwnFrames) -> None:
        self._source = source
        self._own = own
        self._opening = opening
        self.close = source.close

    def __repr__(self) -> str:
        return repr(self._source)

    def feed(self, stream: Stream) -> Coroutine[Any, Any, None]:
        return self._source.feed(stream.open(self._opening))


class _Framed(_Opened):
    """Such a source, between what its preset begins and ends a stream with."""

    __slots__ = ()

    async def feed(self, stream: Stream) -> None:
        outbox = stream.open(self._opening)
        if first := self._own.first():
            outbox.put(first)
        await self._source.feed(outbox)
        if last := self._own.last():
            outbox.put(last)  # to nowhere, if the stream was ended early


def _may_have_body(status: int) -> bool:
    return status >= 200 and status not in (204, 304)  # noqa: PLR2004 - RFC 9110, 6.4.1


def _checked(content: Any) -> Any:
    if isasyncgen(content):  # as most are
        return content
    if isinstance(content, str | bytes | bytearray | memoryview | Mapping | BaseModel):
        raise TypeError(
            f"content must yield items, but a {type(content).__name__} would yield its parts; "
            "to send it as one event, put it into a list"
        )
    if not isinstance(content, AsyncIterable | Iterable):
        raise TypeError(f"content must be an iterable or an asynchronous iterable, got {content!r}")
    return content


def origin_of(scope: Scope, content: Any) -> str:
    """Return what errors call the origin of a stream's items."""
    origin = scope.get("endpoint") or content
    if not hasattr(origin, "__qualname__"):
        origin = type(origin)
    return ".".join(filter(None, (getattr(origin, "__module__", None), origin.__qualname__)))


def _as_denial(send: Send) -> Send:
    """Answer a WebSocket handshake by a response (ASGI, "Websocket Denial Response")."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial
