"""`StreamStatsEndpoint`: what the streams of an application are doing, as JSON or as events.

Rules of this file:
- Who watches is counted among the open streams, but what is sent to those who watch is no news:
  otherwise each event would be the reason for the next one.
- The numbers are those of one process, in one event loop, as everything in `StreamStats`.
"""

from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any
from weakref import WeakKeyDictionary

import anyio
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sse_middleware.errors import ConfigurationError
from sse_middleware.records import StreamStats
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

    JSON, or events for a client that prefers ``text/event-stream``: one at once, then one each
    `interval` seconds when something has changed, and a last one when the application drains. Such
    a client is a stream of the application itself, and is counted as one.

    The numbers are for whoever may ask: put it behind what protects the application's other
    internal endpoints.

    Args:
        interval: seconds between two looks at the numbers.

    Raises:
        ConfigurationError: the interval is no duration; when called: there is no `SSEMiddleware`.
    """

    def __init__(self, interval: float = 1.0) -> None:
        check_seconds("interval", interval, "between two events")
        self._interval = interval
        self._watching: WeakKeyDictionary[Registry, set[Slot]] = WeakKeyDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a WebSocket is turned away."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        context = RequestContext.find(scope)
        if context is None:
            raise ConfigurationError(
                "StreamStatsEndpoint tells of streams below SSEMiddleware, and there is none"
            )
        await self._response(scope, context)(scope, receive, send)

    def _response(self, scope: Scope, context: RequestContext) -> Response:
        if scope["method"] not in _METHODS:
            allow = {"allow": ", ".join(_METHODS)}
            return PlainTextResponse("Method Not Allowed", 405, allow)
        accept = accept_of(scope["headers"])
        if accept is not None and prefers_events(accept, b"application/json"):
            events = self._numbers(context)
            return EventSourceResponse(events, headers={"vary": _VARY}, item_type=Any)
        headers = {"cache-control": "no-store", "vary": _VARY}
        return JSONResponse(_told(context.stats()), headers=headers)

    async def _numbers(self, context: RequestContext) -> AsyncIterator[dict[str, Any]]:
        slot: Any = context.slot  # a stream that is iterated has one
        watching = self._watching.setdefault(context.registry(), set())
        watching.add(slot)
        try:
            known = None
            while True:
                stats = context.stats()
                news = _without(stats, watching)
                if news != known:
                    known = news
                    yield _told(stats)
                if stats.draining:
                    return
                with anyio.move_on_after(self._interval):
                    await context.draining.wait()
        finally:
            watching.discard(slot)


def _without(stats: StreamStats, slots: set[Slot]) -> StreamStats:
    """Return the counts without what was sent to these streams, or waits in them."""
    counts = [slot.counts() for slot in slots]
    events, size, waiting = map(sum, zip((0, 0, 0), *counts, strict=True))
    return replace(
        stats,
        events=stats.events - events,
        size=stats.size - size,
        waiting=stats.waiting - waiting,
    )


def _told(stats: StreamStats) -> dict[str, Any]:
    """Return the counts as what JSON has."""
    told = {field.name: getattr(stats, field.name) for field in fields(stats)}
    return {**told, "closed": {reason.value: count for reason, count in stats.closed.items()}}
