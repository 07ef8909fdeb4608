"""`ConfiguredControlFrames`: the frames that a stream itself adds, such as keep-alives."""

from collections.abc import Callable
from typing import Any

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.serialization import ItemEncoder, event_frame, field_serializer
from sse_middleware.presets.preset import Ping
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.validation import UNSET
from sse_middleware.wire.encoding import encode_event


class ConfiguredControlFrames:
    """The control frames of one stream, made from its settings and its preset.

    The endpoint's item type doesn't validate them, because they are not its items.
    """

    __slots__ = ("_settings", "same_ping")

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self.same_ping = KEEPALIVE_COMMENT if settings.resolved("ping") is UNSET else b""
        """The keep-alive if it is always the same, otherwise ``b""``."""

    def ping(self) -> bytes:
        """Return a keep-alive."""
        if self.same_ping:
            return self.same_ping
        ping = self._settings.resolved("ping")
        field_json = field_serializer(self._settings.serializer)
        if callable(ping):
            return _encode_ping(ping(), field_json)
        self.same_ping = _encode_ping(ping, field_json)
        return self.same_ping

    def of_error(self, error: Exception) -> bytes:
        """Return the last frame of a stream that fails, or ``b""``."""
        error_event = self._settings.resolved("error_event")
        if error_event is UNSET or error_event is None:
            return b""
        return self._encoded(error_event(error), "error_event")

    def farewell(self, reason: CloseReason) -> bytes:
        """Return the last frame of a stream that is closed early, or ``b""``."""
        farewell = self._settings.resolved("farewell")
        if farewell is UNSET:
            retry = self._settings.retry_milliseconds()
            return encode_event(None, retry=retry) if reason is CloseReason.DRAINED else b""
        return self._encoded(farewell(reason) if farewell else None, "farewell")

    def first(self) -> bytes:
        """Return the frame with which the preset begins a stream, or ``b""``."""
        first = self._settings.preset and self._settings.preset.first
        return self._encoded(first() if callable(first) else first, "first")

    def last(self) -> bytes:
        """Return the frame after the last item of a stream that ends by itself, or ``b""``."""
        preset = self._settings.preset
        return self._encoded(preset and preset.last, "last")

    def _encoded(self, item: object, origin: str) -> bytes:
        if item is None:
            return b""
        return ItemEncoder(self._settings, self.ping, None, origin).encode(item)


def _encode_ping(ping: Ping, field_json: Callable[[Any], bytes]) -> bytes:
    if isinstance(ping, str):
        return encode_event(None, comment=ping)
    if isinstance(ping, ServerSentEvent):
        return event_frame(ping, field_json)
    raise ConfigurationError(f"ping must return a str or a ServerSentEvent, got {ping!r}")
