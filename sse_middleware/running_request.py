"""The request whose endpoint runs, for a hub whose calls don't get the request.

Rules of this file:
- `SSEMiddleware` notes the request if it has a hub, and forgets it afterwards.
- What an endpoint starts, such as a task, has the request too. The run of a hub hasn't: it outlives
  the request.
- The settings of an endpoint's tag are laid over those of the middleware before the endpoint runs.
  So the runs that it begins have them too.
"""

from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from starlette.types import Scope

from sse_middleware.settings import Overrides, StreamSettings
from sse_middleware.wire.request_headers import last_event_id


@dataclass(frozen=True, slots=True, eq=False)
class RunningRequest:
    """A request.

    Attributes:
        scope: of ASGI.
        settings: of its streams.
        hub: the middleware's `Hub`. This module is below it, so it doesn't know its type.
    """

    scope: Scope
    settings: StreamSettings
    hub: Any

    @property
    def only_views(self) -> bool:
        """Whether it must begin nothing: its client comes back, or wants no body (``HEAD``)."""
        headers, query = self.scope.get("headers", ()), self.scope.get("query_string", b"")
        return self.scope.get("method") == "HEAD" or last_event_id(headers, query) != ""


RUNNING_REQUEST: ContextVar[RunningRequest | None] = ContextVar("running_request", default=None)


def lay_over_request(overrides: Overrides) -> None:
    """Lay settings over those of the request that runs, if there is one."""
    request = RUNNING_REQUEST.get()
    if request is not None:
        settings = overrides.over(request.settings)
        if settings is not request.settings:
            RUNNING_REQUEST.set(replace(request, settings=settings))
