"""Observers to hand to ``SSEMiddleware(observers=[...])``.

What needs OpenTelemetry is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from sse_middleware.observers.logging import LoggingObserver

if TYPE_CHECKING:
    from sse_middleware.observers.opentelemetry import OpenTelemetryObserver
else:

    def __getattr__(name: str) -> type:
        """Import `OpenTelemetryObserver` (PEP 562)."""
        if name != "OpenTelemetryObserver":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from sse_middleware.observers.opentelemetry import (  # noqa: PLC0415 - when asked for
                OpenTelemetryObserver,
            )
        except ImportError as error:
            raise ImportError(
                f"{name} needs opentelemetry-api: pip install 'sse_middleware[otel]'"
            ) from error
        return OpenTelemetryObserver


__all__ = ["LoggingObserver", "OpenTelemetryObserver"]
