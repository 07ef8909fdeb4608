"""The settings of a stream: one frozen object, made once, checked when it is made.

The middleware gives the defaults; a route (`event_stream`) and a response (`EventSourceResponse`)
may override each of them by its name. A limit has a name, a default, and a reason.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from enum import Enum
from inspect import iscoroutinefunction
from typing import Any, Literal, Self, TypedDict

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import ServerSentEvent


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


class StreamOptions(TypedDict, total=False):
    """The settings as keyword arguments; `StreamSettings` says what they mean."""

    ping_interval: float | None
    ping: Ping | Callable[[], Ping]
    commit_after: float
    cleanup_timeout: float
    max_buffer: int
    serializer: Serializer | None
    error_event: ErrorEvent | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How streams are sent: what `SSEMiddleware`, `event_stream` and `EventSourceResponse` take.

    Attributes:
        ping_interval: seconds of silence after which a keep-alive is sent; ``None`` sends none. By
            default ``sse_middleware.events._PING_INTERVAL`` at the moment when the stream starts:
            15 s, well below the 60 s after which common proxies close an idle connection.
        ping: the keep-alive: the text of a comment, a `ServerSentEvent`, or a function that returns
            one of them, called for each. It is also what a yielded ``None`` sends.
        commit_after: seconds that the status line waits for the first item. An exception within
            them is still answered by a real 404 or 500; after them a browser's ``EventSource``
            learns that it is open. Long enough for a look-up, short enough for nobody to notice.
        cleanup_timeout: seconds that a cancelled generator has for its ``finally`` blocks. Enough
            to roll back and to close, an end to a cleanup that hangs.
        max_buffer: bytes that wait for a slow client before its generator waits too. A stream holds
            no more than this and the item that went over it, and as much again where a synchronous
            generator's thread is at work. As much as servers put into one write.
        serializer: turns the data of an event into JSON, in place of ``pydantic_core.to_json``. It
            is given what was yielded, or, where an item type is declared, what that makes of it.
        error_event: given the exception of a stream that has started, returns the last item of that
            stream, or ``None``. The exception then goes on to the server.

    Raises:
        ConfigurationError: when it is made: a setting of a wrong type or out of its range. Names
            the setting and the value.
    """

    ping_interval: float | Literal[Default.DEFAULT] | None = DEFAULT
    ping: Ping | Callable[[], Ping] = "ping"
    commit_after: float = 0.5
    cleanup_timeout: float = 5.0
    max_buffer: int = 64 * 1024
    serializer: Serializer | None = None
    error_event: ErrorEvent | None = None

    def __post_init__(self) -> None:
        """Refuse what can't work."""
        if self.ping_interval is not None and self.ping_interval is not DEFAULT:
            _check_seconds("ping_interval", self.ping_interval, "None switches keep-alives off")
        _check_seconds("commit_after", self.commit_after, "0 doesn't wait", zero=True)
        _check_seconds("cleanup_timeout", self.cleanup_timeout, "0 doesn't wait", zero=True)
        _check("ping", self.ping, isinstance(self.ping, Ping) or callable(self.ping), _PING)
        if isinstance(self.ping, str):
            _check("ping", self.ping, _is_utf8(self.ping), "text that UTF-8 can encode")
        _check(
            "max_buffer", self.max_buffer, _is_count(self.max_buffer), "a number of bytes over 0"
        )
        for name in ("serializer", "error_event"):
            value = getattr(self, name)
            plain = callable(value) and not iscoroutinefunction(value)
            _check(name, value, value is None or plain, "a function that is not async, or None")

    @classmethod
    def of(cls, options: StreamOptions) -> Self:
        """Make settings from keyword arguments, the others being the defaults.

        Raises:
            ConfigurationError: also for a name that is no setting.
        """
        return cls(**_known(options))

    def overridden(self, options: StreamOptions) -> Self:
        """Return these settings with `options` over them. Raises as `of`."""
        return replace(self, **_known(options)) if options else self


_PING = "a comment's text, a ServerSentEvent, or a function that returns one of them"


def _known(options: StreamOptions) -> StreamOptions:
    names = [field.name for field in fields(StreamSettings)]
    for name in options:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names)}"
            raise ConfigurationError(f"unknown setting {name!r}: {hint}")
    return options


def _check(name: str, value: object, holds: bool, allowed: str) -> None:  # noqa: FBT001
    if not holds:
        raise ConfigurationError(f"{name} must be {allowed}, got {value!r}")


def _check_seconds(name: str, value: object, note: str, *, zero: bool = False) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    holds = number and 0 <= value <= sys.float_info.max and (zero or value != 0)  # type: ignore[operator]
    bound = "of at least 0" if zero else "over 0"
    _check(name, value, holds, f"a finite number of seconds {bound} ({note})")


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_count(value: object) -> bool:
    return type(value) is int and value > 0
