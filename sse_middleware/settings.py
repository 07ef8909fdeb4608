"""The settings of a stream: one frozen object, made once, checked when it is made.

The middleware gives the defaults; a route (`event_stream`) and a response (`EventSourceResponse`)
may override each of them by its name. A limit has a name, a default, and a reason.
"""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from enum import Enum
from inspect import iscoroutinefunction
from types import MappingProxyType
from typing import Any, Literal, Self, TypedDict, get_args

from sse_middleware.compression import offered
from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent
from sse_middleware.records import CloseReason


class Default(Enum):
    """The type of `DEFAULT`."""

    DEFAULT = "the default"

    def __repr__(self) -> str:
        """Read well in signatures and in the settings' own representation."""
        return "DEFAULT"


DEFAULT: Literal[Default.DEFAULT] = Default.DEFAULT
"""Stands where nothing was said, for what is only known later."""

Ping = str | ServerSentEvent
"""A keep-alive: the text of a comment, or an event."""

Serializer = Callable[[Any], bytes | str]
"""Turns the data of an event into text, as bytes in UTF-8 or as a string."""

ErrorEvent = Callable[[Exception], object]
"""Turns an exception into the last item of a stream, or ``None`` for no such item."""

Farewell = Callable[[CloseReason], ServerSentEvent | None]
"""Makes the last event of a stream that is ended early, or ``None`` for no such event."""

OnDisconnect = Literal["cancel", "finish"]
"""What becomes of the generator of a stream whose client leaves."""

Refusal = Literal["status", "retry"]
"""How a stream is refused."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preset:
    """What the clients of a protocol expect of a stream; see `sse_middleware.presets`.

    It is data: ``dataclasses.replace`` makes another one of it.

    Attributes:
        to_event: from an item that is neither ``None`` nor a `ServerSentEvent` to the event that is
            sent; ``None`` sends its JSON. Where an item type is declared, it is given what that
            makes of the item. Also what `error_event` returns goes through it.
        first: an event that is sent when the stream begins, before there is an item: so the status
            line is sent, too, and what fails later is no status but an error event. Or a function
            that makes it.
        last: an event behind the last item of a stream that has ended by itself: not of one that
            has failed, was ended early or has lost its client.
        ping: the keep-alive, where the setting of that name says nothing.
        error_event: the last item of a stream that fails, where the setting says nothing.
        farewell: the last event of a stream that is ended early, where the setting says nothing.
        on_disconnect: where the setting of that name says nothing.
        headers: of the response, where it has none of these names.

    Raises:
        ConfigurationError: when it is made: a field of a wrong type. Names the field and the value.
    """

    to_event: Callable[[Any], ServerSentEvent] | None = None
    first: ServerSentEvent | Callable[[], ServerSentEvent] | None = None
    last: ServerSentEvent | None = None
    ping: Ping | Callable[[], Ping] | Literal[Default.DEFAULT] = DEFAULT
    error_event: ErrorEvent | Literal[Default.DEFAULT] | None = DEFAULT
    farewell: Farewell | Literal[Default.DEFAULT] | None = DEFAULT
    on_disconnect: OnDisconnect | Literal[Default.DEFAULT] = DEFAULT
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False)
    """The headers as ASGI has them."""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        check_function("to_event", self.to_event)
        first = self.first is None or isinstance(self.first, ServerSentEvent)
        _check("first", self.first, first or is_function(self.first), _FIRST)
        last = self.last is None or isinstance(self.last, ServerSentEvent)
        _check("last", self.last, last, "a ServerSentEvent or None")
        _check_own(self)
        _check_headers(self.headers)
        raw = ((name.lower().encode(), value.encode()) for name, value in self.headers.items())
        object.__setattr__(self, "raw_headers", tuple(raw))
        object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))


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
        _check("preset", self.preset, preset, "one of sse_middleware.presets, a Preset, or None")
        if self.ping_interval is not DEFAULT:
            _check_limit("ping_interval", self.ping_interval, "None switches keep-alives off")
        for name in ("send_timeout", "max_duration", "idle_timeout"):
            _check_limit(name, getattr(self, name), "None switches it off")
        for name in ("commit_after", "cleanup_timeout", "drain_grace"):
            check_seconds(name, getattr(self, name), "0 doesn't wait", zero=True)
        check_seconds("retry_after", self.retry_after, "0 is at once", zero=True)
        check_count("max_buffer", self.max_buffer, "bytes")
        if self.max_event_size is not None:
            check_count("max_event_size", self.max_event_size, "bytes")
        _check_own(self)
        _check("refusal", self.refusal, self.refusal in get_args(Refusal), "'status' or 'retry'")
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
        said = dict.fromkeys((name for name in _OWN if _says(known.get("preset"), name)), DEFAULT)
        return replace(self, **said | known)

    def own(self, name: str) -> Any:
        """Return what both may say: the setting of that name, else the preset's."""
        value = getattr(self, name)
        return getattr(self.preset, name, DEFAULT) if value is DEFAULT else value


