"""`HeldResponse`: the response to one subscriber, which begins with the endpoint's first answer.

Rules of this file:
- The stream opens before the first call, so a limit, a drain or a client that leaves ends the call.
  The status line waits for the first answer, `commit_after` seconds at most, whatever the stream
  wants to send before.
- If the endpoint answers anything but a document until then, the client gets that answer as it is.
  If the client prefers the document to events, nothing is sent here.
- The stream keeps the headers of the first answer, except those that describe its body, its age or
  its connection. The stream's own headers come first. ``Vary`` has the names of both.
  ``Cache-Control`` has the directives of both, as far as they fit a stream.
- Headers of an answer that comes later can't be sent.
- ``Set-Cookie`` is for the client whose request was answered, never for others that share a poll.
"""

import re

import anyio
from starlette.types import Message, Send

from sse_middleware.legacy.polling.call import Answer
from sse_middleware.legacy.polling.call_scope import Headers

_NOT_KEPT = (
    # They describe the document's body, not the stream's.
    *(b"accept-ranges", b"content-digest", b"content-disposition", b"content-encoding"),
    *(b"content-length", b"content-location", b"content-md5", b"content-range"),
    *(b"content-type", b"digest", b"etag", b"last-modified", b"repr-digest", b"x-sendfile"),
    # A document's age means nothing for a stream.
    *(b"age", b"date", b"expires", b"pragma"),
    # They are about one connection (RFC 9110, 7.6.1).
    *(b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer"),
    *(b"transfer-encoding", b"upgrade"),
)

_NOT_KEPT_PREFIX = b"x-accel-"
"""What nginx does with the document. It is not for the stream."""

_NOT_KEPT_SUFFIX = (b"cdn-cache-control", b"surrogate-control")
"""How a network in front of the server stores the document (RFC 9213). It would store the stream,
and hand it to others."""

_CACHE_DIRECTIVES = (b"private", b"no-store", b"no-transform")
"""What a stream takes over from the ``Cache-Control`` of a document."""

_DIRECTIVE = re.compile(rb'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')


class HeldResponse:
    """The response to one subscriber.

    ``begun`` tells whether the status line of the stream has been sent.

    Args:
        send: where messages go.
        commit_after: seconds that the status line waits for the first answer.
    """

    def __init__(self, send: Send, commit_after: float) -> None:
        self.begun = False
        self.left_to_endpoint = False
        """Whether the client prefers the endpoint's own answer, which is not sent here."""
        self._send_to_client = send
        self._commit_after = commit_after
        self._deadline = 0.0
        self._decided = anyio.Event()
        self._headers: Headers = []
        self._replacement: tuple[Message, ...] | None = None
        """The messages that are sent in place of a stream, once that is known."""

    def expect_answer(self) -> None:
        """Hold the status line back, since the first call begins now."""
        self._deadline = anyio.current_time() + self._commit_after

    def begin_with(self, headers: Headers) -> None:
        """Begin a stream with the headers of the first answer, if it has not begun yet."""
        self._headers = headers
        self._decided.set()

    def replace_with(self, answer: Answer) -> None:
        """Send the endpoint's own answer instead of a stream."""
        self._replacement = answer.messages
        self._decided.set()

    def send_nothing(self) -> None:
        """Send nothing: an exception follows, or somebody else answers."""
        self._replacement = ()
        self._decided.set()

    def leave_to_endpoint(self) -> None:
        """Send nothing, since the endpoint answers this client itself."""
        self.left_to_endpoint = True
        self.send_nothing()

    def stop_waiting(self) -> None:
        """Begin: there will be no first answer. Changes nothing once there was one."""
        self._decided.set()

    async def send(self, message: Message) -> None:
        """Send a message of the stream, or what replaces it."""
        if message["type"] == "http.response.start":
            await self._wait_for_first_answer()
            if self._replacement is None:
                self.begun = True
                await self._send_to_client(_with_headers(message, self._headers))
            elif self._replacement:
                await self._send_to_client(self._replacement[0])
        elif self._replacement is None:
            await self._send_to_client(message)
        elif self._replacement and not message.get("more_body", False):
            await self._send_to_client(self._replacement[1])

    async def _wait_for_first_answer(self) -> None:
        seconds = self._deadline - anyio.current_time()
        if seconds > 0 and not self._decided.is_set():
            with anyio.move_on_after(seconds):
                await self._decided.wait()


def kept_headers(answer: Answer, *, own: bool) -> Headers:
    """Return the headers of an answer that a stream keeps.

    Args:
        answer: the first one of the stream.
        own: whether it is the answer to the client's own request.
    """
    return [
        header
        for header in answer.headers
        if header[0] not in _NOT_KEPT
        and not header[0].startswith(_NOT_KEPT_PREFIX)
        and not header[0].endswith(_NOT_KEPT_SUFFIX)
        and (own or header[0] != b"set-cookie")
    ]


def _with_headers(start: Message, headers: Headers) -> Message:
    """Return the start of a stream with headers of the first answer added."""
    if not headers:
        return start
    own: Headers = list(start["headers"])
    merged = (_vary(own, headers), _cache_control(own, headers))
    names = {name for name, _ in own} | {b"vary", b"cache-control"}
    kept = [header for header in own if header[0] not in (b"vary", b"cache-control")]
    kept += [header for header in merged if header[1]]
    return {**start, "headers": [*kept, *(one for one in headers if one[0] not in names)]}


def _vary(own: Headers, headers: Headers) -> tuple[bytes, bytes]:
    names = {name.lower(): name for name in _members(b"vary", [*headers, *own])}
    return b"vary", b"*" if b"*" in names else b", ".join(names.values())


def _cache_control(own: Headers, headers: Headers) -> tuple[bytes, bytes]:
    fitting = [
        directive
        for directive in _members(b"cache-control", headers)
        if directive.partition(b"=")[0].strip().lower() in _CACHE_DIRECTIVES
    ]
    directives = {one.lower(): one for one in [*fitting, *_members(b"cache-control", own)]}
    return b"cache-control", b", ".join(directives.values())


def _members(name: bytes, headers: Headers) -> list[bytes]:
    """Return the members of all the values of a header. A comma in quotes separates nothing."""
    lines = [value for found, value in headers if found == name]
    members = [member.strip() for line in lines for member in _DIRECTIVE.findall(line)]
    return [member for member in members if member]
