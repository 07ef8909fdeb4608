"""Tells a server's own `receive` from one that a middleware has wrapped.

A server's own waits for a future or a queue, and opens nothing. So any task may go on with it. A
wrapper may open a task group (Starlette's `BaseHTTPMiddleware`) or set context variables
(OpenTelemetry), which only the task that has begun it can leave.
"""

from types import BuiltinMethodType, MethodType

from starlette.types import Receive

_METHODS = (MethodType, BuiltinMethodType)

_OWNERS = (
    "uvicorn.protocols.",
    "asyncio.queues",  # hypercorn's is the `get` of a queue
    "granian.",
    "sse_middleware.testing.",
)


def is_servers_own(receive: Receive) -> bool:
    """Whether a `receive` is a method of a server's."""
    if type(receive) not in _METHODS:  # a proxy around one (of wrapt) has its `__self__`, too
        return False
    return type(getattr(receive, "__self__", None)).__module__.startswith(_OWNERS)
