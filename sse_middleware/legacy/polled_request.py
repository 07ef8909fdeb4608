"""`PolledRequest`: one call of an endpoint that is polled, and its answer."""

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


class PolledRequest:
    """One call of the endpoint."""

    def __init__(self, route: LegacyRoute) -> None:
        self._form = route.body
        self._answer = Answer()
        self._error: BodyError | None = None
        self._complete = anyio.Event()
        self._asked = False

    async def send(self, app: ASGIApp, scope: Scope, etag: str) -> Answer:
        """Return the answer of `app`.

        Raises:
            BodyError: it is none that can be pushed.
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


def _scope_of_call(scope: Scope, etag: str) -> Scope:
    """Return the scope of one call."""
    headers = [header for header in scope["headers"] if header[0] not in _OF_ANOTHER_ANSWER]
    headers.append((b"accept", b"*/*"))
    if etag:
        headers.append((b"if-none-match", etag.encode("latin-1")))
    # Without the context: its connection is that of the stream, and not of an answer to a poll.
    asked = {key: scope[key] for key in scope if key != SCOPE_KEY}
    return {**asked, "headers": headers, "extensions": {}}
