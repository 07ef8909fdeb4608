"""`EndpointCall`: one call of a polled endpoint. `Answer`: what the endpoint answered."""

import logging
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import chain

import anyio
from anyio.lowlevel import checkpoint
from starlette.types import ASGIApp, Message, Scope

from sse_middleware.errors import BodyError, printable
from sse_middleware.legacy.bodies.adapters import Chunks
from sse_middleware.legacy.bodies.body_format import MAX_PIECE
from sse_middleware.legacy.polling.call_scope import Headers, scope_of_one_call
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.legacy.rules import request_line
from sse_middleware.wire.encoding import single_line
from sse_middleware.wire.request_headers import EVENT_STREAM
from sse_middleware.wire.response_headers import content_type

logger = logging.getLogger(__name__)

OK, NOT_MODIFIED, SERVER_ERROR = 200, 304, 500

_TRY_AGAIN = (408, 425, 429)
"""Statuses below 500 that say nothing about this client's request: timeout, too early, too many."""


@dataclass(slots=True)
class Answer:
    """One complete response."""

    start: Message = field(default_factory=dict)
    """The ``http.response.start`` message."""
    status: int = 0
    headers: Headers = field(default_factory=list)
    """Their names are in lower case."""
    body: bytes = b""
    text: str = ""
    """The body as text, if it can become an event."""
    tag: str = ""
    """Changes when the answer does: the ``ETag``, or else a digest of the body."""

    def get(self, name: bytes) -> bytes | None:
        """Return the first value of a header."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def etag(self) -> str:
        """The ``ETag`` of the answer. Empty if it has none."""
        return (self.get(b"etag") or b"").decode("latin-1")

    @property
    def content_type(self) -> tuple[str, str]:
        """The media type of the body and the charset of its text."""
        return content_type(self.get(b"content-type"))

    @property
    def is_json(self) -> bool:
        """Whether the body is JSON, by its media type."""
        return self.content_type[0].endswith(("/json", "+json"))

    @property
    def vary(self) -> frozenset[bytes]:
        """The request headers that the answer depends on, in lower case, or ``*``."""
        lines = [value.lower().split(b",") for name, value in self.headers if name == b"vary"]
        return frozenset(name.strip() for line in lines for name in line) - {b""}

    @property
    def encoded(self) -> bool:
        """Whether the body has a content coding, such as gzip."""
        return (self.get(b"content-encoding") or b"identity").strip().lower() != b"identity"

    @property
    def messages(self) -> tuple[Message, Message]:
        """The messages of the response, without a promise of trailers."""
        start = {key: self.start[key] for key in self.start if key != "trailers"}
        return start, {"type": "http.response.body", "body": self.body, "more_body": False}


class NotPushable(Exception):  # noqa: N818 - not an error: the client gets this answer
    """The endpoint gave an answer that can't become an event."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}{', encoded' if answer.encoded else ''}")
        self.answer = answer

    @property
    def is_refusal(self) -> bool:
        """Whether the endpoint refuses this client's request, and would do so again."""
        status = self.answer.status
        return status != OK and status < SERVER_ERROR and status not in _TRY_AGAIN


class EndpointCall:
    """Calls the endpoint once, and collects its answer."""

    def __init__(self, route: LegacyRoute) -> None:
        self._format = route.body
        self._answer = Answer()
        self._body = bytearray()
        self._error: BodyError | None = None
        self._complete = anyio.Event()
        self._request_read = False

    async def send(self, app: ASGIApp, scope: Scope, etag: str) -> Answer:
        """Return the answer of `app`.

        Args:
            app: the application.
            scope: what all calls of the subscriber have in common.
            etag: the ``ETag`` of the answer that is known already, or an empty string.

        Raises:
            BodyError: the answer can't become an event.
            Exception: what `app` raised before its answer was complete.
        """
        try:
            await app(scope_of_one_call(scope, etag), self._receive, self._send)
        except Exception as error:
            if not self._complete.is_set():
                raise
            # A background task, for example. The client of a server has its answer by then.
            logger.warning("%s failed after its answer: %s", request_line(scope), printable(error))
        if not self._complete.is_set():
            self._error = self._error or BodyError("the answer ended without its last message")
        if self._error is not None:
            raise self._error
        answer = self._answer
        answer.body = bytes(self._body)
        if answer.status == OK and not answer.encoded:
            answer.tag = answer.etag or sha256(self._body).hexdigest()[:32]
            answer.text = await self._text()
        return answer

    async def _text(self) -> str:
        charset = self._answer.content_type[1]
        adapter = Chunks(replace(self._format, charset=charset))
        pieces: list[bytes] = []
        for piece in chain(adapter.feed(self._answer.body), adapter.end()):
            if piece is None:
                await checkpoint()  # a long text takes a while
            else:
                pieces.append(piece)
        text = b"".join(pieces)
        return (single_line(text) if self._answer.is_json else text).decode()

    async def _receive(self) -> Message:
        """Receive a request without a body. Its client stays until it has the answer."""
        if self._request_read:
            await self._complete.wait()
            return {"type": "http.disconnect"}
        self._request_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begin(message)
        elif message["type"] == "http.response.body" and not self._complete.is_set():
            self._add(bytes(message.get("body", b"")))
            if not message.get("more_body", False):
                self._complete.set()

    def _begin(self, message: Message) -> None:
        answer = self._answer
        headers = [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]
        answer.start = {**message, "headers": headers}  # they may be readable only once
        answer.status = message["status"]
        answer.headers = [(name.lower(), value) for name, value in headers]
        if answer.content_type[0] == EVENT_STREAM.decode():
            self._fail("a polled endpoint must not be a stream itself")

    def _add(self, body: bytes) -> None:
        bound = self._format.max_piece
        if self._answer.status != OK:  # not an event, but the client may get it as it is
            bound = max(bound, MAX_PIECE)
        self._body += body
        if len(self._body) > bound:
            self._fail(f"the answer takes more than {bound} bytes")

    def _fail(self, what: str) -> None:
        """Raise here, and again at the end of the call if the endpoint catches it."""
        self._error = BodyError(what)
        raise self._error
