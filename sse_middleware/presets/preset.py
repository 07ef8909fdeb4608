"""`Preset`: what the clients of a protocol expect of a stream.

A setting overrides the preset's field of the same name (``SHARED_WITH_SETTINGS``).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, get_args

from sse_middleware.events import ServerSentEvent
from sse_middleware.records import CloseReason
from sse_middleware.validation import UNSET, Unset, check, check_function, is_function, is_utf8

Ping = str | ServerSentEvent
"""A keep-alive: the text of a comment, or an event."""

ErrorEvent = Callable[[Exception], object]
"""Turns an exception into the last item of a stream, or into ``None`` for no item."""

Farewell = Callable[[CloseReason], ServerSentEvent | None]
"""Makes the last event of a stream that is ended early, or returns ``None`` for no event."""

OnDisconnect = Literal["cancel", "finish"]
"""What happens to a stream's generator when the client disconnects."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Preset:
    """What the clients of a protocol expect of a stream; see `sse_middleware.presets`.

    A preset is data: ``dataclasses.replace`` makes a changed copy.

    Attributes:
        to_event: turns an item into the event to send; ``None`` sends the item's JSON. It is called
            with each item that is neither ``None`` nor a `ServerSentEvent`, and with the result of
            `error_event`. A declared item type validates and filters the item first.
        first: an event, or a function that makes it. It is sent when the stream begins, before
            there is an item. The status line is sent with it, so a later failure becomes an error
            event and not an error status.
        last: an event after the last item of a stream that ends by itself. It is not sent if the
            stream fails, is ended early or loses its client. A `relay` expects it of its upstream.
        ping: the keep-alive, unless the setting of that name is set.
        ping_blank_line: whether a blank line follows a comment, unless the setting is set.
        error_event: makes the last item of a stream that fails, unless the setting is set.
        farewell: makes the last event of a stream that is ended early, unless the setting is set.
        on_disconnect: what happens when the client disconnects, unless the setting is set.
        headers: added to the response, unless it has a header of the same name.

    Raises:
        ConfigurationError: at construction, for a field of the wrong type. The message names the
            field and the value.
    """

    to_event: Callable[[Any], ServerSentEvent] | None = None
    first: ServerSentEvent | Callable[[], ServerSentEvent] | None = None
    last: ServerSentEvent | None = None
    ping: Ping | Callable[[], Ping] | Literal[Unset.UNSET] = UNSET
    ping_blank_line: bool | Literal[Unset.UNSET] = UNSET
    error_event: ErrorEvent | Literal[Unset.UNSET] | None = UNSET
    farewell: Farewell | Literal[Unset.UNSET] | None = UNSET
    on_disconnect: OnDisconnect | Literal[Unset.UNSET] = UNSET
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False)
    """The headers in ASGI's form."""

    def __post_init__(self) -> None:
        """Refuse invalid fields."""
        check_function("to_event", self.to_event)
        first = self.first is None or isinstance(self.first, ServerSentEvent)
        check("first", self.first, first or is_function(self.first), _FIRST)
        last = self.last is None or isinstance(self.last, ServerSentEvent)
        check("last", self.last, last, "a ServerSentEvent or None")
        check_shared(self)
        _check_headers(self.headers)
        raw = ((name.lower().encode(), value.encode()) for name, value in self.headers.items())
        object.__setattr__(self, "raw_headers", tuple(raw))
        object.__setattr__(self, "headers", MappingProxyType(dict(self.headers)))


SHARED_WITH_SETTINGS = ("ping", "ping_blank_line", "on_disconnect", "error_event", "farewell")
"""The fields that a preset and the settings have in common."""

_PING = "a comment's text, a ServerSentEvent, or a function (not async) that returns one of them"

_FIRST = "a ServerSentEvent, a function that is not async, or None"

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*")
"""A name and a value of a header (RFC 9110, 5.1 and 5.5), in ASCII."""

_RESERVED = ("content-type", "content-length", "transfer-encoding", "connection")


def check_shared(owner: Any) -> None:
    """Refuse invalid values of ``SHARED_WITH_SETTINGS`` in a preset or in the settings."""
    ping = owner.ping
    if ping is not UNSET:
        check("ping", ping, isinstance(ping, Ping) or is_function(ping), _allowed_ping(ping))
    if isinstance(ping, str):
        check("ping", ping, is_utf8(ping), "text that UTF-8 can encode")
    if owner.ping_blank_line is not UNSET:
        holds = isinstance(owner.ping_blank_line, bool)
        check("ping_blank_line", owner.ping_blank_line, holds, "True or False")
    if owner.on_disconnect is not UNSET:
        allowed = owner.on_disconnect in get_args(OnDisconnect)
        check("on_disconnect", owner.on_disconnect, allowed, "'cancel' or 'finish'")
    for name in ("error_event", "farewell"):
        if getattr(owner, name) is not UNSET:
            check_function(name, getattr(owner, name))


def _allowed_ping(ping: Any) -> str:
    """Return what `ping` may be, with what helps a user who has set something else."""
    if isinstance(ping, int | float):
        return f"{_PING} (ping_interval sets the seconds between two of them)"
    return f"{_PING} (text, not bytes)" if isinstance(ping, bytes | bytearray) else _PING


def _check_headers(headers: Any) -> None:
    check("headers", headers, isinstance(headers, Mapping), "a mapping from names to values")
    for name, value in headers.items():
        line = (
            isinstance(name, str)
            and isinstance(value, str)
            and _HEADER.fullmatch(name + ":" + value)
        )
        check("headers", headers, bool(line), "a mapping from header names to values in ASCII")
        own = name.lower() not in _RESERVED
        check("headers", headers, own, f"a mapping without {name!r}, which the stream sets")
