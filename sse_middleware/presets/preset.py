"""`Preset`: what the clients of a protocol expect of a stream.

Some of it a setting may say, too: ``SHARED_WITH_SETTINGS``.
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
"""Turns an exception into the last item of a stream, or ``None`` for no such item."""


Farewell = Callable[[CloseReason], ServerSentEvent | None]
"""Makes the last event of a stream that is ended early, or ``None`` for no such event."""


OnDisconnect = Literal["cancel", "finish"]
"""What becomes of the generator of a stream whose client leaves."""


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
    ping: Ping | Callable[[], Ping] | Literal[Unset.UNSET] = UNSET
    error_event: ErrorEvent | Literal[Unset.UNSET] | None = UNSET
    farewell: Farewell | Literal[Unset.UNSET] | None = UNSET
    on_disconnect: OnDisconnect | Literal[Unset.UNSET] = UNSET
    headers: Mapping[str, str] = field(default_factory=dict)
    raw_headers: tuple[tuple[bytes, bytes], ...] = field(init=False, repr=False)
    """The headers as ASGI has them."""

    def __post_init__(self) -> None:
        """Refuse what can't work."""
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


SHARED_WITH_SETTINGS = ("ping", "on_disconnect", "error_event", "farewell")
"""What both a preset and a setting may say."""


_PING = "a comment's text, a ServerSentEvent, or a function that returns one of them"


_FIRST = "a ServerSentEvent, a function that is not async, or None"


_LINE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e]*")
"""A header (RFC 9110, 5.1 and 5.5), in ASCII."""


_OF_EVERY_STREAM = ("content-type", "content-length", "transfer-encoding", "connection")


def check_shared(by: Any) -> None:
    """Refuse what can't work of what a preset or the settings say of ``SHARED_WITH_SETTINGS``."""
    ping = by.ping
    if ping is not UNSET:
        check("ping", ping, isinstance(ping, Ping) or callable(ping), _PING)
    if isinstance(ping, str):
        check("ping", ping, is_utf8(ping), "text that UTF-8 can encode")
    if by.on_disconnect is not UNSET:
        allowed = by.on_disconnect in get_args(OnDisconnect)
        check("on_disconnect", by.on_disconnect, allowed, "'cancel' or 'finish'")
    for name in ("error_event", "farewell"):
        if getattr(by, name) is not UNSET:
            check_function(name, getattr(by, name))


def _check_headers(headers: Any) -> None:
    check("headers", headers, isinstance(headers, Mapping), "a mapping from names to values")
    for name, value in headers.items():
        line = (
            isinstance(name, str) and isinstance(value, str) and _LINE.fullmatch(name + ":" + value)
        )
        check("headers", headers, bool(line), "ASCII names and values of headers")
        own = name.lower() not in _OF_EVERY_STREAM
        check("headers", headers, own, f"without what each stream has: {name!r}")
