"""Polled endpoints become pushed ones: called again and again, and sent when their answer changes.

Rules of this file:
- The endpoint is called as its subscriber would call it: with the scope of the subscriber's
  request, but for ``Accept`` and its like, and the conditions of a cache.
- A first answer that is not 200 goes to the client as it is. A later one that fails is reported,
  and tried again after twice the time, and so on, up to `LONGEST_PAUSE`.
- Subscribers with the same key share one poll: one of them calls, and the others wait for its
  answer. When it leaves, another one goes on.
- The id of an event is the answer's ``ETag``, or a digest of it, so a client that comes back is
  sent what it has not seen.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from sse_middleware.events import ServerSentEvent
from sse_middleware.legacy.polled_request import Answer, NotOK, PolledRequest
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.response import EventSourceResponse
from sse_middleware.wire.request_headers import last_event_id, prefers_events

logger = logging.getLogger(__name__)


LONGEST_PAUSE = 60.0
"""Seconds between two calls of an endpoint that goes on failing, unless its own interval is longer:
long enough to leave it alone, short enough for nobody to come back by hand."""


_OK, _NOT_MODIFIED = 200, 304


Call = Callable[[str], Awaitable[Answer]]
"""Calls the endpoint, given the ``ETag`` that is known already."""


class Poll:
    """The latest answer of one endpoint, for one key."""

    def __init__(self, interval: float, name: str) -> None:
        self.subscribers = 0
        self.latest: Answer | None = None
        self.version = 0
        """Grows with each answer that differs."""
        self._interval = interval
        self._name = name
        self._failures = 0
        self._next_at = 0.0
        self._calling = False
        self._changed = anyio.Event()

    async def after(self, version: int, call: Call) -> Answer:
        """Wait for an answer that is newer. Raises what the very first call raises, or `NotOK`."""
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
            logger.warning("polling %s failed, next in %g s: %r", self._name, self._pause(), error)
        else:
            self._failures = 0

    def _keep(self, answer: Answer) -> None:
        if self.latest is not None and answer.status == _NOT_MODIFIED:
            return
        if answer.status != _OK or answer.encoded:
            raise NotOK(answer)
        if self.latest is None or answer.tag != self.latest.tag:
            self.latest = answer
            self.version += 1

    def _pause(self) -> float:
        longest = max(LONGEST_PAUSE, self._interval)
        return min(self._interval * 2.0 ** min(self._failures, 32), longest)


class Polling:
    """The polled routes of one middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._polls: dict[tuple[LegacyRoute, Hashable], Poll] = {}

    async def respond(
        self, scope: Scope, receive: Receive, send: Send, route: LegacyRoute, accept: bytes
    ) -> bool:
        """Answer with the events of a polled endpoint. Returns false if none are wanted."""
        key = route.key(Request(scope)) if route.key else None
        poll = self._joined(scope, route, key)

        async def call(etag: str) -> Answer:
            return await PolledRequest(route).send(self._app, scope, etag)

        try:
            answer = await poll.after(0, call)
            if not (route.always or prefers_events(accept, answer.content_type[0].encode())):
                return False
            events = _events(poll, call, route, last_event_id(scope["headers"]))
            headers = None if route.always else {"vary": "Accept"}
            await EventSourceResponse(events, headers=headers)(scope, receive, send)
        except NotOK as refused:
            for message in refused.answer.messages:
                await send(message)
        finally:
            self._leave(route, key, poll)
        return True

    def _joined(self, scope: Scope, route: LegacyRoute, key: Hashable) -> Poll:
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
    """Yield the latest answer, unless the client has seen it, and then each that differs."""
    version = 0
    while True:
        answer = await poll.after(version, call)
        version = poll.version
        if answer.tag != seen:
            seen = answer.tag
            yield ServerSentEvent(raw_data=answer.text, event=route.fields.event, id=seen)
