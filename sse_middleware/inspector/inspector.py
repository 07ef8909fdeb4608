"""`Inspector`: an application to mount, whose page shows what the streams of another one do.

Rules of this file:
- Its streams belong to a registry of its own. So they aren't among those that it shows, no observer
  is told of them, and a limit of the application can't lock an operator out. They have a limit of
  their own.
- Its streams end when the server stops, and after ten minutes at the latest: then the page comes
  back, and the application is asked again whether it may.
- It shows one process and one event loop.
"""

from typing import Any, Literal
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sse_middleware.errors import ConfigurationError, HubError, TopicError, printable
from sse_middleware.guarded import Authorize, answer_of, path_below_mount
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.running import RunningHub
from sse_middleware.inspector.access import (
    Control,
    allowed_actions,
    check_access,
    check_action,
    check_site,
    is_controlled,
)
from sse_middleware.inspector.actions import check_process, close_stream, read_action, stop_run
from sse_middleware.inspector.feed import Feed
from sse_middleware.inspector.page_files import HEADERS, MEDIA_TYPES, file_response
from sse_middleware.inspector.rows import ORDERS
from sse_middleware.items.stream_template import StreamTemplates
from sse_middleware.registry.registries import Registries
from sse_middleware.request_context import SCOPE_KEY, RequestContext
from sse_middleware.response import EventSourceResponse
from sse_middleware.running_request import RUNNING_REQUEST
from sse_middleware.settings import Policy, StreamSettings
from sse_middleware.validation import UNSET, Unset, check, check_count, check_seconds

MAX_STREAMS = 32
"""How many streams of the inspector may be open in one process."""

MAX_DURATION = 600.0
"""Seconds that they last."""

_METHODS = ("GET", "HEAD")

_NEEDS_AUTHORIZE = (
    "Inspector needs authorize=, a function that gets the request and returns whether it may look: "
    "without one, everybody who can reach the path would see clients, topics and events. "
    "authorize=None shows it only on this machine, for development"
)