_OWN = ("ping", "on_disconnect", "error_event", "farewell")
"""What both a preset and a setting may say."""


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


_PING = "a comment's text, a ServerSentEvent, or a function that returns one of them"

_FIRST = "a ServerSentEvent, a function that is not async, or None"

_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*")
"""A header (RFC 9110, 5.1 and 5.5), in ASCII."""

_OF_EVERY_STREAM = ("content-type", "content-length", "transfer-encoding", "connection")


def _says(preset: object, name: str) -> bool:
    return getattr(preset, name, DEFAULT) is not DEFAULT


def _check_own(own: "Preset | StreamSettings") -> None:
    ping = own.ping
    if ping is not DEFAULT:
        _check("ping", ping, isinstance(ping, Ping) or callable(ping), _PING)
    if isinstance(ping, str):
        _check("ping", ping, _is_utf8(ping), "text that UTF-8 can encode")
    if own.on_disconnect is not DEFAULT:
        allowed = own.on_disconnect in get_args(OnDisconnect)
        _check("on_disconnect", own.on_disconnect, allowed, "'cancel' or 'finish'")
    for name in ("error_event", "farewell"):
        if getattr(own, name) is not DEFAULT:
            check_function(name, getattr(own, name))


def _check_headers(headers: Any) -> None:
    _check("headers", headers, isinstance(headers, Mapping), "a mapping from names to values")
    for name, value in headers.items():
        line = (
            isinstance(name, str) and isinstance(value, str) and _LINE.fullmatch(name + ":" + value)
        )
        _check("headers", headers, bool(line), "ASCII names and values of headers")
        own = name.lower() not in _OF_EVERY_STREAM
        _check("headers", headers, own, f"without what each stream has: {name!r}")


def _known(options: StreamOptions) -> StreamOptions:
    names = [field.name for field in fields(StreamSettings) if field.init]
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise ConfigurationError(f"unknown setting {name!r}: {hint}")
    return options


def check_seconds(name: str, value: object, note: str, *, zero: bool = False) -> None:
    """Refuse what is no finite number of seconds over 0, or from 0 on."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    holds = number and 0 <= value <= sys.float_info.max and (zero or value != 0)  # type: ignore[operator]
    bound = "of at least 0" if zero else "over 0"
    _check(name, value, holds, f"a finite number of seconds {bound} ({note})")


def check_count(name: str, value: object, of: str) -> None:
    """Refuse what is no number over 0."""
    _check(name, value, type(value) is int and value > 0, f"a number of {of} over 0")


def check_function(name: str, value: object) -> None:
    """Refuse what can't be called without being awaited, and is not ``None``."""
    holds = value is None or is_function(value)
    _check(name, value, holds, "a function that is not async, or None")


def is_function(value: object) -> bool:
    """Whether a value can be called, and what it returns need not be awaited."""
    called = type(value).__call__ if callable(value) else None
    return callable(value) and not (iscoroutinefunction(value) or iscoroutinefunction(called))


def _check(name: str, value: object, holds: bool, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, got {value!r}")


def _check_limit(name: str, value: object, note: str) -> None:
    if value is not None:
        check_seconds(name, value, note)


def _codecs(compression: Any) -> tuple[str, ...]:
    listed = isinstance(compression, list | tuple) and all(
        isinstance(one, str) for one in compression
    )
    allowed = "True, False, or a list of codecs"
    _check("compression", compression, isinstance(compression, bool) or listed, allowed)
    return offered(compression)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
