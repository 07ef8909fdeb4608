"""Turns the bodies of endpoints that know nothing of events into event streams.

`LegacyRoute` configures a path. A `BodyAdapter` splits bodies of one more media type into the data
of events.
"""

from sse_middleware.legacy.bodies.adapters import AdapterFactory, BodyAdapter
from sse_middleware.legacy.bodies.body_format import BodyFormat
from sse_middleware.legacy.route import LegacyRoute

__all__ = ["AdapterFactory", "BodyAdapter", "BodyFormat", "LegacyRoute"]
