"""`LoggingObserver`: a line in the log for each stream that begins, and for each that ends.

Rules of this file:
- A line stays a line: what a client chose, the path and the method, is written escaped.
- What `client_key` returned is in the fields and not in the line: it may be more than an address.
- What happens within a stream is not logged: that is what metrics are for.
- Nothing of a stream is kept by a record of the log, so the exception is named and not attached.
"""

import logging
from collections.abc import Mapping

from sse_middleware.errors import ConfigurationError
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

    Each record of the log has ``stream_id``, ``stream_method``, ``stream_path``, ``stream_route``
    and ``stream_client``; at the end also ``stream_reason``, ``stream_events``, ``stream_size``
    (bytes, as they were sent), ``stream_seconds`` and ``stream_error``, the name of the exception's
    type or ``None``.

    Args:
        logger: that is written to; by default the one named ``sse_middleware.streams``.
        level: of a stream that was closed as it may be. One that failed, whose client didn't read,
            or that was refused is a ``WARNING`` at least.

    Raises:
        ConfigurationError: the logger is none, or the level is no number.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        if logger is None:
            logger = logging.getLogger("sse_middleware.streams")
        if not isinstance(logger, logging.Logger):
            raise ConfigurationError(f"logger must be a logging.Logger, got {logger!r}")
        if type(level) is not int:
            raise ConfigurationError(f"level must be a number (logging.INFO), got {level!r}")
        self._logger = logger
        self._level = level

    def __call__(self, record: StreamRecord, /) -> None:
        """Log one record, if it is one of the two."""
        if isinstance(record, StreamOpened):
            self._opened(record)
        elif isinstance(record, StreamClosed):
            self._closed(record)

    def _opened(self, record: StreamOpened) -> None:
        if self._logger.isEnabledFor(logging.DEBUG):  # nothing is put together for nobody
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
    """Return the request in printable ASCII."""
    return f"{ascii(stream.method)[1:-1]} {ascii(stream.path)[1:-1]}"


def _fields(stream: StreamInfo) -> Mapping[str, str | None]:
    return {
        "stream_id": stream.id,
        "stream_method": stream.method,
        "stream_path": stream.path,
        "stream_route": stream.route,
        "stream_client": stream.client,
    }
