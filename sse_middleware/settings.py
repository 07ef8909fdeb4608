"""The settings of a stream, and the policy of an application: frozen objects, checked when made.

The middleware gives the defaults. A route (`event_stream`) and a response (`EventSourceResponse`)
may override each of them by its name. A limit has a name, a default, and a reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from random import uniform
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, get_args

from sse_middleware.errors import ConfigurationError
from sse_middleware.presets.preset import (
    SHARED_WITH_SETTINGS,
    ErrorEvent,
    Farewell,
    OnDisconnect,
    Ping,
    Preset,
    check_shared,
)
from sse_middleware.records import Observer
from sse_middleware.validation import (
    UNSET,
    Unset,
    check,
    check_count,
    check_function,
    check_limit,
    check_seconds,
    is_function,
)
from sse_middleware.wire.compression import offered

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

Serializer = Callable[[Any], bytes | str]
"""Turns the data of an event into text, as bytes in UTF-8 or as a string."""

Refusal = Literal["status", "retry"]
"""How a stream is refused."""


class StreamOptions(TypedDict, total=False):
    """The settings of a stream, as keyword arguments."""

    preset: Preset | None
    """What the clients of a protocol expect: one of `sse_middleware.presets`, or your own.

    ``None`` by default. Its `ping`, `on_disconnect`, `error_event` and `farewell` count more than
    the same settings further outside, and less than those that are given together with it.
    """
    ping_interval: float | None
    """Seconds of silence after which a keep-alive is sent. ``None`` sends none.

    15 s by default, well below the 60 s after which common proxies close an idle connection. That
    is ``sse_middleware.events._PING_INTERVAL`` at the moment when the stream starts.
    """
    ping: Ping | Callable[[], Ping]
    """The keep-alive: a comment's text, a `ServerSentEvent`, or a function that returns either.

    ``"ping"`` by default. A function is called for each keep-alive. A yielded ``None`` sends one.
    """
    ping_blank_line: bool
    """Whether a blank line follows a keep-alive that is a comment.

    By default it does until the stream has sent an `id`. The standard ignores this blank line. But
    after an id, OpenAI's client, httpx-sse and others take it for an empty event, and
    fetch-event-source always does. ``False`` avoids this, and a hub's blocks with only an id.
    """
    on_disconnect: OnDisconnect
    """What becomes of the generator when its client leaves: ``"cancel"`` (default) or ``"finish"``.

    With ``"finish"`` it goes on to its end, and what it yields is dropped. It keeps its place among
    the streams, and is ended by a drain, `max_duration` and `idle_timeout` as any other.
    """
    commit_after: float
    """Seconds that the status line waits for the first item: 0.5 by default.

    An exception within them is still answered by a real 404 or 500. After them a browser's
    ``EventSource`` learns that it is open. The default is long enough for a look-up, and too short
    for anybody to notice.
    """
    max_delay: float | None
    """Seconds that an event may wait for others, to be sent with them: ``None`` by default.

    The first event, the last one, an error and a farewell never wait. ``0.045`` is good for tokens.
    """
    cleanup_timeout: float
    """Seconds that a cancelled generator has for its ``finally`` blocks: 5 by default.

    That is enough to roll back and close, and stops a cleanup that hangs.
    """
    finish_timeout: float
    """Seconds that code after the last ``yield`` has, once the client has left: 1 by default.

    That is enough to store an answer whose last event was sent. Then the code is cancelled. A
    ``finally`` or the exit of an ``async with`` that has begun by itself has `cleanup_timeout`
    seconds.
    """
    max_buffer: int
    """Bytes that wait for a slow client before its generator waits too: 65536 by default.

    A stream holds at most this plus one item, and as much again while a synchronous generator's
    thread works. The default is what servers put into one write.
    """
    max_event_size: int | None
    """Bytes that one event may take. A larger one is an `EncodingError` at its ``yield``.

    ``None`` by default: only you know what your clients can take. A `relay` then takes 16 MiB.
    """
    send_timeout: float | None
    """Seconds that the server's ``send`` may take before the client counts as gone: 30 by default.

    Such a client has stopped reading. The default outlasts a tunnel. ``None`` waits without end.
    """
    max_duration: float | None
    """Seconds after which a stream is ended, so that its client comes back. ``None`` by default.

    It may come back to another server, and its credentials are checked again. Each stream gets up
    to a tenth less, so that streams that began together don't end together.
    """
    idle_timeout: float | None
    """Seconds without an event after which a stream is ended. Keep-alives don't count.

    ``None`` by default, for no bound.
    """
    drain_grace: float
    """Seconds that a stream has to end by itself when the application drains: 1 by default."""
    farewell: Farewell | None
    """Makes the last event of a stream that is ended early, given the `CloseReason`.

    That is a stream that is drained, or that has reached `max_duration` or `idle_timeout`. By
    default a drained stream gets a ``retry`` of `retry_after`. ``None`` sends no such event.
    """
    refusal: Refusal
    """How a stream is refused: by ``"status"`` (default) or by ``"retry"``.

    ``"status"`` answers 503, or 429 where one client has too many streams, with ``Retry-After``.
    ``"retry"`` answers an empty stream that says when to come back, because a browser's
    ``EventSource`` gives up for good on any status but 200.
    """
    retry_after: float
    """Seconds before a client that was sent away comes back, at the earliest: 2 by default.

    Each is told a random time between this and twice as much, so that they don't come all at once.

    Make it longer than a restart of your server takes, unless something else answers meanwhile. A
    browser's ``EventSource`` tries again where a connection is refused, but gives up for good on
    the 502 of a reverse proxy whose server is away. ``docs/operations.md`` has a proxy that answers
    with a 200.
    """
    compression: bool | Sequence[str]
    """Whether to compress for clients that accept it, or which codecs to offer, the best first.

    The codecs are ``"gzip"``, ``"zstd"`` and ``"br"``. ``True`` offers those whose packages are
    installed. ``False`` by default: each compressed stream keeps a context, and an attacker who
    chooses text next to a secret can guess the secret from the size of the messages.
    """
    serializer: Serializer | None
    """Turns the data of an event into JSON, as ``orjson.dumps`` does.

    By default Pydantic's JSON serializer. It is given what was yielded. Where an item type is
    declared, it is given what that type makes of the item.
    """
    error_event: ErrorEvent | None
    """Makes the last item of a stream that fails after it has started, given the exception.

    It may return ``None`` for no such item, the default. The exception then goes on to the server.
    """
    complete_after_error: bool
    """Whether the body is complete after the event of `error_event`: ``False`` by default.

    With ``False`` the body breaks off after it, so a client that uses ``fetch`` gets the event and
    then a network error. With ``True`` the body ends normally. In both cases the exception goes on
    to the server. Where there is no such event, the body always breaks off.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How streams are sent. `StreamOptions` says what each setting means.

    `SSEMiddleware`, `event_stream` and `EventSourceResponse` take them as keyword arguments.

    Raises:
        ConfigurationError: at construction, for a setting of the wrong type or out of range. The
            message names the setting and the value.
    """

    preset: Preset | None = None
    ping_interval: float | Literal[Unset.UNSET] | None = UNSET
    ping: Ping | Callable[[], Ping] | Literal[Unset.UNSET] = UNSET
    on_disconnect: OnDisconnect | Literal[Unset.UNSET] = UNSET
    commit_after: float = 0.5
    max_delay: float | None = None
    cleanup_timeout: float = 5.0
    finish_timeout: float = 1.0
    max_buffer: int = 64 * 1024
    max_event_size: int | None = None
    send_timeout: float | None = 30.0
    max_duration: float | None = None
    idle_timeout: float | None = None
    drain_grace: float = 1.0
    farewell: Farewell | Literal[Unset.UNSET] | None = UNSET
    refusal: Refusal = "status"
    retry_after: float = 2.0
    compression: bool | Sequence[str] = False
    serializer: Serializer | None = None
    error_event: ErrorEvent | Literal[Unset.UNSET] | None = UNSET
    complete_after_error: bool = False
    ping_blank_line: bool | Literal[Unset.UNSET] = UNSET
    codecs: tuple[str, ...] = field(init=False, repr=False)
    """What `compression` offers."""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        preset = self.preset is None or isinstance(self.preset, Preset)
        check("preset", self.preset, preset, "one of sse_middleware.presets, a Preset, or None")
        if self.ping_interval is not UNSET:
            check_limit("ping_interval", self.ping_interval, "None switches keep-alives off")
        for name in ("max_delay", "send_timeout", "max_duration", "idle_timeout"):
            check_limit(name, getattr(self, name), "None switches it off")
        for name in ("commit_after", "cleanup_timeout", "finish_timeout", "drain_grace"):
            check_seconds(name, getattr(self, name), "0 doesn't wait", zero=True)
        check_seconds("retry_after", self.retry_after, "0 is at once", zero=True)
        check_count("max_buffer", self.max_buffer, "bytes")
        if self.max_event_size is not None:
            check_count("max_event_size", self.max_event_size, "bytes")
        check_shared(self)
        check("refusal", self.refusal, self.refusal in get_args(Refusal), "'status' or 'retry'")
        object.__setattr__(self, "codecs", _codecs(self.compression))
        check_function("serializer", self.serializer)
        complete = self.complete_after_error
        check("complete_after_error", complete, isinstance(complete, bool), "True or False")

    @classmethod
    def of(cls, options: StreamOptions) -> Self:
        """Make settings from keyword arguments. The others have their defaults.

        Raises:
            ConfigurationError: also for a name that is not a setting.
        """
        return cls(**_known(options))

    def overridden(self, options: StreamOptions) -> Self:
        """Return these settings with `options` over them. Raises as `of`."""
        if not options:
            return self
        known: dict[str, Any] = dict(_known(options))
        preset = known.get("preset")
        said = [one for one in SHARED_WITH_SETTINGS if getattr(preset, one, UNSET) is not UNSET]
        return replace(self, **dict.fromkeys(said, UNSET) | known)

    def resolved(self, name: str) -> Any:
        """Return a setting that a preset may have too: its own value, else the preset's."""
        value = getattr(self, name)
        return getattr(self.preset, name, UNSET) if value is UNSET else value

    def retry_milliseconds(self) -> int:
        """Return when a client that is sent away may come back: at random, see `retry_after`."""
        return round(1000 * self.retry_after * uniform(1, 2))  # noqa: S311 - nothing to guess


