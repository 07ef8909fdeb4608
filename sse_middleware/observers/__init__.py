"""Observers to hand to ``SSEMiddleware(observers=[...])``."""

from sse_middleware.observers.logging import LoggingObserver

__all__ = ["LoggingObserver"]
