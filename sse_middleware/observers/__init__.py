"""Observers for ``SSEMiddleware(observers=[...])``, and the records that they receive.

OpenTelemetry is imported when its observer is used.
"""

from typing import TYPE_CHECKING

from sse_middleware.observers.logging import LoggingObserver
from sse_middleware.records import (
    CloseReason,
    EventsSent,
    FirstEvent,
    GapTold,
    Observer,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
    StreamStats,
)

if TYPE_CHECKING:
    from sse_middleware.observers.opentelemetry import OpenTelemetryObserver
else:

    def __getattr__(name: str) -> type:
        """Import `OpenTelemetryObserver` (PEP 562)."""
        if name != "OpenTelemetryObserver":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from sse_middleware.observers.opentelemetry import (  # noqa: PLC0415 - only when used
                OpenTelemetryObserver,
            )
        except ImportError as error:
            raise ImportError(
                f"{name} needs opentelemetry-api: pip install 'sse_middleware[otel]'"
            ) from error
        return OpenTelemetryObserver


__all__ = [
    "CloseReason",
    "EventsSent",
    "FirstEvent",
    "GapTold",
    "LoggingObserver",
    "Observer",
    "OpenTelemetryObserver",
    "PingSent",
    "StreamClosed",
    "StreamInfo",
    "StreamOpened",
    "StreamRecord",
    "StreamStats",
]
