"""The request whose endpoint runs, for a hub whose calls don't get the request.

Rules of this file:
- `SSEMiddleware` notes the request if it has a hub, and forgets it afterwards.
- What an endpoint starts, such as a task, has the request too. The run of a hub hasn't: it outlives
  the request.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

from sse_middleware.settings import StreamSettings
from sse_middleware.wire.request_headers import last_event_id


@dataclass(frozen=True, slots=True, eq=False)
class RunningRequest:
    """A request.

    Attributes:
        scope: of ASGI.
        settings: of its streams.
    """

    scope: Scope
    settings: StreamSettings

    @property
    def last_event_id(self) -> str:
        """The id of the last event that the client has had, ``""`` without one."""
        return last_event_id(self.scope.get("headers", ()), self.scope.get("query_string", b""))


RUNNING_REQUEST: ContextVar[RunningRequest | None] = ContextVar("running_request", default=None)
