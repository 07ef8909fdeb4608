"""`AdoptionRules`: which responses of an application become event streams, and how.

The head of the response decides, together with what the client accepts.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace

from starlette.types import Message, Scope

from sse_middleware.errors import ConfigurationError
from sse_middleware.legacy.body_adapters import STREAMING_TYPES, AdapterFactory, EventStream
from sse_middleware.legacy.body_text import BodyFormat
from sse_middleware.legacy.conversion import Conversion, EventFields
from sse_middleware.legacy.route import LegacyRoute, adapter_of
from sse_middleware.wire.request_headers import EVENT_STREAM, prefers_events
from sse_middleware.wire.response_headers import ResponseHead

logger = logging.getLogger(__name__)

_OK = 200


_CONTENT_TYPE = (b"content-type", b"Content-Type")


class AdoptionRules:
    """Knows which responses can be adopted. One for each middleware.

    Args:
        adapters: more media types, and what makes their adapters. They count as streams.

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
        headers = ResponseHead(message)
        if message["status"] != _OK or scope["method"] == "HEAD":
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
        headers = ResponseHead(message)
        factory = self._factory(headers.content_type()[0], headers, None)
        return message if message["status"] != _OK or factory is None else headers.varied()

    def _factory(
        self, media_type: str, headers: ResponseHead, route: LegacyRoute | None
    ) -> AdapterFactory | None:
        if media_type == EVENT_STREAM.decode():
            return EventStream
        if route is not None and route.adapter is not None:
            return route.adapter
        factory = self._types.get(media_type)
        whole = media_type.startswith("text/") and headers.get(b"content-length") is not None
        return None if whole and route is None else factory

    def _is_encoded(self, headers: ResponseHead, scope: Scope) -> bool:
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
