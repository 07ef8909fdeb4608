"""`LegacyRoute`: configures a path whose endpoint knows nothing of events."""

from collections.abc import Callable, Collection, Hashable
from inspect import iscoroutinefunction
from math import inf
from typing import Any, Literal, Unpack

from starlette.requests import Request
from starlette.routing import PARAM_REGEX, compile_path
from starlette.types import Scope

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import ItemEncoder
from sse_middleware.legacy.bodies.adapters import ADAPTERS, AdapterFactory
from sse_middleware.legacy.bodies.body_format import MAX_PIECE, BodyFormat
from sse_middleware.legacy.bodies.conversion import EventFields, Malformed
from sse_middleware.settings import Overrides, StreamOptions, StreamSettings
from sse_middleware.wire.request_headers import names_events

Key = Callable[[Request], Hashable]
"""Returns what subscribers must have in common to share calls. ``None`` shares nothing."""


class LegacyRoute:
    """A path whose responses become event streams where a client asks for events.

    Args:
        path: a pattern as in Starlette's routes (``"/logs/{name}"``), relative to the application
            that the middleware wraps.
        methods: the requests' methods. Every method by default.
        body: how a body is split into events: ``"json-lines"``, ``"json-seq"``, ``"lines"``,
            ``"chunks"``, ``"json"`` (each element of an array, or the whole document), or a
            function that makes a `BodyAdapter`. By default the media type of the response decides.
        always: convert whatever ``Accept`` says. Otherwise a response is converted only if the
            client prefers events to the endpoint's own media type (RFC 9110, 12.5.1), as a
            browser's ``EventSource`` does.
        event: the type of each event.
        id: a template for the id of each event: ``"{line}"``, ``"{json[id]}"``.
        last: an event that is sent when the body has ended. It is encoded with the default
            settings.
        malformed: what happens to a line that is not JSON in a JSON body, or that lacks the field
            which `id` names. It is sent as it is (``"raw"``), is left out (``"skip"``), or fails
            the stream (``"fail"``). It is always reported.
        invalid_text: whether bytes that are invalid in the charset become U+FFFD (``"replace"``) or
            fail the stream (``"fail"``).
        unfinished: what happens to a line or record that the end of the body cuts off. It is sent
            (``"deliver"``, the default), or left out and reported (``"drop"``). An event stream
            ends as it is, and clients drop an event that has no blank line. ``"deliver"`` adds it.
        max_piece: bytes that one line, record, chunk or document may take. Events of an event
            stream have a bound only if ``max_event_size`` is set.
        poll: polls the endpoint, with this many seconds between two calls. An event is sent when
            the answer has changed.
        key: a function that takes the `Request` and returns a hashable key. Subscribers with equal
            keys share calls and answers, so it must contain what decides who may read them.
            ``None`` shares nothing, as by default.
        settings: the settings of `StreamOptions`. They override those of the middleware.

    Raises:
        ConfigurationError: a pattern, name or value can't work. The message names it.
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
        self.fields = EventFields(event=event, id=id, malformed=malformed, last=_encode_last(last))
        self.body = BodyFormat(
            invalid_text=invalid_text, unfinished=unfinished, max_piece=max_piece
        )
        self.poll = poll
        self.key = key
        self.overrides = Overrides(settings)
        self._methods = _checked_methods(methods)
        self._pattern = _compile(path)
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
        """Whether the endpoint is polled for this request."""
        wanted = self.always or names_events(accept)
        return self.poll is not None and scope["method"] == "GET" and wanted


def _check_poll(poll: Any, key: Any, body: Any, id: Any) -> None:
    if poll is not None and not (type(poll) in (int, float) and 0 < poll < inf):
        raise ConfigurationError(f"poll must be a number of seconds over 0, got {poll!r}")
    if key is not None and (poll is None or not callable(key) or iscoroutinefunction(key)):
        allowed = "a function that is not async, and needs poll="
        raise ConfigurationError(f"key must be {allowed}, got {key!r}")
    if poll is not None and (body is not None or id is not None):
        raise ConfigurationError(
            "body and id are not for a polled route: each answer is one event, and its id is the "
            f"ETag or a digest; got body={body!r}, id={id!r}"
        )


def _compile(path: Any) -> Any:
    if not isinstance(path, str) or not path.startswith("/"):
        raise ConfigurationError(f"path must be a pattern that begins with '/', got {path!r}")
    if not {"{", "}"}.isdisjoint(PARAM_REGEX.sub("", path)):
        raise ConfigurationError(f"path has braces that are not a parameter, got {path!r}")
    try:
        return compile_path(path)[0]
    except (AssertionError, ValueError) as error:
        raise ConfigurationError(f"path is not a pattern ({error}), got {path!r}") from error


def adapter_of(setting: str, body: Any) -> AdapterFactory:
    """Return the factory of the adapter that a setting names. Raises `ConfigurationError`."""
    if callable(body):
        return body  # type: ignore[no-any-return]
    if not isinstance(body, str) or body not in ADAPTERS:
        known = ", ".join(map(repr, ADAPTERS))
        allowed = f"one of {known}, or a function that makes a BodyAdapter"
        raise ConfigurationError(f"{setting} must be {allowed}, got {body!r}")
    return ADAPTERS[body]


def _encode_last(last: ServerSentEvent | None) -> bytes:
    if last is None:
        return b""
    if not isinstance(last, ServerSentEvent):
        raise ConfigurationError(f"last must be a ServerSentEvent, got {last!r}")
    return ItemEncoder(ItemEncoding(StreamSettings(), None, "last")).encode(last)


def _checked_methods(methods: Any) -> frozenset[str] | None:
    if methods is None:
        return None
    names = isinstance(methods, Collection) and not isinstance(methods, str)
    if not (names and all(isinstance(name, str) for name in methods)):
        raise ConfigurationError(f"methods must be a list of names, got {methods!r}")
    return frozenset(name.upper() for name in methods)
