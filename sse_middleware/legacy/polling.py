"""`Polling`: calls an endpoint again and again, and sends its answer as an event when it changes.

Rules of this file:
- The endpoint is called as its subscriber would call it: with the scope of the subscriber's
  request, except for ``Accept`` and the like and for the conditions of a cache.
- If the first answer is not a 200, it goes to the client as it is. If a later call fails, this is
  reported, and the time until the next call doubles, up to `LONGEST_PAUSE`.
- Subscribers with the same key share one poll. One of them makes the call, and the others wait for
  its answer. When it leaves, another one makes the calls.
- The id of an event is the ``ETag`` of the answer, or else a digest of its body. So a client that
  reconnects gets only what it has not seen.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware.events import ServerSentEvent
from sse_middleware.legacy.polled_request import Answer, NotPushable, PolledRequest
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.response import EventSourceResponse
from sse_middleware.wire.request_headers import last_event_id, prefers_events

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two calls of an endpoint that keeps failing, unless its own interval is longer.
Long enough to spare the endpoint, short enough that nobody reloads the page by hand."""


_OK, _NOT_MODIFIED = 200, 304


Call = Callable[[str], Awaitable[Answer]]
"""Calls the endpoint. Takes the last ``ETag``, or an empty string."""


class Poll:
    """Holds the latest answer of one endpoint for one key."""

    def __init__(self, interval: float, name: str) -> None:
        self.subscribers = 0
        self.latest: Answer | None = None
        self.version = 0
        """Grows by one with each answer that differs from the one before."""
        self._interval = interval
        self._name = name
        self._failures = 0
        self._next_at = 0.0
        self._calling = False
        self._changed = anyio.Event()

    async def newer_than(self, version: int, call: Call) -> Answer:
        """Wait for an answer that is newer than a version. Raises what the first call raises."""
        while self.version <= version or self.latest is None:
            if self._calling:
                await self._changed.wait()
            else:
                await self._call(call)
        return self.latest

    async def _call(self, call: Call) -> None:
        self._calling = True
        try:
            await anyio.sleep_until(self._next_at)
            await self._try(call)
            self._next_at = anyio.current_time() + self._pause()
        finally:
            self._calling = False
            self._changed.set()
            self._changed = anyio.Event()

    async def _try(self, call: Call) -> None:
        try:
            self._keep(await call(self.latest.etag if self.latest else ""))
        except Exception as error:
            if self.latest is None:
                raise
            self._failures += 1
            logger.warning(
                "polling %s failed, next call in %g s: %r", self._name, self._pause(), error
            )
        else:
            self._failures = 0

    def _keep(self, answer: Answer) -> None:
        if self.latest is not None and answer.status == _NOT_MODIFIED:
            return
        if answer.status != _OK or answer.encoded:
            raise NotPushable(answer)
        if self.latest is None or answer.tag != self.latest.tag:
            self.latest = answer
            self.version += 1

    def _pause(self) -> float:
        longest = max(LONGEST_PAUSE, self._interval)
        return min(self._interval * 2.0 ** min(self._failures, 32), longest)


class Polling:
    """Answers the requests for the polled routes of one middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._polls: dict[tuple[LegacyRoute, Hashable], Poll] = {}

    async def respond(
        self, scope: Scope, receive: Receive, send: Send, route: LegacyRoute, accept: bytes
    ) -> bool:
        """Answer with the events of a polled endpoint. Returns false if the client wants none."""
        key = route.key(Request(scope)) if route.key else None
        poll = self._join(scope, route, key)

        async def call(etag: str) -> Answer:
            return await PolledRequest(route).send(self._app, scope, etag)

        try:
            answer = await poll.newer_than(0, call)
            if not (route.always or prefers_events(accept, answer.content_type[0].encode())):
                return False
            events = _events(poll, call, route, last_event_id(scope["headers"]))
            headers = None if route.always else {"vary": "Accept"}
            await EventSourceResponse(events, headers=headers)(scope, receive, send)
        except NotPushable as refused:
            for message in refused.answer.messages:
                await send(message)
        finally:
            self._leave(route, key, poll)
        return True

    def _join(self, scope: Scope, route: LegacyRoute, key: Hashable) -> Poll:
        poll = self._polls.get((route, key)) if key is not None else None
        if poll is None:
            poll = Poll(route.poll or 0.0, f"{scope['method']} {scope['path']}")
            if key is not None:
                self._polls[route, key] = poll
        poll.subscribers += 1
        return poll

    def _leave(self, route: LegacyRoute, key: Hashable, poll: Poll) -> None:
        poll.subscribers -= 1
        if not poll.subscribers:
            self._polls.pop((route, key), None)


async def _events(
    poll: Poll, call: Call, route: LegacyRoute, seen: str
) -> AsyncIterator[ServerSentEvent]:
    """Yield the latest answer, unless the client has seen it, and then each one that differs."""
    version = 0
    while True:
        answer = await poll.newer_than(version, call)
        version = poll.version
        if answer.tag != seen:
            seen = answer.tag
            yield ServerSentEvent(raw_data=answer.text, event=route.fields.event, id=seen)
