"""Bytes and headers, without I/O: writing and reading text/event-stream, codecs, HTTP headers."""

from sse_middleware.wire.decoding import (
    Comment,
    Decoded,
    EventStreamDecoder,
    MessageEvent,
    ReconnectionTime,
)
from sse_middleware.wire.encoding import format_sse_event

__all__ = [
    "Comment",
    "Decoded",
    "EventStreamDecoder",
    "MessageEvent",
    "ReconnectionTime",
    "format_sse_event",
]
