"""Server-Sent Events for ASGI applications.

    app.add_middleware(SSEMiddleware)

    @app.get("/events")
    @event_stream
    async def events():
        yield {"any": "JSON"}
        yield ServerSentEvent(event="note", data="with an event name", id="1")

- `SSEMiddleware`: one policy for every stream of an application. Its keyword arguments are the
  settings, which `StreamOptions` describes.
- `event_stream` and `EventSourceResponse`: make an endpoint a stream. They take the same settings.
- `ServerSentEvent`, `SSEModel`, `EventDiscriminator`: what to yield besides plain data.
- `last_event_id`: the id that a client reconnects with.
- `sse_context`: what the middleware knows about a request, such as whether the server is stopping.
- `Hub`: publishes to topics. Clients that reconnect get what they missed. `Keep` says how much.
  `Hub.resumable` runs a generator that outlives its client; `RunState` says how it ends.
- `Publisher`: publishes to a hub's topics without an event loop.
- `relay`: passes the event stream of another server on. `UpstreamError` says what is wrong with it.
- `presets`: what the clients of OpenAI, Anthropic, the AI SDK, MCP, htmx and Datastar expect.
- `Inspector`: a page that shows what the streams of an application do.
- `LegacyRoute`: makes streams of endpoints that know nothing of events.

More is in the packages below: `sse_middleware.testing` (a test kit), `sse_middleware.observers`
(records of what streams do), `sse_middleware.wire` (a decoder), `sse_middleware.legacy` (adapters
of other bodies), `sse_middleware.errors`, `sse_middleware.compat`.
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sse_middleware import presets
    from sse_middleware.endpoint import event_stream
    from sse_middleware.errors import ConfigurationError, EncodingError, FieldError, SSEError
    from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent, format_sse_event
    from sse_middleware.hub.hub import Hub
    from sse_middleware.hub.keep import Keep
    from sse_middleware.hub.publisher import Publisher
    from sse_middleware.hub.run import RunState
    from sse_middleware.inspector.inspector import Inspector
    from sse_middleware.items.typed_events import EventDiscriminator, SSEModel
    from sse_middleware.legacy.route import LegacyRoute
    from sse_middleware.middleware import SSEMiddleware
    from sse_middleware.openapi.components import sse_components
    from sse_middleware.openapi.document import sse_openapi
    from sse_middleware.records import CloseReason
    from sse_middleware.relaying.errors import UpstreamError
    from sse_middleware.relaying.relay import relay
    from sse_middleware.request_context import RequestContext, last_event_id, sse_context
    from sse_middleware.response import EventSourceResponse
    from sse_middleware.settings import StreamOptions
    from sse_middleware.stats_endpoint import StreamStatsEndpoint
    from sse_middleware.wire.request_headers import accepts_events

__all__ = [
    "KEEPALIVE_COMMENT",
    "CloseReason",
    "ConfigurationError",
    "EncodingError",
    "EventDiscriminator",
    "EventSourceResponse",
    "FieldError",
    "Hub",
    "Inspector",
    "Keep",
    "LegacyRoute",
    "Publisher",
    "RequestContext",
    "RunState",
    "SSEError",
    "SSEMiddleware",
    "SSEModel",
    "ServerSentEvent",
    "StreamOptions",
    "StreamStatsEndpoint",
    "UpstreamError",
    "accepts_events",
    "event_stream",
    "format_sse_event",
    "last_event_id",
    "presets",
    "relay",
    "sse_components",
    "sse_context",
    "sse_openapi",
]

__version__ = "0.1.0"

_MODULES = MappingProxyType(
    {
        "KEEPALIVE_COMMENT": "events",
        "CloseReason": "records",
        "ConfigurationError": "errors",
        "EncodingError": "errors",
        "EventDiscriminator": "items.typed_events",
        "EventSourceResponse": "response",
        "FieldError": "errors",
        "Hub": "hub.hub",
        "Inspector": "inspector.inspector",
        "Keep": "hub.keep",
        "LegacyRoute": "legacy.route",
        "Publisher": "hub.publisher",
        "RequestContext": "request_context",
        "RunState": "hub.run",
        "SSEError": "errors",
        "SSEMiddleware": "middleware",
        "SSEModel": "items.typed_events",
        "ServerSentEvent": "events",
        "StreamOptions": "settings",
        "StreamStatsEndpoint": "stats_endpoint",
        "UpstreamError": "relaying.errors",
        "accepts_events": "wire.request_headers",
        "event_stream": "endpoint",
        "format_sse_event": "events",
        "last_event_id": "request_context",
        "relay": "relaying.relay",
        "sse_components": "openapi.components",
        "sse_context": "request_context",
        "sse_openapi": "openapi.document",
    }
)
"""Where each name is defined. It is imported when it is first used (PEP 562)."""


def __getattr__(name: str) -> Any:
    if name == "presets":
        return import_module("sse_middleware.presets")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
