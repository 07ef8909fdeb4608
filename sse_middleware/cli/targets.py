"""Finds what a target of the command names: an application, an endpoint or an item type.

Rules of this file:
- Settings are those of the innermost middleware around an endpoint, with those of its tag over
  them. What a response is given when it is made can't be known.
- Only an endpoint that returns what it streams can stream a subscription of a hub, so only that has
  ``gap`` events: if it is annotated so, or if a middleware around it has a hub.
"""

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from operator import attrgetter
from typing import Any

from sse_middleware import events
from sse_middleware.cli.client_stream import ClientStream
from sse_middleware.cli.operations import Documents, unwrapped
from sse_middleware.discovery import FoundStream, find_streams
from sse_middleware.endpoint import FUNCTION, ITEM_TYPE, SETTINGS
from sse_middleware.errors import ConfigurationError
from sse_middleware.hub.subscription import Subscription
from sse_middleware.introspection.starlette import routes_of
from sse_middleware.items.annotations import returns_class
from sse_middleware.items.item_type import ItemType, underlying
from sse_middleware.middleware import SSEMiddleware
from sse_middleware.settings import Overrides, StreamSettings
from sse_middleware.validation import UNSET
from sse_middleware.wire.json_text import to_json

KEEPALIVES = 3
"""How many keep-alives in a row may be missing before a connection is lost."""


def streams_of(target: str) -> dict[str, ClientStream]:
    """Return the streams of a target, keyed by their paths or by the target's own name.

    Args:
        target: ``module:name`` of an application, of a tagged endpoint or of an item type.

    Raises:
        ConfigurationError: nothing is found there, or the application has no streams.
    """
    found = _load(target)
    name = target.rpartition(":")[2]
    if hasattr(found, ITEM_TYPE):
        return {name: ClientStream(getattr(found, ITEM_TYPE)())}
    routes = None if isinstance(found, type) else routes_of(found)
    if routes is None:
        return {name: ClientStream(ItemType.declared(found))}
    if not (streams := streams_of_application(found)):
        raise ConfigurationError(
            f"{target} has no streams: no endpoint uses @event_stream or "
            "response_class=EventSourceResponse, and none is annotated with -> EventSourceResponse"
        )
    return streams


def streams_of_application(app: Any) -> dict[str, ClientStream]:
    """Return the streams of an application, keyed by ``"/path"``, or ``"POST /path"``."""
    streams: dict[str, ClientStream] = {}
    documents = Documents()
    for one in find_streams(routes_of(app) or (), (("", app),)):
        key = one.path if one.method == "GET" else f"{one.method} {one.path}"
        if key not in streams:  # the first matching route answers
            streams[key] = _described(one, documents)
    return streams


def _described(found: FoundStream, documents: Documents) -> ClientStream:
    middlewares = list(_middlewares(app for _, app in reversed(found.mounts)))
    outer = middlewares[0].settings if middlewares else StreamSettings()
    settings = getattr(found.endpoint, SETTINGS, Overrides({})).over(outer)
    has_hub = any(one.hub is not None for one in middlewares)
    return ClientStream(
        found.item_type,
        tells_gaps=_may_subscribe(found.endpoint, has_hub=has_hub),
        idle_timeout=_idle_timeout(settings),
        last=_last_event(settings),
        operation=documents.operation_of(found),
    )


def _middlewares(apps: Iterable[Any]) -> Iterator[SSEMiddleware]:
    """Yield the middlewares in and around applications, the innermost of each one first."""
    for outermost in apps:
        around, app = unwrapped(outermost)
        for added in reversed(getattr(app, "user_middleware", ())):
            if isinstance(added.cls, type) and issubclass(added.cls, SSEMiddleware):
                yield added.cls(app, *added.args, **added.kwargs)
        yield from (one for one in reversed(around) if isinstance(one, SSEMiddleware))


def _may_subscribe(endpoint: Any, *, has_hub: bool) -> bool:
    """Whether an endpoint may return a subscription or the view of a run."""
    code = underlying(getattr(endpoint, FUNCTION, endpoint))
    if inspect.isasyncgenfunction(code) or inspect.isgeneratorfunction(code):
        return False
    return has_hub or returns_class(code, Subscription)


def _idle_timeout(settings: StreamSettings) -> float | None:
    interval = settings.ping_interval
    if interval is UNSET:
        interval = events._PING_INTERVAL  # noqa: SLF001 - private by name only
    return None if interval is None else KEEPALIVES * interval


def _last_event(settings: StreamSettings) -> tuple[str, str] | None:
    """Return the name and the data of the event after the last item, as a client reads them."""
    last = None if settings.preset is None else settings.preset.last
    if last is None:
        return None
    data = last.raw_data if last.data is None else to_json(last.data, by_alias=True).decode()
    return None if data is None else (last.event or "message", data)


def _load(target: str) -> Any:
    module_name, _, name = target.partition(":")
    if not (module_name and name):
        raise ConfigurationError(f"the target must be module:name (main:app), got {target!r}")
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if f"{module_name}.".startswith(f"{error.name}."):
            raise ConfigurationError(
                f"there is no module {error.name!r}: run this where `import {module_name}` works"
            ) from error
        raise
    try:
        return attrgetter(name)(module)
    except AttributeError as error:
        raise ConfigurationError(f"the module {module_name!r} has no {name!r}") from error