class Inspector:
    """Shows what the streams of an application do: ``app.mount("/_sse", Inspector(...))``.

    The page shows open streams, how the last ones ended, rates, and the topics and runs of a hub.
    It can watch any topic and any GET route. It is about one process, and costs nothing while
    nobody looks.

    Args:
        authorize: needed. Gets the request and returns True if it may look, or raises Starlette's
            ``HTTPException``. It runs in the event loop, and may be async. It is asked for each
            request of the page, which are made with the browser's cookies and credentials.
            ``None`` answers only clients on this machine, for development.
        control: whether the page may close streams, stop runs and drain the application: a
            function of the request and of ``"close"``, ``"stop"`` or ``"drain"``, which may be
            async, or one answer for all.
        hub: whose topics and runs are shown. By default it is the middleware's.
        interval: seconds between two looks at the numbers.
        limit: how many streams, topics and runs are shown at most.

    Raises:
        ConfigurationError: there is no `authorize`, or another argument can't work; or, when
            called, there is no `SSEMiddleware`.
    """

    def __init__(
        self,
        *,
        authorize: Authorize | Literal[Unset.UNSET] | None = UNSET,
        control: Control | bool = False,
        hub: Hub | None = None,
        interval: float = 1.0,
        limit: int = 200,
    ) -> None:
        if authorize is UNSET or not (authorize is None or callable(authorize)):
            given = "" if authorize is UNSET else f"; got {printable(repr(authorize))}"
            raise ConfigurationError(_NEEDS_AUTHORIZE + given)
        may = isinstance(control, bool) or callable(control)
        check("control", control, may, "True, False, or a function of a request and an action")
        check("hub", hub, hub is None or isinstance(hub, Hub), "a Hub, or None")
        check_seconds("interval", interval, "between two looks")
        check_count("limit", limit, "rows")
        self._authorize = authorize
        self._control = control
        self._hub = hub
        self._interval = interval
        self._limit = limit
        self._settings = StreamSettings(max_duration=MAX_DURATION)
        self._templates = StreamTemplates()
        self._registries = Registries(Policy(max_streams=MAX_STREAMS))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A WebSocket is closed."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        context = RequestContext.needed_by("Inspector", scope)
        own = RequestContext(
            context.connection, self._settings, self._templates, self._registries.current, context
        )
        own_scope = {**scope, SCOPE_KEY: own}
        try:
            response = await self._response(Request(own_scope, receive), context, own)
        except HTTPException as refused:
            response = answer_of(refused)
        response.headers.update(HEADERS)
        if not isinstance(response, EventSourceResponse):  # which has its own
            response.headers["cache-control"] = "no-store"
        await response(own_scope, receive, send)

    async def _response(
        self, request: Request, context: RequestContext, own: RequestContext
    ) -> Response:
        await check_access(self._authorize, request)
        name = path_below_mount(request.scope)
        if name == "control":
            return await self._act(request, context)
        if request.method not in _METHODS:
            raise HTTPException(405, "Method Not Allowed", {"allow": ", ".join(_METHODS)})
        if name == "":
            return _page(request)
        check_site(request)
        if name == "stream":
            return await self._feed(request, context, own)
        if name == "topic":
            return self._topic(request)
        if name == "run":
            return await self._run(request)
        if name not in MEDIA_TYPES:
            raise HTTPException(404, "Not Found")
        return file_response(name)

    async def _feed(
        self, request: Request, context: RequestContext, own: RequestContext
    ) -> Response:
        actions = await allowed_actions(self._control, request)
        wanted = request.query_params.get("order")
        order = next((one for one in ORDERS if one == wanted), ORDERS[0])
        feed = Feed(context.registry(), self._running_hub, order, self._limit)
        path = request.scope["path"]
        return _stream(feed.events(actions, path, self._interval, own.draining), item_type=Any)

    def _topic(self, request: Request) -> Response:
        query = request.query_params
        after = "start" if query.get("after") == "start" else None
        try:
            return _stream(self._open_hub().subscribe(query.get("name", ""), after=after))
        except TopicError as error:
            raise HTTPException(400, str(error)) from error  # which is escaped already

    async def _run(self, request: Request) -> Response:
        hub = self._open_hub()
        try:
            return _stream(await hub.attach(request.query_params.get("key", "")))
        except TopicError as error:
            raise HTTPException(400, str(error)) from error
        except HubError as error:
            raise HTTPException(503, "the hub or its store is away: try again") from error

    async def _act(self, request: Request, context: RequestContext) -> Response:
        if request.method != "POST":
            raise HTTPException(405, "act with POST", {"allow": "POST"})
        check_action(request)
        action, target, process = await read_action(request)
        if not await is_controlled(self._control, request, action):
            raise HTTPException(403, f"this request may not {action}")
        registry = context.registry()
        if action != "stop":  # which works from each process
            check_process(request, process, registry)
        if action == "close":
            done = close_stream(registry, target)
        elif action == "stop":
            done = await stop_run(self._find_hub(), target)
        else:
            registry.drain.begin()
            done = True
        return JSONResponse({"done": done})

    def _find_hub(self) -> Hub | None:
        request = RUNNING_REQUEST.get()
        return self._hub or (None if request is None else request.hub)

    def _running_hub(self) -> RunningHub | None:
        hub = self._find_hub()
        return None if hub is None else hub.running()

    def _open_hub(self) -> Hub:
        hub = self._find_hub()
        if hub is None or hub.running() is None:
            raise HTTPException(404, "there is no hub here: Inspector(hub=hub) shows one")
        return hub


def _stream(content: Any, **options: Any) -> EventSourceResponse:
    """Return a stream. It ends with its client, whatever the settings of a run say."""
    return EventSourceResponse(content, on_disconnect="cancel", **options)


def _page(request: Request) -> Response:
    """Return the page. Its links begin at a path that ends with a slash."""
    path = request.scope["path"]
    if not path.endswith("/"):
        return RedirectResponse(f"{quote(path.rpartition('/')[2])}/")
    return file_response("page.html")
