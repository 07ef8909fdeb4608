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
from dataclasses import dataclass, field, replace
from hashlib import sha256

import anyio
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware.accept import EVENT_STREAM, prefers_events
from sse_middleware.bodies import Chunks
from sse_middleware.body_text import content_type
from sse_middleware.errors import BodyError
from sse_middleware.events import ServerSentEvent
from sse_middleware.handover import SCOPE_KEY
from sse_middleware.legacy import LegacyRoute
from sse_middleware.response import EventSourceResponse

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two calls of an endpoint that goes on failing, unless its own interval is longer:
long enough to leave it alone, short enough for nobody to come back by hand."""

_OK, _NOT_MODIFIED = 200, 304

_OF_ANOTHER_ANSWER = (
    b"accept",
    b"accept-encoding",
    b"if-none-match",
    b"if-modified-since",
    b"range",
    b"last-event-id",
)


@dataclass(slots=True)
class Answer:
    """One whole response."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    text: str = ""
    """The body, if it can be pushed."""
    messages: list[Message] = field(default_factory=list)

    @property
    def etag(self) -> str:
        """What the endpoint says that changes with its answer; empty if it says nothing."""
        return self.headers.get(b"etag", b"").decode("latin-1")

    @property
    def tag(self) -> str:
        """What changes when the answer does."""
        return self.etag or sha256(self.body).hexdigest()[:32]

    @property
    def content_type(self) -> tuple[str, str]:
        """The media type, and the charset of its text."""
        return content_type(self.headers.get(b"content-type"))

    @property
    def encoded(self) -> bool:
        """Whether the body is compressed, or the like."""
        return self.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity"


class NotOK(Exception):  # noqa: N818 - no error, but an answer that the client shall have
    """The endpoint answered, but not with what can be pushed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}{', encoded' if answer.encoded else ''}")
        self.answer = answer


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
            return await _Called(route).by(self._app, scope, etag)

        try:
            answer = await poll.after(0, call)
            if not (route.always or prefers_events(accept, answer.content_type[0].encode())):
                return False
            events = _events(poll, call, route, _last_event_id(scope))
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


class _Called:
    """One call of the endpoint."""

    def __init__(self, route: LegacyRoute) -> None:
        self._form = route.body
        self._answer = Answer()
        self._error: BodyError | None = None
        self._complete = anyio.Event()
        self._asked = False

    async def by(self, app: ASGIApp, scope: Scope, etag: str) -> Answer:
        """Return the answer of `app`.

        Raises:
            BodyError: it is none that can be pushed.
            Exception: what `app` raised.
        """
        await app(_asking(scope, etag), self._receive, self._send)
        if not self._complete.is_set():
            self._error = self._error or BodyError("the answer ended without its last message")
        if self._error is not None:
            raise self._error
        if self._answer.status == _OK and not self._answer.encoded:
            self._answer.text = self._text()
        return self._answer

    def _text(self) -> str:
        charset = self._answer.content_type[1]
        adapter = Chunks(replace(self._form, charset=charset))
        return b"".join([*adapter.feed(self._answer.body), *adapter.end()]).decode()

    async def _receive(self) -> Message:
        """Receive nothing: a request without a body, whose client stays until it has its answer."""
        if self._asked:
            await self._complete.wait()
            return {"type": "http.disconnect"}
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        answer = self._answer
        answer.messages.append(message)
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {bytes(k).lower(): bytes(v) for k, v in message.get("headers", ())}
            if answer.content_type[0] == EVENT_STREAM.decode():
                self._fail("an endpoint that is polled must not be a stream itself")
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            if len(answer.body) > self._form.max_piece:
                self._fail(f"the answer takes more than {self._form.max_piece} bytes")
            if not message.get("more_body", False):
                self._complete.set()

    def _fail(self, what: str) -> None:
        """Fail here, and in the end if the endpoint catches it."""
        self._error = BodyError(what)
        raise self._error


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


def _asking(scope: Scope, etag: str) -> Scope:
    """Return the scope of one call."""
    headers = [header for header in scope["headers"] if header[0] not in _OF_ANOTHER_ANSWER]
    headers.append((b"accept", b"*/*"))
    if etag:
        headers.append((b"if-none-match", etag.encode("latin-1")))
    # Without the hand-over: the connection is that of the stream, and not of an answer to a poll.
    asking = {key: scope[key] for key in scope if key != SCOPE_KEY}
    return {**asking, "headers": headers, "extensions": {}}


def _last_event_id(scope: Scope) -> str:
    header: bytes = dict(scope["headers"]).get(b"last-event-id", b"")
    return header.decode(errors="replace")
