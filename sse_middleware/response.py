"""`EventSourceResponse`: a response that streams events.

This module chooses the producer, asks the registry for a slot and runs the stream. `items` encodes
what is yielded, `stream` sends it.
"""

from collections.abc import (
    AsyncIterable,
    Coroutine,
    Iterable,
    Mapping,
)
from dataclasses import dataclass
from typing import Any, Literal, Unpack

from starlette.background import BackgroundTask
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from sse_middleware.content import checked_content, origin_of
from sse_middleware.hub.runs.viewer import Viewer
from sse_middleware.hub.subscriber_stream import SubscriptionProducer
from sse_middleware.hub.subscription import Subscription
from sse_middleware.hub_content import answer_instead, producer_of_subscription
from sse_middleware.introspection.fastapi import dump_options
from sse_middleware.introspection.views import running_view
from sse_middleware.items.control_frames import ConfiguredControlFrames
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.item_type import ItemType
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.items.stream_template import StreamTemplate
from sse_middleware.registry.admission import admit, refuse
from sse_middleware.registry.taken_slots import Full
from sse_middleware.relaying.producer import producer_of_relay
from sse_middleware.relaying.relay import Relay
from sse_middleware.request_context import SCOPE_KEY, RequestContext, without_middleware
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.stream.abc import Producer
from sse_middleware.stream.framed_producer import FramedProducer
from sse_middleware.stream.outbox import Outbox
from sse_middleware.stream.producers import close_producer, producer_of
from sse_middleware.stream.stream import Begin, Stream
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.validation import UNSET, Unset
from sse_middleware.wire.response_headers import (
    USUAL_HEADERS,
    Headers,
    with_codec,
    with_defaults,
)

_EVENT_STREAM = "text/event-stream"

Answer = tuple[Stream, Begin] | Coroutine[Any, Any, None]
"""What answers a request: a stream and its beginning, or anything else."""

