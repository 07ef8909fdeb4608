"""`LoggingObserver`: logs one line when a stream opens, and one when it closes.

Rules of this file:
- A line stays one line: what the client chooses is escaped and shortened, in the fields too.
- The result of `client_key` is in the fields and not in the line, since it may say more about the
  client than an address.
- What happens within a stream is not logged. Use metrics for that.
- A log record keeps nothing of a stream alive. So it names the exception and doesn't attach it.
"""

import logging
from collections.abc import Mapping

from sse_middleware.errors import ConfigurationError, printable
from sse_middleware.records import (
    CloseReason,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
)

_WARNED = (CloseReason.ERROR, CloseReason.SEND_TIMEOUT, CloseReason.REFUSED)


class LoggingObserver:
    """Logs that a stream was opened, at ``DEBUG``, and that it was closed.

    Each log record has ``stream_id``, ``stream_method``, ``stream_path``, ``stream_route`` and
    ``stream_client``. A closed stream also has ``stream_reason``, ``stream_events``,
    ``stream_size`` (bytes, after compression), ``stream_seconds`` and ``stream_error``, the name of
    the exception's type or ``None``.

    Args:
        logger: where to log; by default the logger ``sse_middleware.streams``.
        level: the level for a stream that closed normally. It is at least ``WARNING`` for a stream
            that failed, was refused, or whose client didn't read.

    Raises:
        ConfigurationError: `logger` is not a logger, or `level` is not an integer.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        if logger is None:
            logger = logging.getLogger("sse_middleware.streams")
        if not isinstance(logger, logging.Logger):
            raise ConfigurationError(f"logger must be a logging.Logger, got {logger!r}")
        if type(level) is not int:
            raise ConfigurationError(f"level must be an integer (logging.INFO), got {level!r}")
        self._logger = logger
        self._level = level

    def __call__(self, record: StreamRecord, /) -> None:
        """Log the record if a stream opened or closed."""
        if isinstance(record, StreamOpened):
            self._opened(record)
        elif isinstance(record, StreamClosed):
            self._closed(record)

    def _opened(self, record: StreamOpened) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):  # don't format what nobody reads
            stream = record.stream
            line = "stream %s of %s opened"
            self._logger.debug(line, stream.id, _request(stream), extra=_fields(stream))

    def _closed(self, record: StreamClosed) -> None:
        warned = record.reason in _WARNED
        level = max(self._level, logging.WARNING) if warned else self._level
        if not self._logger.isEnabledFor(level):
            return
        stream, reason = record.stream, record.reason.value
        error = None if record.error is None else type(record.error).__qualname__
        self._logger.log(
            level,
            "stream %s of %s closed: %s, after %.3f s, %d events, %d bytes",
            stream.id,
            _request(stream),
            reason if error is None else f"{reason} ({error})",
            record.seconds,
            record.events,
            record.size,
            extra={
                **_fields(stream),
                "stream_reason": reason,
                "stream_events": record.events,
                "stream_size": record.size,
                "stream_seconds": record.seconds,
                "stream_error": error,
            },
        )


def _request(stream: StreamInfo) -> str:
    return f"{printable(stream.method)} {printable(stream.path)}"


def _fields(stream: StreamInfo) -> Mapping[str, str | None]:
    return {
        "stream_id": stream.id,
        "stream_method": printable(stream.method),
        "stream_path": printable(stream.path),
        "stream_route": stream.route,
        "stream_client": None if stream.client is None else printable(stream.client),
    }
