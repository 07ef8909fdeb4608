"""`SSEMiddleware`: one policy for every stream of an application."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Unpack

from asgiref.compatibility import guarantee_single_callable
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware.errors import ConfigurationError
from sse_middleware.items.item_type import ItemTypes
from sse_middleware.legacy.adopted_response import AdoptedResponse
from sse_middleware.legacy.body_adapters import AdapterFactory
from sse_middleware.legacy.polling import Polling
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import AdoptionRules
from sse_middleware.openapi.document import describe_streams
from sse_middleware.records import Observer, StreamStats
from sse_middleware.registry.admission import peer_address
from sse_middleware.registry.registry import Registries
from sse_middleware.request_context import SCOPE_KEY, RequestContext
from sse_middleware.settings import Policy, StreamOptions, StreamSettings
from sse_middleware.stream.connection import Connection
from sse_middleware.wire.request_headers import accept_of, names_events


class SSEMiddleware:
    """Streams Server-Sent Events for every endpoint tagged as such.

    ``app.add_middleware(SSEMiddleware, ping_interval=20)``. The keyword arguments are the defaults
    of every stream below; see `StreamSettings`. Of two middlewares the inner one decides.

    Responses of other origin that are events, or become events where a client wants them, come
    under the same policy: see `LegacyRoute`.

    Args:
        app: any ASGI application.
        legacy: what is known of paths whose endpoints know nothing of events.
        adapters: from further media types to what makes a `BodyAdapter` of them, or to its name.
        drain: whether all streams are ended in good order when the server is told to stop (SIGTERM,
            SIGINT), each after its `drain_grace`. Without that most servers wait for them for ever.
        drain_spread: seconds over which their ends are spread.
        max_streams: how many may be open at once in this process (in this event loop).
        max_streams_per_client: how many of one client.
        client_key: what tells clients apart, given the request; ``None`` for one without a limit.
            By default the peer's address. Behind a proxy that is the proxy's, unless the server is
            told to trust its headers (``--proxy-headers``, ``--forwarded-allow-ips``).
        observers: functions that are told what happens; see `sse_middleware.records`.
        openapi: whether the OpenAPI documents of FastAPI applications below describe the streams.
        settings: the fields of `StreamSettings`.

    Raises:
        ConfigurationError: an unknown setting, or a value that can't work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        legacy: Iterable[LegacyRoute] = (),
        adapters: Mapping[str, str | AdapterFactory] | None = None,
        drain: bool = True,
        drain_spread: float = 0.0,
        max_streams: int | None = None,
        max_streams_per_client: int | None = None,
        client_key: Callable[[HTTPConnection], str | None] = peer_address,
        observers: Sequence[Observer] = (),
        openapi: bool = True,
        **settings: Unpack[StreamOptions],
    ) -> None:
        self.app: ASGIApp = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
        self.settings = StreamSettings.of(settings)
        self._routes = _checked(legacy)
        self._rules = AdoptionRules(adapters or {})
        self._polling = Polling(self.app)
        self._item_types = ItemTypes()
        self._openapi = openapi
        self._described: object = ...  # the last application whose documents have been seen to
        self._registries = Registries(
            Policy(
                drain=drain,
                drain_spread=drain_spread,
                max_streams=max_streams,
                max_streams_per_client=max_streams_per_client,
                client_key=client_key,
                observers=observers,
            )
        )

    async def drain(self) -> None:
        """End all streams of the running event loop in good order, and admit no more of them.

        Returns when the last one has ended.
        """
        await self._registries.current().drain.run()

    def stats(self) -> StreamStats:
        """Return what the streams of the running event loop are doing."""
        return self._registries.current().stats()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Leave a `RequestContext` in the scope and call the application."""
        if scope["type"] == "lifespan":
            self._describe(scope)
            await self.app(scope, self._registries.renewed().until_shutdown(receive), send)
            return
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        connection = Connection(receive)
        outer = scope.get(SCOPE_KEY)
        scope[SCOPE_KEY] = context = RequestContext(
            connection, self.settings, self._item_types, self._registries.current, outer
        )
        if scope["type"] == "websocket":
            await self.app(scope, receive, send)
            return
        if scope.get("app") is not self._described:  # its startup may have made an `openapi`
            self._describe(scope)
            self._described = scope.get("app")
        accept = accept_of(scope["headers"])
        route = self._route(scope) if self._routes else None
        if route is None and (accept is None or not names_events(accept)):
            await self.app(scope, connection.receive, connection.sending(send, self._rules.varied))
            return
        accept = accept or b"*/*"
        if route is not None and await self._polled(scope, context, send, route, accept):
            return
        await AdoptedResponse(self.app, scope, context, send, self._rules, accept, route).respond()

    def _describe(self, scope: Scope) -> None:
        if self._openapi:
            describe_streams(scope.get("app", self.app))

    def _route(self, scope: Scope) -> LegacyRoute | None:
        return next((route for route in self._routes if route.matches(scope)), None)

    async def _polled(
        self, scope: Scope, context: RequestContext, send: Send, route: LegacyRoute, accept: bytes
    ) -> bool:
        """Lay a route's settings over the middleware's, and answer by polling if it says so."""
        context.settings = route.overrides.over(context.settings)
        receive, send = context.connection.receive, context.connection.sending(send)
        return route.polls(scope, accept) and await self._polling.respond(
            scope, receive, send, route, accept
        )


def _checked(legacy: Iterable[LegacyRoute]) -> tuple[LegacyRoute, ...]:
    routes = tuple(legacy)
    for route in routes:
        if not isinstance(route, LegacyRoute):
            raise ConfigurationError(f"legacy must be LegacyRoutes, got {route!r}")
    return routes
