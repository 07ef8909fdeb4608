"""`AdoptionRules`: decides which responses of an application become event streams, and how.

The head of the response decides, together with the ``Accept`` and the `LegacyRoute` of the request.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace

from starlette.types import Message, Scope

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.legacy.bodies.adapters import STREAMING_TYPES, AdapterFactory
from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.legacy.bodies.conversion import Conversion, EventFields
from sse_middleware.legacy.bodies.foreign_stream import EncodedStream, ForeignEventStream
from sse_middleware.legacy.route import LegacyRoute, adapter_of
from sse_middleware.wire.request_headers import (
    EVENT_STREAM,
    accept_of,
    names_events,
    prefers_events,
)
from sse_middleware.wire.response_headers import ResponseHead

logger = logging.getLogger(__name__)

_OK = 200

_CONTENT_TYPE = (b"content-type", b"Content-Type")

_READ_AGAIN = (list, tuple)
"""What can be read more than once. A union would be made anew for each response."""


class AdoptionRules:
    """Decides which responses are adopted. Each middleware has one.

    Args:
        adapters: more media types whose bodies are streams, each with its adapter: the name of one,
            or a function that makes a `BodyAdapter`.

    Raises:
        ConfigurationError: a key is not a media type, or a value is not an adapter.
    """

    def __init__(self, adapters: Mapping[str, str | AdapterFactory]) -> None:
        self._types = {**STREAMING_TYPES, **_checked_adapters(adapters)}
        self._type_names = frozenset((EVENT_STREAM, *(name.encode() for name in self._types)))
        self._reported: set[bytes] = set()

    def converted(
        self,
        message: Message,
        scope: Scope,
        accept: bytes,
        route: LegacyRoute | None,
        max_event_size: int | None = None,
    ) -> tuple[Message, Conversion | None]:
        """Return the first message of a response and the conversion of its body.

        The conversion is ``None`` if the response is not adopted.

        Args:
            message: the ``http.response.start`` that the application sent.
            scope: the request's scope.
            accept: the request's ``Accept``.
            route: the `LegacyRoute` that matches the request.
            max_event_size: bytes that a piece of the body may take, if this is less than the
                route's ``max_piece``.
        """
        message = with_header_list(message)
        headers = ResponseHead(message)
        media_type, charset = headers.content_type()
        polls = route is not None and route.poll is not None
        if media_type == EVENT_STREAM.decode() and not polls:
            body = _body_format(route, charset, max_event_size)
            return self._adopted(message, headers, scope, body)
        if message["status"] != _OK or scope["method"] == "HEAD":
            return message, None
        if polls:
            return headers.varied(), None
        factory = self._adapter_factory(media_type, headers, route)
        if factory is None:
            self._report_unconverted(route, media_type, accept)
        if factory is None or self._is_encoded(headers, scope):
            return message, None
        always = route is not None and route.always
        if not always and not prefers_events(accept, media_type.encode()):
            return headers.varied(), None
        body = _body_format(route, charset, max_event_size)
        fields = route.fields if route else EventFields()
        conversion = Conversion(factory, body, fields, request_line(scope))
        return headers.of_converted(varying=not always), conversion

    def _adopted(
        self, message: Message, headers: ResponseHead, scope: Scope, body: BodyFormat
    ) -> tuple[Message, Conversion | None]:
        """Return the head of an event stream and what passes its body on.

        Neither HEAD nor a compressed body takes a stream out of the limits: the application may
        send without end then, too.
        """
        if not _may_have_events(message["status"]):
            return message, None
        factory = EncodedStream if self._is_encoded(headers, scope) else ForeignEventStream
        conversion = Conversion(factory, body, EventFields(), request_line(scope))
        return headers.of_events(), conversion

    def concern(self, message: Message) -> bool:
        """Whether a response without a route may become a stream, by its media type."""
        # Every response passes here, so one look at the media type must be enough.
        headers = message.get("headers", ())
        for name, value in headers:
            if name in _CONTENT_TYPE:
                return value.partition(b";")[0].strip().lower() in self._type_names
        return _CONTENT_TYPE[0] in [bytes(name).lower() for name, _ in headers]

    def unconverted(self, message: Message) -> Message | None:
        """Return the first message of a response whose client asks for no events.

        ``None`` if the response is an event stream, which is adopted in any case.
        """
        headers = ResponseHead(message)
        media_type, _ = headers.content_type()
        if media_type == EVENT_STREAM.decode():
            return None
        factory = self._adapter_factory(media_type, headers, None)
        return message if message["status"] != _OK or factory is None else headers.varied()

    def _adapter_factory(
        self, media_type: str, headers: ResponseHead, route: LegacyRoute | None
    ) -> AdapterFactory | None:
        if route is not None and route.adapter is not None:
            return route.adapter
        factory = self._types.get(media_type)
        whole = media_type.startswith("text/") and headers.get(b"content-length") is not None
        return None if whole and route is None else factory

    def _report_unconverted(
        self, route: LegacyRoute | None, media_type: str, accept: bytes
    ) -> None:
        """Say once of a route that it does nothing."""
        if route is None or not (route.always or prefers_events(accept, media_type.encode())):
            return
        key = route.path.encode()
        if key not in self._reported:
            self._reported.add(key)
            logger.warning(
                "%r has no effect, because nothing converts responses of the media type '%s': set "
                "body= of the route, or adapters= of SSEMiddleware",
                route,
                printable(media_type),
            )

    def _is_encoded(self, headers: ResponseHead, scope: Scope) -> bool:
        encoding = headers.get(b"content-encoding") or b"identity"
        if encoding.strip().lower() == b"identity":
            return False
        if encoding not in self._reported:
            self._reported.add(encoding)
            logger.warning(
                "%s has Content-Encoding %s, so its body passes unchanged: "
                "compress outside of SSEMiddleware",
                request_line(scope),
                printable(encoding.decode("latin-1")),
            )
        return True


def _may_have_events(status: int) -> bool:
    """Whether a response of this status is a stream if its media type says so."""
    return 200 <= status < 300 and status not in (204, 205)  # noqa: PLR2004 - RFC 9110, 15.3


def request_line(scope: Scope) -> str:
    """Return the method and the path of a request, for messages."""
    return f"{printable(scope['method'])} {printable(scope['path'])}"


def _body_format(route: LegacyRoute | None, charset: str, max_event_size: int | None) -> BodyFormat:
    body = replace(route.body if route else BodyFormat(), charset=charset)
    if max_event_size is not None:
        size = min(body.max_piece, max_event_size)
        body = replace(body, max_piece=size, max_event_size=max_event_size)
    return body


def _checked_adapters(adapters: Mapping[str, str | AdapterFactory]) -> dict[str, AdapterFactory]:
    for media_type in adapters:
        if not isinstance(media_type, str) or media_type.count("/") != 1:
            raise ConfigurationError(
                f"adapters must map media types to adapters, got the key {media_type!r}"
            )
    return {
        media_type.lower(): adapter_of(f"the adapter of {media_type}", factory)
        for media_type, factory in adapters.items()
    }


def accept_for(headers: Iterable[tuple[bytes, bytes]], route: LegacyRoute | None) -> bytes | None:
    """Return the ``Accept`` of a request whose response may be converted to events.

    Returns ``None`` for any other request. A response that is an event stream is adopted anyway.
    """
    accept = accept_of(headers)
    if route is not None:
        return accept or b"*/*"
    return accept if accept is not None and names_events(accept) else None


def with_header_list(message: Message) -> Message:
    """Return the message with headers that can be read more than once."""
    if isinstance(message.get("headers", ()), _READ_AGAIN):
        return message
    return {**message, "headers": list(message["headers"])}
