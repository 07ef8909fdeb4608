"""Endpoints that know nothing of events: their bodies become event streams.

``LegacyRoute`` says what is known of a path. A ``BodyAdapter`` cuts a body of a further media type
into the data of events.
"""

from sse_middleware.legacy.body_adapters import AdapterFactory, BodyAdapter
from sse_middleware.legacy.body_text import BodyFormat
from sse_middleware.legacy.route import LegacyRoute

__all__ = ["AdapterFactory", "BodyAdapter", "BodyFormat", "LegacyRoute"]
