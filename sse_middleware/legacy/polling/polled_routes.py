"""`Polling`: calls an endpoint again and again, and sends its answer as an event when it changes.

Rules of this file:
- The endpoint is called as its subscriber would call it: with the scope of the subscriber's
  request, except for ``Accept`` and the like and for the conditions of a cache (`call_scope`).
- The first call is a part of the stream. So the stream is admitted first, and its end cancels the
  call like any other `await` of its generator. `held_response` says what becomes of its answer.
- Subscribers with the same key share their calls if their requests have the same URL, and equal
  headers where the answer's ``Vary`` names them (`sharing`).
- The stream of a client that has left always ends, whatever `on_disconnect` says: it would never
  end by itself.
- The id of an event is the ``ETag`` of the answer, or else a digest of its body. So a client that
  reconnects gets only what it has not seen.
"""

from collections.abc import AsyncIterator, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.requests import Request
from starlette.types import ASGIApp, Scope, Send

from sse_middleware.errors import ConfigurationError
from sse_middleware.event_loop.loop import current_token
from sse_middleware.events import ServerSentEvent
from sse_middleware.legacy.polling.call import Answer, EndpointCall, NotPushable
from sse_middleware.legacy.polling.call_scope import request_identity, scope_of_calls
from sse_middleware.legacy.polling.held_response import HeldResponse, kept_headers
from sse_middleware.legacy.polling.sharing import PollGroup, Subscriber
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import request_line
from sse_middleware.request_context import RequestContext
from sse_middleware.response import EventSourceResponse
from sse_middleware.wire.request_headers import last_event_id, prefers_events


class Polling:
    """Answers the requests for the polled routes of one middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._polls: dict[Hashable, PollGroup] = {}

    async def respond(
        self, scope: Scope, context: RequestContext, send: Send, route: LegacyRoute, accept: bytes
    ) -> bool:
        """Answer with the events of a polled endpoint. Returns false if the client wants none."""
        common = scope_of_calls(scope)

        async def call(etag: str) -> Answer:
            return await EndpointCall(route).send(self._app, common, etag)

        connection = context.connection
        assert connection is not None  # noqa: S101 - the request is in the middleware
        response = HeldResponse(connection.sending(send), context.settings.commit_after)
        with self._group(scope, route) as group:
            subscriber = Subscriber(group, call, common["headers"], response)
            wanted = None if route.always else accept
            seen = last_event_id(scope.get("headers", ()), scope.get("query_string", b""))
            events = _events(subscriber, response, wanted, route, seen)
            headers = None if route.always else {"vary": "Accept"}
            stream = EventSourceResponse(
                events, headers=headers, item_type=Any, on_disconnect="cancel"
            )
            await stream(scope, connection.receive, response.send)
        if response.left_to_endpoint:
            _take_back_claim(context)
        return not response.left_to_endpoint

    @contextmanager
    def _group(self, scope: Scope, route: LegacyRoute) -> Iterator[PollGroup]:
        """Take part in the group of a request: an existing one, if it shares its calls."""
        key = _key(scope, route)
        group = PollGroup(route.poll or 0.0, request_line(scope))
        if key is None:
            yield group
            return
        identity = (current_token(), route, request_identity(scope), key)
        group = self._polls.setdefault(identity, group)
        group.subscribers += 1
        try:
            yield group
        finally:
            group.subscribers -= 1
            if not group.subscribers:
                del self._polls[identity]


async def _events(
    subscriber: Subscriber,
    response: HeldResponse,
    accept: bytes | None,
    route: LegacyRoute,
    seen: str,
) -> AsyncIterator[ServerSentEvent]:
    """Yield the latest answer, unless the client has seen it, and then each one that differs."""
    response.expect_answer()
    try:
        answer = await subscriber.next_answer()
        if not response.begun and not _wants_events(accept, answer):
            response.leave_to_endpoint()
            return
        own = subscriber.own_answer
        response.begin_with(kept_headers(own or answer, own=own is not None))
        while True:
            if answer.tag != seen:
                seen = answer.tag
                yield ServerSentEvent(raw_data=answer.text, event=route.fields.event, id=seen)
            answer = await subscriber.next_answer()
    except NotPushable as refused:
        if not response.begun:
            response.replace_with(refused.answer)
    except Exception:
        if not response.begun:
            response.send_nothing()
        raise
    finally:
        response.stop_waiting()
        subscriber.leave()


def _wants_events(accept: bytes | None, answer: Answer) -> bool:
    """Whether a client prefers events to the document. Without an ``Accept`` it always does."""
    return accept is None or prefers_events(accept, answer.content_type[0].encode())


def _key(scope: Scope, route: LegacyRoute) -> Hashable:
    """Return the key of a request. Raises `ConfigurationError` if it isn't hashable."""
    if route.key is None:
        return None
    key = route.key(Request(scope))
    try:
        hash(key)
    except TypeError:
        raise ConfigurationError(
            f"key of {route!r} must return something hashable, such as a str, or None for a "
            f"request that shares nothing; got {key!r}"
        ) from None
    return key


def _take_back_claim(context: RequestContext) -> None:
    """Undo what the stream has said of the request: it is answered otherwise."""
    context.slot = None
    outer: RequestContext | None = context
    while outer is not None:
        outer.claimed = False
        outer = outer.outer
