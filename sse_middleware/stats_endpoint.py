"""`StreamStatsEndpoint`: answers with `StreamStats`, as JSON or as events.

Rules of this file:
- A client that watches counts as an open stream. But what is sent to such a client doesn't count as
  a change of the numbers, or each event would cause the next one.
- The stream of a client that has left always ends, whatever `on_disconnect` says.
- The numbers are about one process and one event loop, like everything in `StreamStats`.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sse_middleware.records import StreamStats
from sse_middleware.registry.counters import as_json
from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.request_context import RequestContext
from sse_middleware.response import EventSourceResponse
from sse_middleware.validation import check_seconds
from sse_middleware.wire.request_headers import accept_of, prefers_events

_METHODS = ("GET", "HEAD")

_VARY = "Accept"


class StreamStatsEndpoint:
    """Answers with the `StreamStats` of the application.

    ``Route("/streams", StreamStatsEndpoint())``, or mounted, in any ASGI application.

    It sends JSON, or events to a client that prefers ``text/event-stream``. The first event comes
    at once. Then one comes every `interval` seconds if something has changed, and a last one when
    the application drains. Such a client is itself a stream of the application and counts as one.

    Everybody who can reach the endpoint can read the numbers. Protect it like the application's
    other internal endpoints.

    Args:
        interval: seconds between two looks at the numbers.

    Raises:
        ConfigurationError: the interval is not a duration; or, when called, there is no
            `SSEMiddleware`.
    """

    def __init__(self, interval: float = 1.0) -> None:
        check_seconds("interval", interval, "between two events")
        self._interval = interval
        self._watchers = WeakKeyDictionary[Registry, set[Slot]]()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A WebSocket is closed."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        context = RequestContext.needed_by("StreamStatsEndpoint", scope)
        await self._response(scope, context)(scope, receive, send)

    def _response(self, scope: Scope, context: RequestContext) -> Response:
        if scope["method"] not in _METHODS:
            allow = {"allow": ", ".join(_METHODS)}
            return PlainTextResponse("Method Not Allowed", 405, allow)
        accept = accept_of(scope.get("headers", ()))
        if accept is not None and prefers_events(accept, b"application/json"):
            events = self._snapshots(context)
            # It never ends by itself, so `on_disconnect="finish"` must not apply.
            return EventSourceResponse(
                events, headers={"vary": _VARY}, item_type=Any, on_disconnect="cancel"
            )
        headers = {"cache-control": "no-store", "vary": _VARY}
        return JSONResponse(as_json(context.stats()), headers=headers)

    async def _snapshots(self, context: RequestContext) -> AsyncIterator[dict[str, Any]]:
        slot: Any = context.slot  # the stream has one once it is iterated
        watchers = self._watchers.setdefault(context.registry(), set())
        watchers.add(slot)
        try:
            known = None
            while True:
                stats = context.stats()
                current = _without(stats, watchers)
                if current != known:
                    known = current
                    yield as_json(stats)
                if stats.draining:
                    return
                with anyio.move_on_after(self._interval):
                    await context.draining.wait()
        finally:
            watchers.discard(slot)


def _without(stats: StreamStats, slots: set[Slot]) -> StreamStats:
    """Return the numbers without what was sent to these streams or waits in them."""
    counts = [slot.counts() for slot in slots]
    events, size, waiting = map(sum, zip((0, 0, 0), *counts, strict=True))
    return replace(
        stats,
        events=stats.events - events,
        size=stats.size - size,
        waiting=stats.waiting - waiting,
    )
