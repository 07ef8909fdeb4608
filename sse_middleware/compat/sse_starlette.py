"""sse-starlette's names, with their meanings there, on this package's engine.

Write ``from sse_middleware.compat.sse_starlette import EventSourceResponse`` instead of
``from sse_starlette import EventSourceResponse``. ``docs/migrating.md`` lists the differences.

Rules of this file:
- Items mean the same as in sse-starlette: a dict holds the fields of an event, bytes are sent
  unchanged, and ``str()`` turns anything else into the data of an event. The bytes are the same.
- This package sends the stream, keeps it alive and ends it: nothing in this file sends.
- The middleware's setting applies if the corresponding argument is not given.
"""

import json
import re
from collections.abc import (
    AsyncIterable,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
)
from datetime import UTC, datetime
from typing import Any

import anyio
from starlette.background import BackgroundTask
from starlette.types import Message, Scope

from sse_middleware import events, response
from sse_middleware.compat.data_sender import DataSender, ProducerWithSender
from sse_middleware.content import origin_of
from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.task_group import daemon_task_group
from sse_middleware.items.control_frames import ControlFrameRules, ForeignControlFrames
from sse_middleware.items.data_encoders import check_size
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.records import CloseReason
from sse_middleware.registry.registry import Slot
from sse_middleware.request_context import RequestContext
from sse_middleware.settings import StreamOptions, StreamSettings
from sse_middleware.stream.abc import Producer
from sse_middleware.stream.producers import producer_of
from sse_middleware.stream.stream import Stream, run_stream
from sse_middleware.stream.stream_start import StreamStart
from sse_middleware.validation import UNSET, Unset, check_seconds

__all__ = [
    "EventSourceResponse",
    "JSONServerSentEvent",
    "SendTimeoutError",
    "ServerSentEvent",
    "ensure_bytes",
]

SEPARATORS = ("\r\n", "\r", "\n")

A_YEAR = 365 * 24 * 3600.0
"""Seconds that serve as no limit."""

_LINE_END = re.compile(r"\r\n|[\r\n]")


class SendTimeoutError(TimeoutError):
    """Is never raised: a client that doesn't read counts as gone after `send_timeout`.

    It is here so that code that names it can be imported.
    """


class ServerSentEvent:
    r"""One event, whose data is text. ``str()`` turns anything else into text.

    Args:
        data: the payload; each of its lines becomes a ``data`` field.
        event: the event's type. Line ends in it are removed.
        id: the event's id. Line ends in it are removed.
        retry: the client's reconnection time in milliseconds.
        comment: text that clients ignore, written before the other fields.
        sep: the line end: ``"\r\n"`` by default, ``"\r"`` or ``"\n"``.
    """

    DEFAULT_SEPARATOR = "\r\n"

    def __init__(
        self,
        data: Any = None,
        *,
        event: str | None = None,
        id: str | None = None,
        retry: int | None = None,
        comment: str | None = None,
        sep: str | None = None,
    ) -> None:
        self.data = data
        self.event = event
        self.id = id
        self.retry = retry
        self.comment = comment
        self._sep = self.DEFAULT_SEPARATOR if sep is None else sep

    def encode(self) -> bytes:
        """Return the bytes of the event.

        Raises:
            TypeError: ``retry`` is not an integer, or ``event`` or ``id`` is not a str.
        """
        lines = [f"{name}: {value}" for name, value in self._fields()]
        return "".join(f"{line}{self._sep}" for line in [*lines, ""]).encode()

    def _fields(self) -> Iterator[tuple[str, object]]:
        for line in _lines(self.comment):
            yield "", line
        if self.id is not None:
            yield "id", _LINE_END.sub("", self.id)
        if self.event is not None:
            yield "event", _LINE_END.sub("", self.event)
        for line in _lines(self.data):
            yield "data", line
        if self.retry is not None:
            if not isinstance(self.retry, int):
                raise TypeError(f"retry must be an int, got {self.retry!r}")
            yield "retry", self.retry


class JSONServerSentEvent(ServerSentEvent):
    """A `ServerSentEvent` whose data is sent as JSON.

    Raises:
        TypeError: JSON can't represent the data.
        ValueError: the data contains a NaN or an infinity, which JSON doesn't have.
    """

    def __init__(self, data: Any = None, **fields: Any) -> None:
        text = None
        if data is not None:
            text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        super().__init__(text, **fields)