_FIRST_WITH_BODY, _WITHOUT_BODY = 200, (204, 304)
"""The statuses of responses that may have a body (RFC 9110, 6.4.1)."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamTag:
    """What `event_stream` knows of an endpoint. All responses of the endpoint share it."""

    name: str
    """The name of the function, for error messages."""
    overrides: Overrides
    """Settings, which override those of the middleware."""
    headers: Mapping[str, str] | None
    reported: set[str]
    """What `ItemHints` has reported of the endpoint."""


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
    overrides: Overrides | None = None
    """The response's own settings, which override all others."""
    tag: StreamTag | None = None
    """That of the endpoint, if it is tagged."""
    _headers_list: Headers | None = None

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
        if settings:
            self.overrides = Overrides(settings)  # checks them, with or without a middleware
        self._item_type: ItemType | Literal[Unset.UNSET] | None = (
            item_type
            if item_type is None or item_type is UNSET or isinstance(item_type, ItemType)
            else ItemType.declared(item_type)
        )

    @property
    def raw_headers(self) -> Headers:
        """The headers. There is no list before somebody asks: most have only the usual one."""
        if self._headers_list is None:
            self._headers_list = [USUAL_HEADERS[0]]
        return self._headers_list

    @raw_headers.setter
    def raw_headers(self, headers: Headers) -> None:
        self._headers_list = headers

    def render(self, *_: object, **__: object) -> bytes:
        """Refuse to render a body. Django asks for one if a view returns this response."""
        raise TypeError(_not_asgi(self._origin()))

    def to_asgi_response(self, *_: object, **__: object) -> bytes:
        """Refuse to be Litestar's own response, which the annotation of a handler asks for."""
        raise TypeError(
            f"{self._origin()}: a Litestar handler that returns an EventSourceResponse must be "
            "annotated with -> EventSourceResponse"
        )

    # Any, because these have other types in frameworks that take any ASGI application. Some of them
    # look whether it is a coroutine function.
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream, then run the background task.

        For ``HEAD`` and for a status without a body (204), only the head is sent.
        """
        answer: Any = self._answer(scope, receive, send)
        if isinstance(answer, tuple):  # as `run_stream`, whose frame each open stream would keep
            stream = answer[0]
            try:
                answer = stream.start(answer[1])  # what only the start needs ends here
                await answer
            except BaseException as error:
                stream.keep(error)
            await stream.finish()
        else:
            await answer
        if self.background is not None:
            await self.background()

    def _answer(self, scope: Scope, receive: Receive, send: Send) -> Answer:
        context = scope.get(SCOPE_KEY) or without_middleware(scope, receive)
        context.claim()
        if scope["type"] == "websocket":
            send = _as_denial(send)
        content = self.body_iterator
        if isinstance(content, Viewer) and (answer := answer_instead(content, scope)):
            return answer(scope, receive, send)
        settings = self._settings_over(context.settings)
        status = self.status_code
        bare = status < _FIRST_WITH_BODY or status in _WITHOUT_BODY
        if bare or scope.get("method") == "HEAD":
            return self._send_head(send, settings)
        return self._stream(scope, receive, send, context, settings)

    def _settings_over(self, settings: StreamSettings) -> StreamSettings:
        """Return those of the stream: the middleware's, the tag's, the run's, and its own."""
        if self.tag is not None:
            settings = self.tag.overrides.over(settings)
        if isinstance(self.body_iterator, Viewer):
            settings = self.body_iterator.overrides.over(settings)
        return settings if self.overrides is None else self.overrides.over(settings)

    def _plan(
        self, scope: Scope, context: RequestContext, settings: StreamSettings
    ) -> tuple[Producer, ConfiguredControlFrames]:
        """Return what makes the frames of the items, and what makes the stream's own frames."""
        template = self._template(scope, context, settings)
        content = self.body_iterator
        hints = template.hints if scope.get("method") == "GET" else template.hints_for_scripts
        if isinstance(content, Subscription):
            return producer_of_subscription(content, scope, context, template, hints)
        if isinstance(content, Relay):
            return producer_of_relay(content, settings, template, hints)
        frames = ConfiguredControlFrames(template.control, hints)
        encoder = ItemEncoder(template.encoding, frames, hints)
        return producer_of(content, encoder), frames

    def _template(
        self, scope: Scope, context: RequestContext, settings: StreamSettings
    ) -> StreamTemplate:
        """Return what the endpoint's streams have in common."""
        templates, endpoint, route = context.templates, scope.get("endpoint"), scope.get("route")
        source = settings, self._item_type, self.tag
        known = templates.latest(endpoint, route, source)
        if known is not None:
            return known
        declared, types = self._item_type, templates.item_types
        template = StreamTemplate(
            settings,
            types.of(endpoint) if declared is UNSET else declared,
            self._origin(endpoint),
            dump_options(route),
            types.reported if self.tag is None else self.tag.reported,
        )
        templates.keep(endpoint, route, source, template)
        return template

    def _origin(self, endpoint: Any = None) -> str:
        return origin_of(endpoint, self.body_iterator) if self.tag is None else self.tag.name

    def _stream(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        context: RequestContext,
        settings: StreamSettings,
    ) -> Answer:
        """Take a slot. Returns what streams, or what refuses the stream if there is no slot."""
        producer, control = self._plan(scope, context, settings)
        try:
            start = self._start(scope, context, settings, producer)
        except BaseException as error:
            return _close_and_raise(producer, settings.cleanup_timeout, [error])
        if isinstance(start, Full):
            return _close_and_refuse(producer, settings, send, start)
        context.slot = start.slot
        if hasattr(self.body_iterator, "__next__"):  # its thread drops the last reference to it
            self.body_iterator = checked_content(iter(()))
        if settings.preset is not None:
            producer = FramedProducer(producer, control)
        waits = isinstance(self.body_iterator, Subscription)
        connection = context.connection_of(scope, receive)
        stream = Stream(send, connection, settings, control, waits=waits)
        return self._run(stream, start, producer, context)

    def _run(
        self,
        stream: Stream,
        start: StreamStart,
        producer: Producer,
        context: RequestContext,  # noqa: ARG002 - a subclass needs it
    ) -> Answer:
        """Return what streams. A subclass may run something around it."""

        def begin() -> Coroutine[Any, Any, None]:
            return producer.produce(stream.open(start, producer))

        return stream, begin

    def _start(
        self,
        scope: Scope,
        context: RequestContext,
        settings: StreamSettings,
        producer: Producer,
    ) -> StreamStart | Full:
        """Choose the codec and take a slot. Returns why there is none, if the stream is refused."""
        head, codec = self._head(settings), None
        if settings.codecs:
            head, codec = with_codec(head, scope.get("headers", ()), settings.codecs)
        slot = admit(context.registry(), scope)
        if isinstance(slot, Full):
            return slot
        outbox = producer.outbox if isinstance(producer, SubscriptionProducer) else Outbox
        return StreamStart(head, codec, slot, outbox=outbox)

    async def _send_head(self, send: Send, settings: StreamSettings) -> None:
        await send(self._head(settings))
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        if isinstance(self.body_iterator, Subscription):
            return  # it was not opened
        unused = ItemEncoder(ItemEncoding(settings, None, ""))
        await close_producer(producer_of(self.body_iterator, unused), settings.cleanup_timeout)

    def _head(self, settings: StreamSettings) -> Message:
        if self._headers_list is None and settings.preset is None:
            headers = list(USUAL_HEADERS)
        else:
            preset = () if settings.preset is None else settings.preset.raw_headers
            headers = with_defaults(self.raw_headers, preset)
        return {"type": "http.response.start", "status": self.status_code, "headers": headers}


def give_defaults(response: EventSourceResponse, tag: StreamTag) -> None:
    """Give a response the settings and the headers of a tag, where it has none of its own."""
    response.tag = tag
    for name, value in (tag.headers or {}).items():
        response.headers.setdefault(name, value)


async def _close_and_raise(producer: Producer, within: float, errors: list[BaseException]) -> None:
    await close_producer(producer, within)
    raise errors.pop()  # whose traceback holds this frame


async def _close_and_refuse(
    producer: Producer, settings: StreamSettings, send: Send, full: Full
) -> None:
    await close_producer(producer, settings.cleanup_timeout)
    await refuse(send, full, settings)


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