_APPLICATION = (
    *("drain", "drain_spread", "max_streams", "max_streams_per_client", "client_key", "observers"),
    *("legacy", "adapters", "hub", "openapi"),
)
"""What only `SSEMiddleware` takes."""

_RESPONSE = ("item_type", "headers", "status_code", "media_type", "background")
"""What only `event_stream` and `EventSourceResponse` take."""


class Overrides:
    """Settings that are laid over others. Checked once, as most are the same for every request.

    Raises:
        ConfigurationError: as `StreamSettings.of`.
    """

    __slots__ = ("_last", "_options")

    def __init__(self, options: StreamOptions) -> None:
        if options:
            StreamSettings.of(options)
        self._options = options
        self._last: tuple[StreamSettings, StreamSettings] | None = None

    def over(self, settings: StreamSettings) -> StreamSettings:
        """Return `settings` with these over them."""
        if not self._options:
            return settings
        if self._last is None or self._last[0] is not settings:
            self._last = settings, settings.overridden(self._options)
        return self._last[1]


def _known(options: StreamOptions) -> StreamOptions:
    names = [field.name for field in fields(StreamSettings) if field.init]
    for name in options:
        if name not in names:
            raise ConfigurationError(f"unknown setting {name!r}: {_hint(name, names)}")
    return options


