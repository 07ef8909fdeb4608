"""The heads of responses that are streams: what is sent before the body."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from sse_middleware.wire.compression import CODECS, Codec
from sse_middleware.wire.request_headers import EVENT_STREAM, preferred_coding

if TYPE_CHECKING:
    from starlette.types import Message

Headers = list[tuple[bytes, bytes]]

_OF_EVENTS = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))

_OF_THE_OLD_BODY = (b"content-length", b"etag", b"accept-ranges", b"content-type")


def with_defaults(headers: Headers, preset: Iterable[tuple[bytes, bytes]] = ()) -> Headers:
    """Add the preset's headers, and those that keep caches and proxies from holding events back.

    A header that is there already stays as it is.
    """
    own = {name for name, _ in headers}
    defaults = tuple({**dict(_OF_EVENTS), **dict(preset)}.items()) if preset else _OF_EVENTS
    return [*headers, *(default for default in defaults if default[0] not in own)]


def content_type(value: bytes | None) -> tuple[str, str]:
    """Return the media type of a ``Content-Type``, in lower case, and the charset of its text."""
    media_type, *parameters = (value or b"").decode("latin-1").split(";")
    charset = ""
    for parameter in parameters:
        name, _, text = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = charset or text.strip().strip('"')
    return media_type.strip().lower(), charset or "utf-8"


class ResponseHead:
    """The headers of a response that begins. The message that they came in is never changed."""

    def __init__(self, message: "Message") -> None:
        self._message = message
        self._all = [
            (bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())
        ]

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header."""
        return next((value for found, value in self._all if found == name), None)

    def content_type(self) -> tuple[str, str]:
        """Return the media type, and the charset of its text."""
        return content_type(self.get(b"content-type"))

    def varied(self, by: bytes = b"Accept") -> "Message":
        """Say that the response depends on a header of the request."""
        vary = [value for name, value in self._all if name == b"vary"]
        names = b",".join(vary).lower().replace(b" ", b"").split(b",")
        if b"*" in names or by.lower() in names:
            return self._message
        rest = [header for header in self._all if header[0] != b"vary"]
        return {**self._message, "headers": [*rest, (b"vary", b", ".join([*vary, by]))]}

    def of_converted(self, *, varying: bool) -> "Message":
        """Say that the body is events now."""
        content_type = (b"content-type", EVENT_STREAM + b"; charset=utf-8")
        kept = [one for one in self._all if one[0] not in _OF_THE_OLD_BODY]
        message = ResponseHead({**self._message, "headers": [content_type, *kept]}).of_events()
        return ResponseHead(message).varied() if varying else message

    def of_events(self) -> "Message":
        """Keep caches and proxies from holding events back, unless the application allows it."""
        kept = [one for one in self._all if one[0] not in (b"content-length", b"etag")]
        # Trailers after the body are not passed on, so no client may wait for them.
        message = {key: self._message[key] for key in self._message if key != "trailers"}
        return {**message, "headers": with_defaults(kept)}

    def coded(self, coding: str) -> "Message":
        """Say that the body is compressed."""
        header = (b"content-encoding", coding.encode())
        return {**self._message, "headers": [*self._all, header]}


def compressed(
    start: "Message", request_headers: Iterable[tuple[bytes, bytes]], codecs: Sequence[str]
) -> "tuple[Message, Callable[[], Codec] | None]":
    """Return how a stream begins, and what makes its codec, if its client wants one.

    Args:
        start: the ``http.response.start`` message.
        request_headers: of the ASGI scope.
        codecs: the names of those that are offered, the best first.
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