def ensure_bytes(data: Any, sep: str) -> bytes:
    """Return the bytes of one item. `sep` ends its lines, unless the item is a `ServerSentEvent`.

    Raises:
        TypeError: a dict has a key that is not a field, or a field of the wrong type.
    """
    if isinstance(data, bytes | memoryview):
        return bytes(data)
    if isinstance(data, ServerSentEvent):
        return data.encode()
    if isinstance(data, dict):
        return ServerSentEvent(**{**data, "sep": sep}).encode()
    return ServerSentEvent(str(data), sep=sep).encode()


class EventSourceResponse(response.EventSourceResponse):
    r"""A response whose body is the events that an iterable yields, with sse-starlette's arguments.

    Args:
        content: an iterable or asynchronous iterable of items. An item is a `ServerSentEvent`, a
            dict of its fields, bytes that are sent unchanged, or anything else, whose ``str()`` is
            the data. This package's own ``ServerSentEvent`` works as everywhere.
        status_code: the response's status.
        headers: added to ``Cache-Control: no-store``, which they can replace, and to
            ``X-Accel-Buffering: no``.
        media_type: replaces ``text/event-stream``.
        background: runs after the stream, also after a disconnect.
        ping: seconds of silence before a keep-alive, 0 for none.
        sep: the line end: ``"\r\n"`` by default, ``"\r"`` or ``"\n"``.
        ping_message_factory: makes a keep-alive, which is any item that may be yielded.
        data_sender_callable: an async function. It runs during the stream and is cancelled at the
            stream's end. An exception that it raises ends the stream and reaches the server.
        send_timeout: seconds that the server's `send` may take before the client counts as gone.
        client_close_handler_callable: is called with the ``http.disconnect`` message and awaited
            after the client disconnects and the generator is closed, for at most `cleanup_timeout`
            seconds.
        shutdown_event: is set when the application drains. Needs the middleware.
        shutdown_grace_period: seconds that the stream then has to end by itself; by default
            the middleware's `drain_grace`.
        cleanup_timeout: seconds that a cancelled generator has for its ``finally`` blocks; ``None``
            means a year.

    Raises:
        TypeError: `content` can't be iterated, or is a string, bytes, a mapping or a model.
        ConfigurationError: an argument is invalid. This is a ``ValueError``.
    """

    DEFAULT_SEPARATOR = "\r\n"

    def __init__(
        self,
        content: AsyncIterable[Any] | Iterable[Any],
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: BackgroundTask | None = None,
        ping: float | None = None,
        sep: str | None = None,
        ping_message_factory: Callable[[], Any] | None = None,
        data_sender_callable: Callable[[], Awaitable[None]] | None = None,
        send_timeout: float | None = None,
        client_close_handler_callable: Callable[[Message], Awaitable[None]] | None = None,
        shutdown_event: anyio.Event | None = None,
        shutdown_grace_period: Unset | float = UNSET,
        cleanup_timeout: Unset | float | None = UNSET,
    ) -> None:
        self.sep = _checked_separator(sep or self.DEFAULT_SEPARATOR)
        self.ping_message_factory = ping_message_factory
        self.data_sender_callable = data_sender_callable
        self.client_close_handler_callable = client_close_handler_callable
        self.shutdown_event = shutdown_event
        options: StreamOptions = {}
        if not isinstance(shutdown_grace_period, Unset):
            grace = shutdown_grace_period
            check_seconds("shutdown_grace_period", grace, "0 doesn't wait", zero=True)
            options["drain_grace"] = grace
        if ping is not None:
            check_seconds("ping", ping, "0 switches keep-alives off", zero=True)
            options["ping_interval"] = ping or None
        if send_timeout is not None:
            options["send_timeout"] = send_timeout
        if not isinstance(cleanup_timeout, Unset):
            options["cleanup_timeout"] = A_YEAR if cleanup_timeout is None else cleanup_timeout
        super().__init__(content, status_code, headers, media_type, background, **options)
        self.headers.setdefault("Cache-Control", "no-store")
        self.headers["X-Accel-Buffering"] = "no"

    def enable_compression(self, force: bool = False) -> None:  # noqa: FBT001, FBT002 - as in sse-starlette
        """Raise NotImplementedError, as sse-starlette does: the middleware compresses.

        Args:
            force: ignored.
        """
        raise NotImplementedError(
            "a response doesn't compress itself: app.add_middleware(SSEMiddleware, "
            "compression=True) compresses streams for clients that accept it"
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Stream, then run the background task. sse-starlette allows a method in lower case."""
        method = scope.get("method", "GET")
        if method != method.upper():
            scope = {**scope, "method": method.upper()}
        await super().__call__(scope, receive, send)

    def _plan(
        self,
        scope: Scope,
        context: RequestContext,  # noqa: ARG002 - the overridden method needs it
        settings: StreamSettings,
    ) -> tuple[Producer, ForeignControlFrames]:
        if self.shutdown_event is not None:
            RequestContext.needed_by("shutdown_event", scope)
        control = _ControlFrames(settings, self._ping)
        origin = origin_of(scope.get("endpoint"), self.body_iterator)
        encoder = _Encoder(settings, self.sep, origin, control)
        return producer_of(self.body_iterator, encoder), control

    async def _run(
        self, stream: Stream, start: StreamStart, producer: Producer, context: RequestContext
    ) -> None:
        """Run the data sender during the stream, and the close handler after it."""
        sender = DataSender()
        async with daemon_task_group() as tasks:
            if self.data_sender_callable is not None:
                producer = ProducerWithSender(producer, sender)
                tasks.create_task(sender.run(self.data_sender_callable))
            if self.shutdown_event is not None:
                tasks.create_task(_forward_drain(context.draining, self.shutdown_event))
            try:
                with sender.scope:
                    await run_stream(stream, lambda: producer.produce(stream.open(start, producer)))
            finally:
                await self._call_close_handler(self._settings_over(context.settings), start.slot)
        sender.raise_failure()

    async def _call_close_handler(self, settings: StreamSettings, slot: Slot) -> None:
        handler = self.client_close_handler_callable
        if handler is not None and slot.reason is CloseReason.CLIENT_DISCONNECTED:
            with anyio.move_on_after(settings.cleanup_timeout, shield=True):
                await handler({"type": "http.disconnect"})

    def _ping(self) -> bytes:
        if self.ping_message_factory is not None:
            return ensure_bytes(self.ping_message_factory(), self.sep)
        return ServerSentEvent(comment=f"ping - {datetime.now(UTC)}", sep=self.sep).encode()


class _ControlFrames(ForeignControlFrames):
    """The control frames of the settings, with sse-starlette's keep-alive."""

    __slots__ = ("_make_ping",)

    def __init__(self, settings: StreamSettings, make_ping: Callable[[], bytes]) -> None:
        super().__init__(ControlFrameRules(settings))
        self.same_ping = b""
        self._make_ping = make_ping

    def _leave_out_blank_line(self) -> None:
        """Change nothing: sse-starlette's keep-alives are the same with ids and without."""

    def ping(self) -> bytes:
        """Return a keep-alive."""
        return self._make_ping()


class _Encoder(ItemEncoder):
    """Encodes items as sse-starlette does, and this package's own events as usual."""

    def __init__(
        self, settings: StreamSettings, sep: str, endpoint: str, control: _ControlFrames
    ) -> None:
        super().__init__(ItemEncoding(settings, None, endpoint), control)
        self.plain = frozenset()
        self._sep = sep
        self._max_size = settings.max_event_size

    def encode(self, item: Any) -> bytes:
        """Return the bytes of one event. Raises `EncodingError`."""
        if isinstance(item, events.ServerSentEvent):
            return super().encode(item)
        try:
            frame = ensure_bytes(item, self._sep)
            if self._max_size is not None:
                check_size(len(frame), self._max_size)
            if not self._has_ids and b"id:" in frame:  # in data it does no harm
                self._note_id()
            return frame
        except Exception as error:
            raise self.refusal(item, error) from error


async def _forward_drain(draining: anyio.Event, shutdown: anyio.Event) -> None:
    await draining.wait()
    shutdown.set()


def _checked_separator(sep: str) -> str:
    if sep not in SEPARATORS:
        raise ConfigurationError(f"sep must be '\\r\\n', '\\r' or '\\n', got {sep!r}")
    return sep


def _lines(text: Any) -> list[str]:
    return [] if text is None else _LINE_END.split(str(text))