def _hint(name: str, names: Sequence[str]) -> str:
    """Return what helps a user who has written a name that is not a setting of a stream."""
    if name in _APPLICATION:
        return "it is for the whole application, so only SSEMiddleware takes it"
    if name in _RESPONSE:
        return "it is for one response: event_stream or EventSourceResponse takes it"
    near = get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"


def _codecs(compression: Any) -> tuple[str, ...]:
    listed = isinstance(compression, list | tuple) and all(
        isinstance(one, str) for one in compression
    )
    allowed = "True, False, or a list of codecs"
    check("compression", compression, isinstance(compression, bool) or listed, allowed)
    return offered(compression)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The settings of a whole application. `SSEMiddleware` says what each means."""

    drain: bool = True
    drain_spread: float = 0.0
    max_streams: int | None = None
    max_streams_per_client: int | None = None
    client_key: "Callable[[HTTPConnection], str | None]" = lambda _: None
    observers: Sequence[Observer] = ()

    def __post_init__(self) -> None:
        """Refuse what can't work, so that no protection is missing where one was wanted."""
        check("drain", self.drain, isinstance(self.drain, bool), "True or False")
        check_seconds("drain_spread", self.drain_spread, "0 ends all at once", zero=True)
        for name in ("max_streams", "max_streams_per_client"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), "streams")
        key, observers = self.client_key, self.observers
        check("client_key", key, is_function(key), "a function that is not async")
        listed = isinstance(observers, list | tuple) and all(map(is_function, observers))
        check("observers", observers, listed, "a list of functions that are not async")
        object.__setattr__(self, "observers", tuple(observers))
