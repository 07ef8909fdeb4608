"""`EventSourceResponse`: a response that streams events.

This module chooses the producer, asks the registry for a slot and runs the stream. `items` encodes
what is yielded, `stream` sends it.
"""

from collections.abc import (
    AsyncIterable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Literal, Unpack

from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sse_middleware.content import checked_content, origin_of
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub_content import (
    answer_instead,
    overrides_of,
    producer_of_subscription,
)
from sse_middleware.introspection.fastapi import dump_options
from sse_middleware.introspection.views import running_view
from sse_middleware.items.control_frames import ConfiguredControlFrames
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.items.stream_template import StreamTemplate
from sse_middleware.registry.admission import admit, refuse
from sse_middleware.registry.registry import Slot
from sse_middleware.registry.taken_slots import Full
from sse_middleware.relaying.producer import producer_of_relay
from sse_middleware.relaying.relay import Relay
from sse_middleware.request_context import RequestContext, without_middleware
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.stream.abc import FrameSink, Producer
from sse_middleware.stream.guard import StreamGuard
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.producers import close_producer, producer_of
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.validation import UNSET, Unset
from sse_middleware.wire.response_headers import with_codec, with_defaults

_EVENT_STREAM = "text/event-stream"

_CONTENT_TYPE = (b"content-type", b"text/event-stream; charset=utf-8")  # most streams share it


@dataclass(slots=True)
class StreamPlan:
    """What a response streams."""

    producer: Producer
    control: ConfiguredControlFrames
    """Makes the frames of the stream itself: keep-alives, the farewell, the error event."""
    outbox: Callable[..., Outbox] = Outbox
    """Makes where the producer puts its frames."""
    around: Callable[[Slot], AbstractAsyncContextManager[None]] | None = None
    """Makes a context manager from the stream's slot. It is entered around the whole stream."""


class EventSourceResponse(StreamingResponse):
    """A response whose body is the events that an iterable yields.

    Any endpoint may return it. A FastAPI endpoint that yields names it as its ``response_class``.
    It is an ASGI application, too. Inside `SSEMiddleware` the middleware's settings apply. Without
    the middleware the defaults do.

    Args:
        content: an iterable or asynchronous iterable of items, ``hub.subscribe(...)``, or
            ``relay(...)``. An item is a `ServerSentEvent`, ``None`` for a keep-alive, or data. A
            worker thread pulls a synchronous iterable.
        status_code: of the response. A browser's ``EventSource`` accepts only 200. A 204 tells it
            not to reconnect.
        headers: added to ``Content-Type``, ``Cache-Control: no-cache, no-transform`` and
            ``X-Accel-Buffering: no``. A header with one of these names replaces the default.
        media_type: replaces ``text/event-stream``.
        background: runs after the response, also after a disconnect or if the stream was refused,
            but not after an error.
        item_type: data is validated and filtered as this type. By default it is the type that the
            return annotation of the yielding endpoint names. ``Any`` turns both off.
        settings: the settings of `StreamOptions`. They override those of the middleware.

    Raises:
        TypeError: `content` can't be iterated, or is a string, bytes, a mapping or a model, whose
            iteration would give characters or keys.
        ConfigurationError: a setting is unknown, or its value can't work.
    """

    media_type = _EVENT_STREAM
    overrides = Overrides({})
    """The response's own settings, which override all others."""
    tag_overrides = Overrides({})
    """Those of the endpoint's `event_stream`, which only override those of the middleware."""

    # FastAPI reads the default of status_code from this signature.
    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any] | Subscription,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        *,
        item_type: Any = UNSET,
        **settings: Unpack[StreamOptions],
    ) -> None:
        if (view := running_view()) is not None:
            raise TypeError(_not_asgi(view))
        self.body_iterator = checked_content(content)
        self.status_code = status_code
        self.media_type = media_type or self.media_type
        self.background = background
        if headers or self.media_type != _EVENT_STREAM or self.charset != "utf-8":
            self.init_headers(headers)
        else:  # the usual case
            self.raw_headers = [_CONTENT_TYPE]
        if settings:
            self.overrides = Overrides(settings)  # checks them, with or without a middleware
        self.origin: str | None = None
        """The name of the endpoint, if it is known better than by the scope."""
        self.reported: set[str] | None = None
        """What `ItemHints` has reported of the endpoint. ``None``: the application keeps it."""
        self._item_type: ItemType | Literal[Unset.UNSET] | None = (
            item_type
            if item_type is None or item_type is UNSET or isinstance(item_type, ItemType)
            else ItemType.declared(item_type)
        )

    def render(self, *_: object, **__: object) -> bytes:
        """Refuse to render a body. Django asks for one if a view returns this response."""
        raise TypeError(_not_asgi(self.origin or origin_of(None, self.body_iterator)))

    def to_asgi_response(self, *_: object, **__: object) -> bytes:
        """Refuse to be Litestar's own response, which the annotation of a handler asks for."""
        origin = self.origin or origin_of(None, self.body_iterator)
        raise TypeError(
            f"{origin}: a Litestar handler that returns an EventSourceResponse must be annotated "
            "with -> EventSourceResponse"
        )

    # Any, because these have other types in frameworks that take any ASGI application. Some of them
    # look whether it is a coroutine function.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream, then run the background task.

        For ``HEAD`` and for a status without a body (204), only the head is sent.
        """
        await self._answer(scope, receive, send)
        if self.background is not None:
            await self.background()

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        context = RequestContext.find(scope) or without_middleware(scope, receive)
        context.claim()
        settings = self._settings_over(context.settings)
        if scope["type"] == "websocket":
            send = _as_denial(send)
        if answer := answer_instead(self.body_iterator, scope):
            return answer(scope, receive, send)
        if scope.get("method") == "HEAD" or not _may_have_body(self.status_code):
            return self._send_head(send, settings)
        return self._stream(scope, send, context, settings)

    def _settings_over(self, settings: StreamSettings) -> StreamSettings:
        """Return those of the stream: the middleware's, the tag's, the run's, and its own."""
        for overrides in (self.tag_overrides, overrides_of(self.body_iterator), self.overrides):
            if overrides is not None:
                settings = overrides.over(settings)
        return settings

    def _plan(self, scope: Scope, context: RequestContext, settings: StreamSettings) -> StreamPlan:
        """Return what to stream. Subclasses override only this method."""
        template = self._template(scope, context, settings)
        content = self.body_iterator
        reported = context.templates.item_types.reported if self.reported is None else self.reported
        for_browsers = settings.preset is None and scope.get("method") == "GET"
        hints = ItemHints(template.origin, reported, event_source=for_browsers)
        if isinstance(content, Subscription):
            producer, control = producer_of_subscription(content, scope, context, template, hints)
            return StreamPlan(producer, control, producer.outbox)
        if isinstance(content, Relay):
            return StreamPlan(*producer_of_relay(content, settings, template, hints))
        frames = ConfiguredControlFrames(template.control, hints)
        encoder = ItemEncoder(template.encoding, frames.ping, hints, frames.id_sent)
        return StreamPlan(producer_of(content, encoder), frames)

    def _template(
        self, scope: Scope, context: RequestContext, settings: StreamSettings
    ) -> StreamTemplate:
        """Return what the endpoint's streams have in common."""
        endpoint, route = scope.get("endpoint"), scope.get("route")

        def make() -> StreamTemplate:
            declared = self._item_type
            item_type = context.templates.item_types.of(endpoint) if declared is UNSET else declared
            origin = self.origin or origin_of(endpoint, self.body_iterator)
            return StreamTemplate(settings, item_type, origin, dump_options(route))

        source = settings, self._item_type, self.origin
        return context.templates.of(endpoint, route, source, make)

    def _stream(
        self, scope: Scope, send: Send, context: RequestContext, settings: StreamSettings
    ) -> Coroutine[Any, Any, None]:
        """Take a slot. Returns what runs the stream, or what refuses it if there is no slot."""
        plan = self._plan(scope, context, settings)
        producer = plan.producer
        try:
            start = self._start(scope, context, settings, plan.outbox)
        except BaseException as error:
            return _close_and_raise(producer, settings.cleanup_timeout, [error])
        if isinstance(start, Full):
            return _close_and_refuse(producer, settings, send, start)
        context.slot = start.slot
        self._let_go()
        if settings.preset is not None:
            producer = FramedProducer(producer, plan.control)
        guard = StreamGuard(send, context.connection, settings, plan.control)

        def begin() -> Coroutine[Any, Any, None]:
            return producer.produce(guard.open(start, producer))

        if plan.around is None:
            return guard.run(begin)
        return _run_within(plan.around(start.slot), guard, begin)

    def _let_go(self) -> None:
        """Leave a synchronous iterator to its thread, which drops the last reference to it."""
        content: Any = self.body_iterator
        if isinstance(content, Iterator):
            self.body_iterator = checked_content(iter(()))

    def _start(
        self,
        scope: Scope,
        context: RequestContext,
        settings: StreamSettings,
        outbox: Callable[..., Outbox],
    ) -> StreamStart | Full:
        """Choose the codec and take a slot. Returns why there is none, if the stream is refused."""
        head = self._head(settings)
        head, codec = with_codec(head, scope.get("headers", ()), settings.codecs)
        slot = admit(context.registry(), scope)
        return slot if isinstance(slot, Full) else StreamStart(head, codec, slot, outbox=outbox)

    async def _send_head(self, send: Send, settings: StreamSettings) -> None:
        await send(self._head(settings))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if isinstance(self.body_iterator, Subscription):
            return  # it was not opened
        unused = ItemEncoder(ItemEncoding(settings, None, ""), bytes)
        await close_producer(producer_of(self.body_iterator, unused), settings.cleanup_timeout)

    def _head(self, settings: StreamSettings) -> Message:
        preset = () if settings.preset is None else settings.preset.raw_headers
        return {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": with_defaults(self.raw_headers, preset),
        }


