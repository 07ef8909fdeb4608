"""The settings of a stream: one frozen object, made once, checked when it is made.

The middleware gives the defaults; a route (`event_stream`) and a response (`EventSourceResponse`)
may override each of them by its name. A limit has a name, a default, and a reason.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, Self, TypedDict, get_args

from sse_middleware.checks import check, check_count, check_function, check_limit, check_seconds
from sse_middleware.compression import offered
from sse_middleware.default import DEFAULT, Default
from sse_middleware.errors import ConfigurationError
from sse_middleware.preset import (
    SAID_BY_BOTH,
    ErrorEvent,
    Farewell,
    OnDisconnect,
    Ping,
    Preset,
    check_said,
)

Serializer = Callable[[Any], bytes | str]
"""Turns the data of an event into text, as bytes in UTF-8 or as a string."""

Refusal = Literal["status", "retry"]
"""How a stream is refused."""


class StreamOptions(TypedDict, total=False):
    """The settings as keyword arguments; `StreamSettings` says what they mean."""

    preset: Preset | None
    ping_interval: float | None
    ping: Ping | Callable[[], Ping]
    on_disconnect: OnDisconnect
    commit_after: float
    cleanup_timeout: float
    max_buffer: int
    max_event_size: int | None
    send_timeout: float | None
    max_duration: float | None
    idle_timeout: float | None
    drain_grace: float
    farewell: Farewell | None
    refusal: Refusal
    retry_after: float
    compression: bool | Sequence[str]
    serializer: Serializer | None
    error_event: ErrorEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How streams are sent: what `SSEMiddleware`, `event_stream` and `EventSourceResponse` take.

    Attributes:
        preset: what the clients of a protocol expect, see `sse_middleware.presets`. Its ``ping``,
            ``error_event`` and ``farewell`` stand over those that were set further outside, and
            below those that are set beside it.
        ping_interval: seconds of silence after which a keep-alive is sent; ``None`` sends none. By
            default ``sse_middleware.events._PING_INTERVAL`` at the moment when the stream starts:
            15 s, well below the 60 s after which common proxies close an idle connection.
        ping: the keep-alive: the text of a comment, a `ServerSentEvent`, or a function that returns
            one of them, called for each. It is also what a yielded ``None`` sends.
        on_disconnect: what becomes of the generator when its client leaves: by default it is
            cancelled (``"cancel"``). With ``"finish"`` it goes on to its end, and what it yields is
            dropped; it holds its place among the streams, and is ended by a drain, `max_duration`
            and `idle_timeout` as any other.
        commit_after: seconds that the status line waits for the first item. An exception within
            them is still answered by a real 404 or 500; after them a browser's ``EventSource``
            learns that it is open. Long enough for a look-up, short enough for nobody to notice.
        cleanup_timeout: seconds that a cancelled generator has for its ``finally`` blocks. Enough
            to roll back and to close, an end to a cleanup that hangs.
        max_buffer: bytes that wait for a slow client before its generator waits too. A stream holds
            no more than this and the item that went over it, and as much again where a synchronous
            generator's thread is at work. As much as servers put into one write.
        max_event_size: bytes that one event may take; a larger one is an `EncodingError` at its
            ``yield``. ``None`` by default: only you know what your clients can take.
        send_timeout: seconds that the server's `send` may take before the client counts as gone:
            it has stopped reading. Longer than what a train takes through a tunnel. ``None`` waits.
        max_duration: seconds after which a stream is ended, so that its client comes back: to
            another server, with credentials that are checked again. Each stream has up to a tenth
            less, so that those which began together don't end together. ``None``: never.
        idle_timeout: seconds without an event after which a stream is ended; keep-alives don't
            count. ``None``: never.
        drain_grace: seconds that a stream has to end by itself when the application drains.
        farewell: makes the last event of a stream that is drained, or that has reached
            `max_duration` or `idle_timeout`, given the `CloseReason`; ``None`` for none. By default
            a stream that is drained gets a ``retry`` of `retry_after`.
        refusal: how a stream is refused: by ``"status"``, 503 (429 where one client has too many)
            with ``Retry-After``; or by ``"retry"``, an empty stream that says when to come back,
            since a browser's ``EventSource`` gives up for good on any status but 200.
        retry_after: seconds after which a client that was sent away shall come back, at the
            earliest; at random up to twice as many, so that they don't come all at once.
        compression: whether a body is compressed for a client that accepts it, or the codecs that
            are offered for it, the best first: ``"gzip"``, ``"zstd"``, ``"br"``. ``True`` offers
            those whose packages are there. Off by default: a stream then keeps a context, and
            secrets next to text of an attacker's choice can be guessed by their size.
        serializer: turns the data of an event into JSON, in place of ``pydantic_core.to_json``. It
            is given what was yielded, or, where an item type is declared, what that makes of it.
        error_event: given the exception of a stream that has started, returns the last item of that
            stream, or ``None``. The exception then goes on to the server.

    Raises:
        ConfigurationError: when it is made: a setting of a wrong type or out of its range. Names
            the setting and the value.
    """

    preset: Preset | None = None
    ping_interval: float | Literal[Default.DEFAULT] | None = DEFAULT
    ping: Ping | Callable[[], Ping] | Literal[Default.DEFAULT] = DEFAULT
    on_disconnect: OnDisconnect | Literal[Default.DEFAULT] = DEFAULT
    commit_after: float = 0.5
    cleanup_timeout: float = 5.0
    max_buffer: int = 64 * 1024
    max_event_size: int | None = None
    send_timeout: float | None = 30.0
    max_duration: float | None = None
    idle_timeout: float | None = None
    drain_grace: float = 1.0
    farewell: Farewell | Literal[Default.DEFAULT] | None = DEFAULT
    refusal: Refusal = "status"
    retry_after: float = 2.0
    compression: bool | Sequence[str] = False
    serializer: Serializer | None = None
    error_event: ErrorEvent | Literal[Default.DEFAULT] | None = DEFAULT
    codecs: tuple[str, ...] = field(init=False, repr=False)
    """What `compression` offers."""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        preset = self.preset is None or isinstance(self.preset, Preset)
        check("preset", self.preset, preset, "one of sse_middleware.presets, a Preset, or None")
        if self.ping_interval is not DEFAULT:
            check_limit("ping_interval", self.ping_interval, "None switches keep-alives off")
        for name in ("send_timeout", "max_duration", "idle_timeout"):
            check_limit(name, getattr(self, name), "None switches it off")
        for name in ("commit_after", "cleanup_timeout", "drain_grace"):
            check_seconds(name, getattr(self, name), "0 doesn't wait", zero=True)
        check_seconds("retry_after", self.retry_after, "0 is at once", zero=True)
        check_count("max_buffer", self.max_buffer, "bytes")
        if self.max_event_size is not None:
            check_count("max_event_size", self.max_event_size, "bytes")
        check_said(self)
        check("refusal", self.refusal, self.refusal in get_args(Refusal), "'status' or 'retry'")
        object.__setattr__(self, "codecs", _codecs(self.compression))
        check_function("serializer", self.serializer)

    @classmethod
    def of(cls, options: StreamOptions) -> Self:
        """Make settings from keyword arguments, the others being the defaults.

        Raises:
            ConfigurationError: also for a name that is no setting.
        """
        return cls(**_known(options))

    def overridden(self, options: StreamOptions) -> Self:
        """Return these settings with `options` over them. Raises as `of`."""
        if not options:
            return self
        known: dict[str, Any] = dict(_known(options))
        preset = known.get("preset")
        said = [name for name in SAID_BY_BOTH if getattr(preset, name, DEFAULT) is not DEFAULT]
        return replace(self, **dict.fromkeys(said, DEFAULT) | known)

    def own(self, name: str) -> Any:
        """Return what both may say: the setting of that name, else the preset's."""
        value = getattr(self, name)
        return getattr(self.preset, name, DEFAULT) if value is DEFAULT else value


class Overrides:
    """Settings to be laid over others; checked once, as most are the same for every request.

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
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise ConfigurationError(f"unknown setting {name!r}: {hint}")
    return options


def _codecs(compression: Any) -> tuple[str, ...]:
    listed = isinstance(compression, list | tuple) and all(
        isinstance(one, str) for one in compression
    )
    allowed = "True, False, or a list of codecs"
    check("compression", compression, isinstance(compression, bool) or listed, allowed)
    return offered(compression)
