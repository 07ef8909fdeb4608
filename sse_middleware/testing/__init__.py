"""A test kit for event streams: tests keep-alives, disconnects and cleanup in memory.

    async with EventClient(app) as client:
        async with client.stream("GET", "/events") as events:
            assert (await events.next()).json() == {"value": 1}

It works with any ASGI application, with or without this package's middleware. It needs the extra
``testing``. pytest finds its fixtures without any configuration.
"""

try:
    import httpx  # noqa: F401 - nothing here works without it
except ImportError as error:
    raise ImportError(
        "sse_middleware.testing needs httpx: pip install 'sse_middleware[testing]'"
    ) from error

from sse_middleware.testing.client import EventClient
from sse_middleware.testing.errors import (
    LeftBehindError,
    NoAnswerError,
    NoEventError,
    ProtocolError,
    StillRunningError,
    TestingError,
    UsageError,
)
from sse_middleware.testing.event_stream import EventStream
from sse_middleware.testing.leftovers import nothing_left_behind
from sse_middleware.testing.sync import SyncEventClient, SyncEventStream
from sse_middleware.testing.transport import StreamingTransport
from sse_middleware.testing.virtual_time.clock import VirtualTime
from sse_middleware.testing.virtual_time.schedule import (
    DeadlockError,
    RealIOError,
    VirtualTimeError,
)

__all__ = [
    "DeadlockError",
    "EventClient",
    "EventStream",
    "LeftBehindError",
    "NoAnswerError",
    "NoEventError",
    "ProtocolError",
    "RealIOError",
    "StillRunningError",
    "StreamingTransport",
    "SyncEventClient",
    "SyncEventStream",
    "TestingError",
    "UsageError",
    "VirtualTime",
    "VirtualTimeError",
    "nothing_left_behind",
]
