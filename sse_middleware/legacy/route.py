"""`LegacyRoute`: which endpoints become event streams, and how, without their knowledge."""

from collections.abc import Callable, Collection, Hashable
from inspect import iscoroutinefunction
from math import inf
from typing import Any, Literal, Unpack

from starlette.requests import Request
from starlette.routing import PARAM_REGEX, compile_path
from starlette.types import Scope

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.legacy.body_adapters import ADAPTERS, AdapterFactory
from sse_middleware.legacy.body_text import MAX_PIECE, BodyFormat
from sse_middleware.legacy.conversion import EventFields, Malformed
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.wire.request_headers import names_events

Key = Callable[[Request], Hashable]
"""What the subscribers of one poll have in common; ``None`` for nothing."""


class LegacyRoute:
    """A path whose responses become event streams where a client asks for events.

    Args:
        path: a pattern as in Starlette's routes, below the application that the middleware wraps:
            ``"/logs/{name}"``.
        methods: of the requests; every method by default.
        body: how a body is cut into events: ``"json-lines"``, ``"json-seq"``, ``"lines"``,
            ``"chunks"``, ``"json"`` (each element of an array, or the whole document), or a
            function that makes a `BodyAdapter`. By default the media type of the response decides.
        always: convert whatever ``Accept`` says; otherwise only where the client wants events more
            than what the endpoint has (RFC 9110, 12.5.1), as a browser's ``EventSource`` does.
        event: the type of each event.
        id: a template of each event's id: ``"{line}"``, ``"{json[id]}"``.
        last: an event that is sent when the body has ended.
        malformed: what becomes of a line that is no JSON where JSON is due, or has no id:
            ``"raw"``, ``"skip"`` or ``"fail"``.
        invalid_text: whether bytes that are no text are sent as U+FFFD (``"replace"``) or fail the
            stream (``"fail"``).
        unfinished: what becomes of a line or record that the end of the body cuts off: it is sent
            (``"deliver"``), or left out and reported (``"drop"``). By default it is sent, but an
            event of an event stream is left out.
        max_piece: bytes that one line, record, document or event may take.
        poll: seconds between two calls of an endpoint that is to be polled: an event is sent when
            its answer has changed.
        key: what the subscribers that share one poll have in common. By default nobody shares.
        settings: the fields of `StreamSettings`, over those of the middleware.

    Raises:
        ConfigurationError: a pattern, name or value that can't work. Says which.
    """

    def __init__(
        self,
        path: str,
        *,
        methods: Collection[str] | None = None,
        body: str | AdapterFactory | None = None,
        always: bool = False,
        event: str | None = None,
        id: str | None = None,
        last: ServerSentEvent | None = None,
        malformed: Malformed = "raw",
        invalid_text: Literal["replace", "fail"] = "replace",
        unfinished: Literal["deliver", "drop"] | None = None,
        max_piece: int = MAX_PIECE,
        poll: float | None = None,
        key: Key | None = None,
        **settings: Unpack[StreamOptions],
    ) -> None:
        _check_poll(poll, key, body, id)
        self.path = path
        self.always = always
        self.adapter = None if body is None else adapter_of("body", body)
        self.fields = EventFields(event=event, id=id, malformed=malformed, last=_encoded(last))
        self.body = BodyFormat(
            invalid_text=invalid_text, unfinished=unfinished, max_piece=max_piece
        )
        self.poll = poll
        self.key = key
        self.overrides = Overrides(settings)
        self._methods = _upper(methods)
        self._pattern = _compiled(path)
        self._prefix = path.partition("{")[0]

    def __repr__(self) -> str:
        return f"LegacyRoute({self.path!r})"

    def matches(self, scope: Scope) -> bool:
        """Whether a request is for this route."""
        if self._methods is not None and scope["method"] not in self._methods:
            return False
        path = scope["path"]
        root = scope.get("root_path", "")
        if root and path.startswith(root + "/"):
            path = path[len(root) :]
        return path.startswith(self._prefix) and self._pattern.match(path) is not None

    def polls(self, scope: Scope, accept: bytes) -> bool:
        """Whether the endpoint is to be polled for this request."""
        wanted = self.always or names_events(accept)
        return self.poll is not None and scope["method"] == "GET" and wanted


def _check_poll(poll: Any, key: Any, body: Any, id: Any) -> None:
    if poll is not None and not (type(poll) in (int, float) and 0 < poll < inf):
        raise ConfigurationError(f"poll must be a number of seconds over 0, got {poll!r}")
    if key is not None and (poll is None or not callable(key) or iscoroutinefunction(key)):
        allowed = "a function that is not async, of a route with poll="
        raise ConfigurationError(f"key must be {allowed}, got {key!r}")
    if poll is not None and (body is not None or id is not None):
        raise ConfigurationError(
            "body and id are not for a polled route: its answer is one event, whose id is its tag; "
            f"got body={body!r}, id={id!r}"
        )


def _compiled(path: Any) -> Any:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"path must be a pattern that begins with '/', got {path!r}")
    if not {"{", "}"}.isdisjoint(PARAM_REGEX.sub("", path)):
        raise ConfigurationError(f"path has braces that are no parameter, got {path!r}")
    try:
        return compile_path(path)[0]
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(f"path is no pattern ({error}), got {path!r}") from error


def adapter_of(setting: str, body: Any) -> AdapterFactory:
    """Return what makes the adapters that a setting names, or raise `ConfigurationError`."""
    if callable(body):
        return body  # type: ignore[no-any-return]
    if not isinstance(body, str) or body not in ADAPTERS:
        known = ", ".join(map(repr, ADAPTERS))
        allowed = f"one of {known}, or make an adapter"
        raise ConfigurationError(f"{setting} must be {allowed}, got {body!r}")
    return ADAPTERS[body]


def _encoded(last: ServerSentEvent | None) -> bytes:
    if last is None:
        return b""
    if not isinstance(last, ServerSentEvent):
        raise ConfigurationError(f"last must be a ServerSentEvent, got {last!r}")
    return ItemEncoder(StreamSettings(), bytes, None, "last").encode(last)


def _upper(methods: Any) -> frozenset[str] | None:
    if methods is None:
        return None
    names = isinstance(methods, Collection) and not isinstance(methods, str)
    if not (names and all(isinstance(name, str) for name in methods)):
        raise ConfigurationError(f"methods must be a list of names, got {methods!r}")
    return frozenset(name.upper() for name in methods)
