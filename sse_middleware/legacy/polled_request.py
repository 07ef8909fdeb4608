"""`PolledRequest`: one call of a polled endpoint. `Answer`: what the endpoint answered."""

from dataclasses import dataclass, field, replace
from hashlib import sha256

import anyio
from starlette.types import ASGIApp, Message, Scope

from sse_middleware.errors import BodyError
from sse_middleware.legacy.body_adapters import Chunks
from sse_middleware.legacy.route import LegacyRoute
from sse_middleware.request_context import SCOPE_KEY
from sse_middleware.wire.request_headers import EVENT_STREAM
from sse_middleware.wire.response_headers import content_type

_OK = 200

# Request headers of the subscriber that would change what the endpoint answers to a poll.
_NOT_FORWARDED = (
    b"accept",
    b"accept-encoding",
    b"if-none-match",
    b"if-modified-since",
    b"range",
    b"last-event-id",
)


@dataclass(slots=True)
class Answer:
    """One complete response."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    text: str = ""
    """The body as text, if it can become an event."""
    messages: list[Message] = field(default_factory=list)

    @property
    def etag(self) -> str:
        """The ``ETag`` of the answer. Empty if it has none."""
        return self.headers.get(b"etag", b"").decode("latin-1")

    @property
    def tag(self) -> str:
        """Changes when the answer does: the ``ETag``, or else a digest of the body."""
        return self.etag or sha256(self.body).hexdigest()[:32]

    @property
    def content_type(self) -> tuple[str, str]:
        """The media type of the body and the charset of its text."""
        return content_type(self.headers.get(b"content-type"))

    @property
    def encoded(self) -> bool:
        """Whether the body has a content coding, such as gzip."""
        return self.headers.get(b"content-encoding", b"identity").strip().lower() != b"identity"


class NotPushable(Exception):  # noqa: N818 - not an error: the client gets this answer
    """The endpoint gave an answer that can't become an event."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"status {answer.status}{', encoded' if answer.encoded else ''}")
        self.answer = answer


class PolledRequest:
    """Calls the endpoint once, and collects its answer."""

    def __init__(self, route: LegacyRoute) -> None:
        self._format = route.body
        self._answer = Answer()
        self._error: BodyError | None = None
        self._complete = anyio.Event()
        self._request_read = False

    async def send(self, app: ASGIApp, scope: Scope, etag: str) -> Answer:
        """Return the answer of `app`.

        Raises:
            BodyError: the answer can't become an event.
            Exception: what `app` raised.
        """
        await app(_scope_of_call(scope, etag), self._receive, self._send)
        if not self._complete.is_set():
            self._error = self._error or BodyError("the answer ended without its last message")
        if self._error is not None:
            raise self._error
        if self._answer.status == _OK and not self._answer.encoded:
            self._answer.text = self._text()
        return self._answer

    def _text(self) -> str:
        charset = self._answer.content_type[1]
        adapter = Chunks(replace(self._format, charset=charset))
        return b"".join([*adapter.feed(self._answer.body), *adapter.end()]).decode()

    async def _receive(self) -> Message:
        """Receive a request without a body. Its client stays until it has the answer."""
        if self._request_read:
            await self._complete.wait()
            return {"type": "http.disconnect"}
        self._request_read = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        answer = self._answer
        answer.messages.append(message)
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {bytes(k).lower(): bytes(v) for k, v in message.get("headers", ())}
            if answer.content_type[0] == EVENT_STREAM.decode():
                self._fail("a polled endpoint must not be a stream itself")
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")
            if len(answer.body) > self._format.max_piece:
                self._fail(f"the answer takes more than {self._format.max_piece} bytes")
            if not message.get("more_body", False):
                self._complete.set()

    def _fail(self, what: str) -> None:
        """Raise here, and again at the end of the call if the endpoint catches it."""
        self._error = BodyError(what)
        raise self._error


def _scope_of_call(scope: Scope, etag: str) -> Scope:
    """Return the scope of one call."""
    headers = [header for header in scope["headers"] if header[0] not in _NOT_FORWARDED]
    headers.append((b"accept", b"*/*"))
    if etag:
        headers.append((b"if-none-match", etag.encode("latin-1")))
    # Without the context, because its connection belongs to the stream and not to this call.
    kept = {key: scope[key] for key in scope if key != SCOPE_KEY}
    return {**kept, "headers": headers, "extensions": {}}
