"""`RequestContext`: what the middleware leaves in the scope, for responses and for applications.

A key of the scope passes every middleware in between. A message type of our own would not: some
middlewares drop types that they don't know, and others fail on them.
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import Token
from dataclasses import dataclass

import anyio
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope

from sse_middleware.errors import ConfigurationError
from sse_middleware.items.hints import reported_about
from sse_middleware.items.stream_template import StreamTemplates
from sse_middleware.records import StreamStats
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.running_request import RUNNING_REQUEST, RunningRequest
from sse_middleware.settings import Policy, StreamSettings
from sse_middleware.stream.connection import Connection
from sse_middleware.wire.request_headers import last_event_id as sent_event_id

SCOPE_KEY = "sse_middleware"
"""The key of the scope under which the `RequestContext` is found."""

_METHODS_WITHOUT_BODY = ("GET", "HEAD", None)  # None: a WebSocket handshake


@dataclass(slots=True, eq=False)
class RequestContext:
    """One request's policy and connection.

    An application uses `draining`, `drain` and `stats`, and gets this object from `sse_context`.
    The rest is for the middleware and its responses.
    """

    connection: Connection | None
    """``None`` once the request has left the middleware."""
    settings: StreamSettings
    templates: StreamTemplates
    find_registry: Callable[[], Registry]
    outer: "RequestContext | None" = None
    claimed: bool = False
    """Whether the response is a stream of this package."""
    slot: Slot | None = None
    """The stream's place among the open ones, once it has one."""
    running: Token[RunningRequest | None] | None = None
    """Forgets the request for a hub whose calls don't get it. ``None`` if there is none to forget.
    """
    _registry: Registry | None = None

    def registry(self) -> Registry:
        """Return the registry of the event loop. Once it is found, any thread may call this."""
        if self._registry is None:
            self._registry = self.find_registry()
        return self._registry

    def connection_of(self, scope: Scope, receive: Receive) -> Connection:
        """Return the connection of a response. What answers outside has one of its own.

        Starlette's handler of all exceptions is outside of the middleware, for example.
        """
        if self.connection is None:
            return _connection_outside(scope, receive)
        return self.connection

    def leave(self) -> None:
        """Forget what belongs to the request: it leaves the middleware."""
        assert self.connection is not None  # noqa: S101 - it leaves once
        self.connection.leave()
        self.connection = None
        self.forget_running()

    def forget_running(self) -> None:
        """Forget the request for a hub: nothing of its endpoint runs any more, and it is large."""
        if self.running is not None:
            with suppress(ValueError):  # in another context, which may run on
                RUNNING_REQUEST.reset(self.running)
                self.running = None

    def claim(self) -> None:
        """Say that the response is a stream of this package. Middlewares outside learn it, too."""
        context: RequestContext | None = self
        while context is not None:
            context.claimed = True
            context = context.outer

    @property
    def draining(self) -> anyio.Event:
        """Set once streams are to end: ``draining.is_set()``, ``await draining.wait()``."""
        return self.registry().drain.begun

    async def drain(self) -> None:
        """End all streams of the application in good order, and admit no more of them.

        Returns when the last one has ended, so a stream must not await it.
        """
        await self.registry().drain.run()

    def stats(self) -> StreamStats:
        """Return what the streams of the application are doing, in this event loop."""
        return self.registry().stats()

    @classmethod
    def find(cls, scope: Scope) -> "RequestContext | None":
        """Return the context of the innermost middleware, if there is one."""
        return scope.get(SCOPE_KEY)

    @classmethod
    def needed_by(cls, user: str, scope: Scope) -> "RequestContext":
        """Return the context of the innermost middleware.

        Args:
            user: the name of what can't do without it, for the error.
            scope: of the request.

        Raises:
            ConfigurationError: there is none.
        """
        context = cls.find(scope)
        if context is None:
            raise ConfigurationError(
                f"{user} needs SSEMiddleware around the application, and there is none: "
                "app.add_middleware(SSEMiddleware)"
            )
        return context


def without_middleware(scope: Scope, receive: Receive) -> RequestContext:
    """Return a context with the default settings, for a response without the middleware."""
    registry = Registry(Policy(drain=False))
    connection = _connection_outside(scope, receive)
    templates = StreamTemplates()
    templates.item_types.reported = reported_about(scope.get("endpoint"))
    return RequestContext(connection, StreamSettings(), templates, lambda: registry)


def _connection_outside(scope: Scope, receive: Receive) -> Connection:
    """Return the connection of a response outside of the middleware."""
    return Connection(receive, shared=scope.get("method") in _METHODS_WITHOUT_BODY)


def last_event_id(request: HTTPConnection) -> str:
    """Return the id of the last event that a client has received, ``""`` if it has none.

    A browser's ``EventSource`` sends it in the header ``Last-Event-ID`` when it reconnects. A
    client that can't set a header sends ``?last_event_id=``. The id is the event's own, beyond
    ASCII, too: browsers send UTF-8, which ``request.headers`` reads as Latin-1.

    ``last_event_id(request)`` in Starlette, ``Annotated[str, Depends(last_event_id)]`` in FastAPI.

    An id with a newline or NUL counts as none, because no event can have it. So does one that takes
    more than `sse_middleware.wire.request_headers.LONGEST_EVENT_ID` bytes. Bytes that are not UTF-8
    are read as Latin-1, as a script's ``fetch`` sends them.
    """
    scope = request.scope
    return sent_event_id(scope.get("headers", ()), scope.get("query_string", b""))


def sse_context(request: HTTPConnection) -> RequestContext:
    """Return what `SSEMiddleware` knows about a request: ``draining``, ``drain()``, ``stats()``.

    ``sse_context(request)`` in Starlette, ``Annotated[RequestContext, Depends(sse_context)]`` in
    FastAPI.

    Raises:
        ConfigurationError: there is no `SSEMiddleware` around the application.
    """
    return RequestContext.needed_by("sse_context", request.scope)