def give_defaults(
    response: EventSourceResponse, overrides: Overrides, headers: Mapping[str, str] | None
) -> None:
    """Give a response the settings and the headers of a tag, where it has none of its own."""
    response.tag_overrides = overrides
    for name, value in (headers or {}).items():
        response.headers.setdefault(name, value)


async def _close_and_raise(producer: Producer, within: float, errors: list[BaseException]) -> None:
    await close_producer(producer, within)
    raise errors.pop()  # whose traceback holds this frame


async def _close_and_refuse(
    producer: Producer, settings: StreamSettings, send: Send, full: Full
) -> None:
    await close_producer(producer, settings.cleanup_timeout)
    await refuse(send, full, settings)


async def _run_within(
    surroundings: AbstractAsyncContextManager[None],
    guard: StreamGuard,
    begin: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    async with surroundings:
        await guard.run(begin)


class FramedProducer:
    """Puts the first and last frames of a preset around those of a producer."""

    __slots__ = ("_control", "_producer", "close", "stage", "when_idle")

    def __init__(self, producer: Producer, control: ConfiguredControlFrames) -> None:
        self._producer = producer
        self._control = control
        self.close = producer.close
        self.stage = producer.stage
        self.when_idle = producer.when_idle

    def __repr__(self) -> str:
        return repr(self._producer)

    async def produce(self, sink: FrameSink) -> None:
        """Put the first frame, the producer's frames, and the last frame."""
        if first := self._control.first():
            sink.put(first)
        await self._producer.produce(sink)
        if last := self._control.last():
            sink.put(last)  # dropped if the stream was ended early


def _may_have_body(status: int) -> bool:
    return status >= 200 and status not in (204, 304)  # noqa: PLR2004 - RFC 9110, 6.4.1


def _not_asgi(endpoint: str) -> str:
    return (
        f"{endpoint}: an EventSourceResponse is a response for ASGI frameworks, as Starlette, "
        "FastAPI and Litestar are. Return the framework's own streaming response with "
        "text/event-stream. SSEMiddleware around the application gives it keep-alives and limits"
    )


def _as_denial(send: Send) -> Send:
    """Answer a WebSocket handshake with the response (ASGI: "Websocket Denial Response")."""

    async def send_denial(message: Message) -> None:
        await send({**message, "type": f"websocket.{message['type']}"})

    return send_denial
