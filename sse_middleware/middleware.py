"""`SSEMiddleware`: gives every event stream of an application one policy.

Rules of this file:
- Each request finds a `RequestContext` in its scope. `EventSourceResponse` takes the settings, the
  connection and the registry from there.
- An event stream that the application makes itself is always adopted. Another body becomes a stream
  only if the client asks for events, or if a `LegacyRoute` matches. `AdoptedResponse` decides this.
- Every other response passes through unchanged, except that it may get a ``Vary: Accept``.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, Unpack

from asgiref.compatibility import guarantee_single_callable
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware.content import WRONG_CONTENT, origin_of
from sse_middleware.discovery import misplaced_tags
from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.events import NO_DATA
from sse_middleware.hub.hub import Hub
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.stream_template import StreamTemplates
from sse_middleware.legacy.adopted_response import AdoptedResponse
from sse_middleware.legacy.bodies.adapters import AdapterFactory
from sse_middleware.legacy.polling.polled_routes import Polling
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import AdoptionRules
from sse_middleware.openapi.document import describe_streams
from sse_middleware.records import Observer, StreamStats
from sse_middleware.registry.admission import peer_address
from sse_middleware.registry.registries import Registries
from sse_middleware.request_context import SCOPE_KEY, RequestContext
from sse_middleware.running_request import RUNNING_REQUEST, RunningRequest
from sse_middleware.settings import Policy, StreamOptions, StreamSettings
from sse_middleware.stream.connection import Connection
from sse_middleware.validation import check
from sse_middleware.wire.request_headers import accept_of

AnyASGIApp = Callable[..., Awaitable[None]]
"""An ASGI application. Its arguments have other types in other frameworks."""


class SSEMiddleware:
    """Gives every event stream of an ASGI application one policy.

    ::

        app.add_middleware(SSEMiddleware, ping_interval=20)

    The policy covers keep-alives, disconnects, limits, compression and shutdown. It applies to
    endpoints that use `event_stream` or `EventSourceResponse`, and to ``text/event-stream``
    responses of other libraries. For clients that ask for events, it also applies to bodies that
    become events, such as JSON lines. A `LegacyRoute` configures these.

    The keyword arguments of `StreamOptions` (``ping_interval``, ``send_timeout``, ...) are the
    defaults of every stream. An endpoint or a response may override each of them. The other
    arguments apply to all streams together. If two middlewares are nested, the inner one decides.

    Args:
        app: the ASGI application.
        legacy: routes whose endpoints know nothing about events. The first match counts.
        adapters: more media types whose bodies become event streams. Maps each to the name of an
            adapter (``"lines"``) or to a function that makes a `BodyAdapter`.
        drain: whether all streams end in good order when the server receives SIGTERM or SIGINT,
            each after its `drain_grace`. Without this, most servers wait for open streams for ever.
        drain_spread: seconds over which a drain spreads the ends of the streams.
        max_streams: how many streams may be open at once in one event loop, which is usually one
            process. ``None`` sets no limit.
        max_streams_per_client: how many streams one client may have open. ``None`` sets no limit.
        client_key: a function that takes the request and returns what identifies its client, or
            ``None`` for a client without a limit. By default it returns the peer's address. Behind
            a proxy that is the proxy's address, unless the server trusts the proxy's headers
            (``--proxy-headers``, ``--forwarded-allow-ips``).
        observers: functions that are called with a record of each thing that happens to a stream;
            see `sse_middleware.records`.
        hub: a hub that is opened and closed with the lifespan of the application. A hub that is
            open already stays open.
        openapi: whether the OpenAPI documents of the FastAPI applications inside describe their
            streams.
        settings: the settings of each stream; see `StreamOptions`.

    Raises:
        ConfigurationError: a setting is unknown, or its value can't work. The message names it.
    """

    def __init__(
        self,
        app: AnyASGIApp,
        *,
        legacy: Iterable[LegacyRoute] = (),
        adapters: Mapping[str, str | AdapterFactory] | None = None,
        drain: bool = True,
        drain_spread: float = 0.0,
        max_streams: int | None = None,
        max_streams_per_client: int | None = None,
        client_key: Callable[[HTTPConnection], str | None] = peer_address,
        observers: Sequence[Observer] = (),
        hub: Hub | None = None,
        openapi: bool = True,
        **settings: Unpack[StreamOptions],
    ) -> None:
        self.app: ASGIApp = _single_callable(app)
        self.settings = StreamSettings.of(settings)
        self._routes = _checked_routes(legacy)
        self._rules = AdoptionRules(adapters or {})
        self._polling = Polling(self.app)
        self._templates = StreamTemplates()
        check("hub", hub, hub is None or isinstance(hub, Hub), "a Hub, or None")
        self.hub = hub
        """The hub that opens and closes with the application."""
        self._openapi = openapi
        # The application that was described last, so that none is described at each request.
        self._described: object = ...
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
        self._find_registry = self._registries.current

    @classmethod
    def checked(cls, **arguments: Any) -> dict[str, Any]:
        """Check the arguments of a middleware, and return them.

        ``app.add_middleware(SSEMiddleware, **SSEMiddleware.checked(ping_interval=20))`` raises the
        error of a bad setting at this line. ``add_middleware`` only stores the settings: Starlette
        makes the middleware when the server starts.

        Raises:
            ConfigurationError: a setting is unknown, or its value can't work.
        """
        arguments = {**arguments, "legacy": tuple(arguments.get("legacy", ()))}
        cls(_no_application, **arguments)
        return arguments

    async def drain(self) -> None:
        """End all streams of the running event loop in good order.

        New ones are refused until the next lifespan. Returns when the last stream has ended, so a
        stream must not await it.
        """
        await self._registries.current().drain.run()

    def stats(self) -> StreamStats:
        """Return the numbers of the streams in the running event loop.

        Raises:
            RuntimeError: no event loop runs.
        """
        return self._registries.current().stats()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Put a `RequestContext` into the scope, and call the application."""
        # One function, because each request pays for each call here. Its arguments are Any, because
        # they have other types in other frameworks, which call it.
        if scope["type"] not in ("http", "websocket"):
            await self._call_without_request(scope, receive, send)
            return
        scope[SCOPE_KEY] = context = RequestContext(
            Connection(receive),
            self.settings,
            self._templates,
            self._find_registry,
            scope.get(SCOPE_KEY),
        )
        try:
            if scope["type"] == "websocket":
                await self.app(scope, receive, send)
                return
            if scope.get("app") is not self._described:  # its startup may have replaced `openapi`
                self._describe(scope)
                self._described = scope.get("app")
            route = self._matching_route(scope) if self._routes else None
            if route is not None and await self._apply(route, scope, context, send):
                return
            response = AdoptedResponse(scope, context, send, self._rules, route)
            if self.hub is not None:
                context.running = RUNNING_REQUEST.set(
                    RunningRequest(scope, context.settings, self.hub)  # a stream may forget it
                )
            try:
                await response.run(self.app)
            except BaseException as error:
                _explain(error, scope)
                if not response.keep(error):
                    raise
            finally:
                response.leave()
            if response.unfinished:
                await response.finish()
        finally:
            # Most servers' `receive` knows the scope, so this would be a reference cycle, with all
            # that the server holds of the request.
            context.leave()

    async def _call_without_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the lifespan, or pass on a type of scope that is unknown here."""
        if scope["type"] == "lifespan":
            await self._refuse_start_if_wrong(scope, receive, send)
            if self.hub is None or self.hub.is_open:
                await self._registries.run_lifespan(self.app, scope, receive, send)
            else:
                await self._run_lifespan_with(self.hub, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _run_lifespan_with(
        self, hub: Hub, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the lifespan with an open hub. If its store can't work, fail the server's startup.

        It is closed before the server hears of the end, because hypercorn then cancels the
        lifespan. On trio a task group that the application has open would not allow that, so only
        the runs end before.
        """
        end = hub.drain_runs if running_asyncio_task() is None else hub.close

        async def send_when_closed(message: Message) -> None:
            if message["type"].startswith("lifespan.shutdown."):
                await end()
            await send(message)

        try:
            await hub.open()
        except ConfigurationError as error:
            await _fail_startup(error, receive, send)
            raise
        try:
            await self._registries.run_lifespan(self.app, scope, receive, send_when_closed)
        finally:
            await hub.close()

    async def _refuse_start_if_wrong(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Describe the application. If it has a mistake, fail the server's startup, and raise."""
        try:
            self._describe(scope)
        except ConfigurationError as error:
            await _fail_startup(error, receive, send)
            raise

    def _describe(self, scope: Scope) -> None:
        app = scope.get("app", self.app)
        if misplaced := misplaced_tags(routes_of(app) or ()):
            raise ConfigurationError("; ".join(misplaced))
        if self._openapi:
            describe_streams(app)

    def _matching_route(self, scope: Scope) -> LegacyRoute | None:
        return next((route for route in self._routes if route.matches(scope)), None)

    async def _apply(
        self, route: LegacyRoute, scope: Scope, context: RequestContext, send: Send
    ) -> bool:
        """Apply a route to a request. Returns whether that has answered it, because it polls."""
        context.settings = route.overrides.over(context.settings)
        accept = accept_of(scope.get("headers", ())) or b"*/*"
        return route.polls(scope, accept) and await self._polling.respond(
            scope, context, send, route, accept
        )


async def _fail_startup(error: ConfigurationError, receive: Receive, send: Send) -> None:
    """Tell the server why the application can't start. An error alone is hidden by some servers."""
    await receive()
    await send({"type": "lifespan.startup.failed", "message": str(error)})


async def _no_application(scope: Scope, receive: Receive, send: Send) -> None:
    """Stand for the application where a middleware is only made to check its arguments."""


def _single_callable(app: Any) -> ASGIApp:
    """Return an ASGI 3 application, also if the given one is ASGI 2.

    asgiref takes every class, and every function that is not async, for ASGI 2. But Starlette's
    endpoint classes are ASGI 3: they take its three arguments, and the result is awaited.
    """
    awaited = isinstance(app, type) and hasattr(app, "__await__")
    if awaited or (_accepts(app, 3) and not _accepts(app, 1)):
        return app  # type: ignore[no-any-return]
    return guarantee_single_callable(app)  # type: ignore[no-any-return, no-untyped-call]


def _accepts(app: Any, arguments: int) -> bool:
    """Whether an application can be called with this number of arguments."""
    try:
        signature(app).bind(*range(arguments))
    except (TypeError, ValueError):  # there may be no signature
        return False
    return True


def _explain(error: BaseException, scope: Scope) -> None:
    """Add what is known about a mistake: how to fix it, or which endpoint FastAPI has called."""
    if not isinstance(error, TypeError):
        return
    said = str(error)
    if "JSON serializable" in said and "ServerSentEvent" in said:  # json.dumps knows no more
        error.add_note(NO_DATA)
    if said.startswith(WRONG_CONTENT):
        endpoint = origin_of(scope.get("endpoint"), None)
        error.add_note(f"the endpoint is {endpoint}")


def _checked_routes(legacy: Iterable[LegacyRoute]) -> tuple[LegacyRoute, ...]:
    routes = tuple(legacy)
    for route in routes:
        if not isinstance(route, LegacyRoute):
            raise ConfigurationError(f"legacy must contain only LegacyRoutes, got {route!r}")
    return routes
