"""`HTTPPublisher`: publishes what comes in a POST, so that any language can publish.

Rules of this file:
- The application is asked before a byte of the body is read. The topic that it sees is the topic
  that is published to.
- A body has a bound. What is too large isn't read to its end, neither here nor in `authorize`.
- A body is text. JSON is checked and stays as it is, but on one line.
- Nothing is repaired. A refusal says what is wrong, and shows text from the request only escaped.
- What is published is whole: if the client leaves while it sends, nothing is.
"""

import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import parse_qsl

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from sse_middleware.errors import (
    ConfigurationError,
    EncodingError,
    FieldError,
    HubError,
    PublishUnknownError,
    TopicError,
    printable,
)
from sse_middleware.events import ServerSentEvent
from sse_middleware.guarded import (
    Authorize,
    answer_of,
    bounded,
    is_allowed,
    path_below_mount,
    too_large,
)
from sse_middleware.hub.publishing import check_topic
from sse_middleware.validation import check_count
from sse_middleware.wire.encoding import single_line
from sse_middleware.wire.response_headers import content_type

logger = logging.getLogger(__name__)

MAX_SIZE = 64 * 1024
"""Bytes of a body, unless the application sets another bound."""

_JSON, _TEXT = "application/json", "text/plain"

_CHARSETS = frozenset(("utf-8", "utf8", "us-ascii"))

_LENGTH = re.compile("[0-9]{1,18}")

_LONGEST_TEXT = 500
"""Characters of an error that a client is shown."""

_RETRY_LATER = 503
_RETRY_AFTER = "1"


class HTTPPublisher:
    """An ASGI application that publishes. `Hub.publisher` makes it.

    Args:
        publish: `Hub.publish`.
        authorize: returns whether a request may publish.
        max_size: bytes of a body.

    Raises:
        ConfigurationError: one of them can't work.
    """

    __slots__ = ("_authorize", "_max_size", "_publish")

    def __init__(
        self,
        publish: Callable[..., Awaitable[str]],
        authorize: Authorize | None,
        max_size: int = MAX_SIZE,
    ) -> None:
        if not callable(authorize):
            raise ConfigurationError(
                "a publisher needs authorize=, a function that gets the request and returns "
                "whether it may publish: without one, everybody who can reach the path could "
                f"publish to every topic; got {printable(repr(authorize))}"
            )
        check_count("max_size", max_size, "bytes")
        self._publish = publish
        self._authorize = authorize
        self._max_size = max_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. A WebSocket is closed."""
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        try:
            response: Response = JSONResponse({"id": await self._published(scope, receive)})
        except HTTPException as refused:
            response = answer_of(refused)
        await response(scope, receive, send)

    async def _published(self, scope: Scope, receive: Receive) -> str:
        """Publish what a request brings. Returns the event's id, or raises `HTTPException`."""
        if scope["method"] != "POST":
            raise HTTPException(405, "publish with POST", {"allow": "POST"})
        topic = _checked_topic(scope)
        params = {**scope.get("path_params", {}), "topic": topic}
        request = Request({**scope, "path_params": params}, bounded(receive, self._max_size))
        await self._check_rights(request)
        data = await self._data_of(request)
        event, once = _parameters_of(scope)
        try:
            return await self._publish(topic, data, event=event, once=once)
        except (EncodingError, FieldError) as error:
            raise _bad_request(str(error)) from error
        except HubError as error:
            _raise_unavailable(error)

    async def _check_rights(self, request: Request) -> None:
        if not await is_allowed("authorize", self._authorize, request):
            raise HTTPException(403, "this request may not publish here")

    async def _data_of(self, request: Request) -> ServerSentEvent:
        """Read the body, and return it as an event without a name."""
        headers = request.headers
        media_type = _checked_media_type(headers.get("content-type", ""))
        length = headers.get("content-length", "")
        if _LENGTH.fullmatch(length) and int(length) > self._max_size:
            raise too_large(self._max_size)
        try:
            text = (await request.body()).decode()
        except ClientDisconnect as error:  # nobody reads the answer, but middlewares expect one
            raise _bad_request("the body was cut off, and nothing was published") from error
        except UnicodeDecodeError as error:
            raise _bad_request(f"the body must be UTF-8: {error}") from error
        return ServerSentEvent(raw_data=_json_line(text) if media_type == _JSON else text)


def _checked_topic(scope: Scope) -> str:
    topic = path_below_mount(scope)
    if not topic:
        raise HTTPException(404, "there is no topic: its name comes last in the path")
    try:
        return check_topic(topic)
    except TopicError as error:
        raise HTTPException(400, str(error)) from error  # which is escaped already


def _checked_media_type(header: str) -> str:
    media_type, charset = content_type(header.encode("latin-1"))
    if media_type not in (_JSON, _TEXT) or charset.lower() not in _CHARSETS:
        raise HTTPException(
            415, f"the Content-Type must be {_JSON} or {_TEXT} in UTF-8, got {printable(header)!r}"
        )
    return media_type


def _json_line(text: str) -> str:
    """Return JSON as it is given, on one line for every client."""
    try:
        json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _bad_request(f"the body must be JSON: {error}") from error
    # In JSON a line ends only between two tokens, where a space means the same.
    return single_line(text.replace("\r", " ").replace("\n", " ").encode()).decode()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _parameters_of(scope: Scope) -> tuple[str | None, str | None]:
    """Return ``event`` and ``once``, read as Starlette reads them where they are well-formed."""
    try:
        query = scope.get("query_string", b"").decode("ascii")
        values = dict(parse_qsl(query, keep_blank_values=True, errors="strict"))
    except ValueError as error:
        raise _bad_request(f"the query must be percent-encoded UTF-8: {error}") from error
    if values.get("once") == "":
        raise _bad_request("once must be a text that names the event, and is empty")
    return values.get("event"), values.get("once")


def _bad_request(text: str) -> HTTPException:
    return HTTPException(400, printable(text, _LONGEST_TEXT))


def _raise_unavailable(error: HubError) -> NoReturn:
    """Raise what a client may know of a failure. The log has its cause."""
    logger.warning("a request could not publish: %r", error)
    text = "nothing was published, since the hub or its store is away: try again"
    if isinstance(error, PublishUnknownError):
        text = (
            "the event may be published or not: the outcome is unknown. It is safe to repeat the "
            "request if it has the query parameter once=, with the same text as before"
        )
    raise HTTPException(_RETRY_LATER, text, {"retry-after": _RETRY_AFTER}) from error
