"""`ConfiguredControlFrames`: the frames that a stream itself adds, such as keep-alives."""

from collections.abc import Mapping
from typing import Any, TypeGuard

from sse_middleware.errors import ConfigurationError
from sse_middleware.events import KEEPALIVE_COMMENT, ServerSentEvent
from sse_middleware.items.data_encoders import NO_OPTIONS, field_serializer
from sse_middleware.items.hints import ItemHints
from sse_middleware.items.item_encoding import ItemEncoding
from sse_middleware.items.serialization import FIELD_OPTIONS, ItemEncoder, event_frame
from sse_middleware.presets.preset import Ping
from sse_middleware.records import CloseReason
from sse_middleware.settings import StreamSettings
from sse_middleware.validation import UNSET
from sse_middleware.wire.encoding import encode_event
from sse_middleware.wire.sent_ids import ForeignIds, IdFollower, OwnIds, SentIds

_BARE_KEEPALIVE = KEEPALIVE_COMMENT[:-1]


class ControlFrameRules:
    """How control frames are made from settings. All streams of an endpoint share it.

    Args:
        settings: the streams' settings.
        options: Pydantic's options for dumping, which the route has set. Those that name fields
            apply only to the endpoint's items.
    """

    __slots__ = ("bare", "options", "same_ping", "settings")

    def __init__(self, settings: StreamSettings, options: Mapping[str, Any] = NO_OPTIONS) -> None:
        self.settings = settings
        self.options: Mapping[str, Any] = options and {
            name: options[name] for name in options if name not in FIELD_OPTIONS
        }
        self.bare = settings.resolved("ping_blank_line") is False
        """Whether a keep-alive has no blank line from the first one on."""
        self.same_ping = self.default_ping(bare=self.bare)
        """The keep-alive if it is always the same, otherwise ``b""``."""

    def default_ping(self, *, bare: bool) -> bytes:
        """Return the keep-alive unless a setting makes another one, otherwise ``b""``."""
        if self.settings.resolved("ping") is not UNSET:
            return b""
        return _BARE_KEEPALIVE if bare else KEEPALIVE_COMMENT


class ConfiguredControlFrames:
    """The control frames of one stream, made from its settings and its preset.

    The endpoint's item type doesn't validate them, because they are not its items.

    Args:
        rules: how they are made.
        hints: reports what looks like a mistake.
    """

    __slots__ = ("_bare", "_hints", "_rules", "follower", "same_ping")

    def __init__(self, rules: ControlFrameRules, hints: ItemHints | None = None) -> None:
        self._rules = rules
        self._hints = hints
        self._bare = rules.bare
        self.same_ping = rules.same_ping
        """The keep-alive if it is always the same, otherwise ``b""``."""
        self.follower: IdFollower | None = None
        """Told once that there are ids, before the first one is sent."""

    @property
    def _settings(self) -> StreamSettings:
        return self._rules.settings

    def ping(self) -> bytes:
        """Return a keep-alive."""
        if self.same_ping:
            return self.same_ping
        ping = self._settings.resolved("ping")
        if callable(ping):
            return self._encode_ping(ping())
        self.same_ping = self._encode_ping(ping)
        return self.same_ping

    def id_sent(self, *, within_line: bool = False) -> None:
        """Know that the next frame may have an id. It may be called again.

        Args:
            within_line: whether that frame begins within a line.
        """
        follower, self.follower = self.follower, None
        if follower is not None:
            follower.follow_ids(self._ids(within_line=within_line))
        self._leave_out_blank_line()

    def _ids(self, *, within_line: bool) -> SentIds:  # noqa: ARG002 - others need it
        """Return what finds the ids."""
        return OwnIds()

    def _leave_out_blank_line(self) -> None:
        """Leave out the blank line after a comment, unless a setting wants it.

        Many clients take a blank line for the end of an event once an id has come.
        """
        if self._settings.resolved("ping_blank_line") is UNSET:
            self._bare = True
            self.same_ping = self._rules.default_ping(bare=True)

    def _encode_ping(self, ping: Ping) -> bytes:
        comment = ping.comment if _is_comment(ping) else ping
        if isinstance(comment, str):
            frame = encode_event(None, comment=comment)
            return frame[:-1] if self._bare else frame
        if isinstance(ping, ServerSentEvent):
            if ping.id is not None:
                self.id_sent()
            return event_frame(ping, field_serializer(self._settings.serializer))
        raise ConfigurationError(f"ping must return a str or a ServerSentEvent, got {ping!r}")

    def of_error(self, error: Exception) -> bytes:
        """Return the last frame of a stream that fails, or ``b""``."""
        error_event = self._settings.resolved("error_event")
        if error_event is UNSET or error_event is None:
            return b""
        item = error_event(error)
        if self._hints is not None and isinstance(item, ServerSentEvent):
            self._hints.look_at_name(item.event)
        return self._encoded(item, "error_event")

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
        encoding = ItemEncoding(self._settings, None, origin, self._rules.options)
        frame = ItemEncoder(encoding, self).encode(item)
        return frame[:-1] if self._bare and _is_comment(item) else frame


class ForeignControlFrames(ConfiguredControlFrames):
    """The control frames of a stream in which bytes pass that others have written."""

    __slots__ = ()

    def _ids(self, *, within_line: bool) -> SentIds:
        """Return what finds the ids, in whatever form."""
        return ForeignIds(within_line=within_line)


def _is_comment(ping: object) -> TypeGuard[ServerSentEvent]:
    """Whether a control frame is an event that has nothing but a comment."""
    if not isinstance(ping, ServerSentEvent) or ping.comment is None:
        return False
    fields = (ping.data, ping.raw_data, ping.event, ping.id, ping.retry)
    return all(field is None for field in fields)
