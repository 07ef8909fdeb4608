"""`EventSourceResponse`: marks a response as a stream of events, and opens it.

Everything that happens to the items happens in `items` and `stream`. Here they are put together.
"""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from inspect import isasyncgen
from typing import Any, Literal, Unpack

from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sse_middleware.introspection.fastapi import dump_options, unwrapped
from sse_middleware.items.control_frames import ConfiguredControlFrames
from sse_middleware.items.item_type import ItemType, ItemTypes
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.registry.admission import admit, refuse
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.registry.slots import Full
from sse_middleware.request_context import RequestContext
from sse_middleware.settings import Overrides, Policy, StreamOptions, StreamSettings
from sse_middleware.stream.abc import Encoder, FrameSink, Producer
from sse_middleware.stream.async_producer import AsyncProducer
from sse_middleware.stream.connection import Connection
from sse_middleware.stream.opening import Opening
from sse_middleware.stream.stream import ProducerWork, Stream
from sse_middleware.stream.thread_producer import ThreadProducer
from sse_middleware.validation import UNSET, Unset
from sse_middleware.wire.response_headers import compressed, with_defaults

_WITHOUT_BODY = ("GET", "HEAD", None)  # None: a WebSocket handshake


@dataclass(slots=True)
class StreamPlan:
    """What a response streams."""

    producer: Producer
    control: ConfiguredControlFrames
    """What the stream itself says."""
    beside: Callable[[Slot], AbstractAsyncContextManager[None]] | None = None
    """What runs beside the stream: a block around it, given its place among the open ones."""


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
        item_type: Any = UNSET,
        **settings: Unpack[StreamOptions],
    ) -> None:
        self.body_iterator = _checked(content)
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        self.init_headers(headers)
        self.overrides = Overrides(settings)  # refused here if it can't work, whatever is below
        """Its settings, over those of the middleware."""
        self._item_type: ItemType | Literal[Unset.UNSET] | None = (
            item_type
            if item_type is None or item_type is UNSET or isinstance(item_type, ItemType)
            else ItemType.declared(item_type)
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream, then run the background task.

        ``HEAD`` and a status without a body (204) are answered without starting the stream.
        """
        context = RequestContext.find(scope) or _without_middleware(scope, receive)
        context.claim()
        settings = self.overrides.over(context.settings)
        if scope["type"] == "websocket":
            send = _as_denial(send)
        if scope.get("method") == "HEAD" or not _may_have_body(self.status_code):
            await self._send_head(send, settings)
        else:
            await self._stream(scope, send, context, settings)
        if self.background is not None:
            await self.background()

    def _plan(self, scope: Scope, context: RequestContext, settings: StreamSettings) -> StreamPlan:
        """Say what is streamed. The one method for subclasses to override."""
        item_type = self._item_type
        if item_type is UNSET:
            item_type = context.item_types.of(scope.get("endpoint"))
        options = None if item_type is None else dump_options(scope.get("route"))
        if item_type is not None and options:
            item_type = item_type.dumped_with(options)
        control = ConfiguredControlFrames(settings)
        origin = origin_of(scope, self.body_iterator)
        encoder = ItemEncoder(settings, control.ping, item_type, origin)
        return StreamPlan(producer_of(self.body_iterator, encoder), control)

    async def _stream(
        self, scope: Scope, send: Send, context: RequestContext, settings: StreamSettings
    ) -> None:
        """Run the stream, or refuse it."""
        plan = self._plan(scope, context, settings)
        try:
            start = self._start(settings)
            start, codec = compressed(start, scope.get("headers", ()), settings.codecs)
            slot = admit(context.registry(), scope)
        except BaseException:
            await plan.producer.close(settings.cleanup_timeout)
            raise
        if isinstance(slot, Full):
            await plan.producer.close(settings.cleanup_timeout)
            await refuse(send, slot, settings)
            return
        context.slot = slot
        producer = plan.producer
        if settings.preset is not None:
            producer = FramedProducer(producer, plan.control)
        stream = Stream(send, context.connection, settings, plan.control)
        work = ProducerWork(producer, Opening(start, codec, slot))
        if plan.beside is None:
            await stream.run(work)
            return
        async with plan.beside(slot):
            await stream.run(work)

    async def _send_head(self, send: Send, settings: StreamSettings) -> None:
        await send(self._start(settings))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        unused = ItemEncoder(settings, bytes, None, "")
        await producer_of(self.body_iterator, unused).close(settings.cleanup_timeout)

    def _start(self, settings: StreamSettings) -> Message:
        preset = () if settings.preset is None else settings.preset.raw_headers
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": with_defaults(self.raw_headers, preset),
        }


def producer_of(content: AsyncIterable[Any] | Iterable[Any], encoder: Encoder) -> Producer:
    """Make the producer of an iterable's items."""
    if isinstance(content, AsyncIterable):
        return AsyncProducer(unwrapped(content), encoder)
    return ThreadProducer(content, encoder)


def _without_middleware(scope: Scope, receive: Receive) -> RequestContext:
    """Return the context of a response that is used without the middleware."""
    shared = scope.get("method") in _WITHOUT_BODY
    alone = Registry(Policy(drain=False))
    connection = Connection(receive, shared=shared)
    return RequestContext(connection, StreamSettings(), ItemTypes(), lambda: alone)


class FramedProducer:
    """A producer, between what its preset begins and ends a stream with."""

    __slots__ = ("_control", "_producer", "close")

    def __init__(self, producer: Producer, control: ConfiguredControlFrames) -> None:
        self._producer = producer
        self._control = control
        self.close = producer.close

    def __repr__(self) -> str:
        return repr(self._producer)

    async def produce(self, sink: FrameSink) -> None:
        """Put the first frame, all of the producer's, and the last one."""
        if first := self._control.first():
            sink.put(first)
        await self._producer.produce(sink)
        if last := self._control.last():
            sink.put(last)  # dropped, if the stream was ended early


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
