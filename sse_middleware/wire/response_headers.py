"""The start of a response that is a stream: its headers, and its codec."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sse_middleware.wire.compression import CODECS, Codec
from sse_middleware.wire.request_headers import EVENT_STREAM, preferred_coding

if TYPE_CHECKING:
    from starlette.types import Message

Headers = list[tuple[bytes, bytes]]

_STREAM_DEFAULTS = (
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
"""``no-transform`` stops a proxy from compressing (RFC 9111, 5.2.2.6), which holds events back."""

USUAL_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), *_STREAM_DEFAULTS)
"""Those of most streams. The first one isn't a default."""

_BODY_HEADERS = (b"content-length", b"etag", b"accept-ranges", b"content-type")


def with_defaults(headers: Headers, preset: Iterable[tuple[bytes, bytes]] = ()) -> Headers:
    """Add the preset's headers, and headers that stop caches and proxies from holding events back.

    A header that is already present stays unchanged.
    """
    own = {name for name, _ in headers}
    defaults = (
        tuple({**dict(_STREAM_DEFAULTS), **dict(preset)}.items()) if preset else _STREAM_DEFAULTS
    )
    return [*headers, *(default for default in defaults if default[0] not in own)]


def content_type(value: bytes | None) -> tuple[str, str]:
    """Return the media type of a ``Content-Type``, in lower case, and its charset (or utf-8)."""
    media_type, *parameters = (value or b"").decode("latin-1").split(";")
    charset = ""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = charset or text.strip().strip('"')
    return media_type.strip().lower(), charset or "utf-8"


class ResponseHead:
    """The headers of an ``http.response.start`` message. The message itself is never changed."""

    def __init__(self, message: "Message") -> None:
        self._message = message
        self._headers = [
            (bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())
        ]

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header."""
        return next((value for found, value in self._headers if found == name), None)

    def content_type(self) -> tuple[str, str]:
        """Return the media type and the charset of the body."""
        return content_type(self.get(b"content-type"))

    def varied(self, by: bytes = b"Accept") -> "Message":
        """Return the message with a request header added to ``Vary``."""
        vary = [value for name, value in self._headers if name == b"vary"]
        names = b",".join(vary).lower().replace(b" ", b"").split(b",")
        if b"*" in names or by.lower() in names:
            return self._message
        rest = [header for header in self._headers if header[0] != b"vary"]
        return {**self._message, "headers": [*rest, (b"vary", b", ".join([*vary, by]))]}

    def of_converted(self, *, varying: bool) -> "Message":
        """Return the message for a body that was converted to events.

        Args:
            varying: whether the response depends on ``Accept``.
        """
        content_type = (b"content-type", EVENT_STREAM + b"; charset=utf-8")
        kept = [one for one in self._headers if one[0] not in _BODY_HEADERS]
        message = ResponseHead({**self._message, "headers": [content_type, *kept]}).of_events()
        return ResponseHead(message).varied() if varying else message

    def of_events(self) -> "Message":
        """Return the message for a body of events.

        It has no length, no ETag and no trailers. Its headers stop caches and proxies from holding
        events back, unless the application's own headers allow that.
        """
        kept = [one for one in self._headers if one[0] not in (b"content-length", b"etag")]
        # Trailers are not passed on, so the message must not announce them.
        message = {key: self._message[key] for key in self._message if key != "trailers"}
        return {**message, "headers": with_defaults(kept)}

    def coded(self, coding: str) -> "Message":
        """Return the message with a ``Content-Encoding``."""
        header = (b"content-encoding", coding.encode())
        return {**self._message, "headers": [*self._headers, header]}


def with_codec(
    start: "Message", request_headers: Iterable[tuple[bytes, bytes]], codecs: Sequence[str]
) -> "tuple[Message, Callable[[], Codec] | None]":
    """Return the start of a stream, and the class of its codec if the client wants one.

    Args:
        start: the ``http.response.start`` message.
        request_headers: the headers of the ASGI scope.
        codecs: the names of the codecs that are offered, the preferred one first.
    """
    if not codecs:
        return start, None
    head = ResponseHead(start)
    if head.get(b"content-encoding") is not None:
        return start, None
    coding = preferred_coding(request_headers, codecs)
    start = head.varied(b"Accept-Encoding")
    if coding is None:
        return start, None
    return ResponseHead(start).coded(coding), CODECS[coding]
