"""Server-Sent Events for ASGI applications: ``app.add_middleware(SSEMiddleware)``."""

from sse_middleware.accept import accepts_events
from sse_middleware.bodies import BodyAdapter
from sse_middleware.body_text import BodyFormat
from sse_middleware.endpoint import event_stream
from sse_middleware.errors import (
    BodyError,
    ConfigurationError,
    EncodingError,
    EventTooLargeError,
    FieldError,
    SSEError,
)
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent, format_sse_event
from sse_middleware.legacy import LegacyRoute
from sse_middleware.middleware import SSEMiddleware
from sse_middleware.openapi import sse_components, sse_openapi
from sse_middleware.preset import Preset
from sse_middleware.records import (
    CloseReason,
    EventsSent,
    FirstEvent,
    Observer,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
    StreamStats,
)
from sse_middleware.response import EventSourceResponse
from sse_middleware.settings import StreamOptions, StreamSettings
from sse_middleware.stats import StreamStatsEndpoint
from sse_middleware.typed import EventDiscriminator, SSEModel
from sse_middleware.wire import Comment, EventStreamDecoder, MessageEvent, ReconnectionTime

__all__ = [
    "KEEPALIVE_COMMENT",
    "BodyAdapter",
    "BodyError",
    "BodyFormat",
    "CloseReason",
    "Comment",
    "ConfigurationError",
    "EncodingError",
    "EventDiscriminator",
    "EventSourceResponse",
    "EventStreamDecoder",
    "EventTooLargeError",
    "EventsSent",
    "FieldError",
    "FirstEvent",
    "LegacyRoute",
    "MessageEvent",
    "Observer",
    "PingSent",
    "Preset",
    "ReconnectionTime",
    "SSEError",
    "SSEMiddleware",
    "SSEModel",
    "ServerSentEvent",
    "StreamClosed",
    "StreamInfo",
    "StreamOpened",
    "StreamOptions",
    "StreamRecord",
    "StreamSettings",
    "StreamStats",
    "StreamStatsEndpoint",
    "accepts_events",
    "event_stream",
    "format_sse_event",
    "sse_components",
    "sse_openapi",
]

__version__ = "0.1.0"
