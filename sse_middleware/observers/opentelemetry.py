"""`OpenTelemetryObserver`: metrics of all streams, and a span for each.

Rules of this file:
- A metric's attribute has few values: the route and never the path, and only methods of HTTP.
- A stream's span is current in the stream's task, from its beginning to its end. Then the previous
  context is attached again. No token restores it, because a token is valid only in the context that
  made it, and OpenTelemetry logs an error for any other. An adopted application may begin its
  response in one task and end it in another.
- Even if writing to a span fails, the span is ended and the previous context is attached.
"""

from collections.abc import Mapping

from opentelemetry import context, metrics, trace

from sse_middleware import __version__
from sse_middleware.records import (
    CloseReason,
    EventsSent,
    FirstEvent,
    GapTold,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
)

_NAME = "sse_middleware"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY", "CONNECT", "TRACE")
_OTHER = "_OTHER"
"""The name of the semantic conventions for any other value, so that there are few values."""

REASON = "sse.stream.close_reason"
"""The attribute that says why a stream ended: a value of `CloseReason`."""

GAP_REASON = "sse.gap.reason"
"""The attribute that says why events may be missing: ``expired``, ``lost`` or ``reset``."""

_DURATION_BOUNDS = (0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 86400.0)
"""Bucket bounds for the durations of streams, in seconds. The SDK's own are for milliseconds."""

_FIRST_EVENT_BOUNDS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    30.0,
)
"""Bucket bounds for the time to the first event, in seconds: as for HTTP servers, and 30."""


class OpenTelemetryObserver:
    """Measures streams, and makes a span for each, which is current in the stream's generator.

    The span is a child of the server's span.

    Metrics, with ``http.request.method`` and ``http.route``:

    ============================== ============= ======================================
    ``sse.server.active_streams``  UpDownCounter open streams
    ``sse.server.events``          Counter       events that were handed to the server
    ``sse.server.io``              Counter, By   bytes that were sent, after compression
    ``sse.server.keepalives``      Counter       keep-alives that were handed to the server
    ``sse.server.gaps``            Counter       gaps that subscribers of a hub were told
    ``sse.server.first_event``     Histogram, s  from the beginning to the first event
    ``sse.server.stream.duration`` Histogram, s  from the beginning to the end
    ``sse.server.closed_streams``  Counter       streams that ended or were refused
    ============================== ============= ======================================

    The last two also have `REASON`, and ``error.type`` for an error. Gaps have `GAP_REASON`.

    Args:
        meter_provider: by default the global one.
        tracer_provider: by default the global one.
    """

    def __init__(
        self,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        version = __version__
        self._instruments = _Instruments(metrics.get_meter(_NAME, version, meter_provider))
        self._tracer = trace.get_tracer(_NAME, version, tracer_provider)
        self._spans: dict[str, _StreamSpan] = {}

    def __call__(self, record: StreamRecord, /) -> None:
        """Measure the record, and begin, extend or end the stream's span."""
        stream = record.stream
        self._instruments.measure(record, _attributes(stream))
        if isinstance(record, StreamOpened):
            self._spans[stream.id] = _StreamSpan(self._tracer, stream)
        elif isinstance(record, FirstEvent):
            self._spans[stream.id].add_first_event()
        elif isinstance(record, StreamClosed) and record.reason is not CloseReason.REFUSED:
            self._spans.pop(stream.id).end(record)


class _Instruments:
    """The instruments of the metrics."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._active = meter.create_up_down_counter(
            "sse.server.active_streams", "{stream}", "Streams that are open"
        )
        self._events = meter.create_counter(
            "sse.server.events", "{event}", "Events that were handed to the server"
        )
        self._io = meter.create_counter("sse.server.io", "By", "Bytes, as they were sent")
        self._keepalives = meter.create_counter(
            "sse.server.keepalives", "{keepalive}", "Keep-alives that were handed to the server"
        )
        self._gaps = meter.create_counter(
            "sse.server.gaps", "{gap}", "Gaps that subscribers of a hub were told"
        )
        self._closed = meter.create_counter(
            "sse.server.closed_streams", "{stream}", "Streams that have ended or were refused"
        )
        self._first_event = meter.create_histogram(
            "sse.server.first_event",
            "s",
            "From the beginning of a stream to its first event",
            explicit_bucket_boundaries_advisory=_FIRST_EVENT_BOUNDS,
        )
        self._duration = meter.create_histogram(
            "sse.server.stream.duration",
            "s",
            "From the beginning of a stream to its end",
            explicit_bucket_boundaries_advisory=_DURATION_BOUNDS,
        )

    def measure(self, record: StreamRecord, attributes: Mapping[str, str]) -> None:
        """Count one record."""
        match record:
            case StreamOpened():
                self._active.add(1, attributes)
            case FirstEvent():
                self._first_event.record(record.seconds, attributes)
            case EventsSent():
                self._events.add(record.events, attributes)
                self._io.add(record.size, attributes)
            case PingSent():
                self._keepalives.add(1, attributes)
                self._io.add(record.size, attributes)
            case GapTold():
                self._gaps.add(1, {**attributes, GAP_REASON: record.reason})
            case _:
                self._close(record, attributes)

    def _close(self, record: StreamClosed, attributes: Mapping[str, str]) -> None:
        ended = {**attributes, **_end_attributes(record)}
        self._closed.add(1, ended)
        if record.reason is not CloseReason.REFUSED:  # a refused stream never opened
            self._active.add(-1, attributes)
            self._duration.record(record.seconds, ended)


class _StreamSpan:
    """The span of one stream. It is current in the task that creates it."""

    def __init__(self, tracer: trace.Tracer, stream: StreamInfo) -> None:
        self._previous_context = context.get_current()
        name = f"SSE {_method(stream)} {stream.route or ''}".rstrip()
        attributes = {**_attributes(stream), "sse.stream.id": stream.id}
        self._span = tracer.start_span(name, attributes=attributes)
        context.attach(trace.set_span_in_context(self._span))

    def add_first_event(self) -> None:
        self._span.add_event("sse.first_event")

    def end(self, record: StreamClosed) -> None:
        span = self._span
        try:
            span.set_attributes(
                {
                    **_end_attributes(record),
                    "sse.stream.events": record.events,
                    "sse.stream.size": record.size,
                }
            )
            if record.reason is CloseReason.ERROR:
                self._fail(record.error)
        finally:
            span.end()
            if trace.get_current_span() is span:
                context.attach(self._previous_context)

    def _fail(self, error: BaseException | None) -> None:
        self._span.set_status(trace.StatusCode.ERROR, None if error is None else repr(error))
        if error is not None:
            self._span.record_exception(error)


def _attributes(stream: StreamInfo) -> dict[str, str]:
    """Return the attributes of a stream's measurements."""
    attributes = {"http.request.method": _method(stream)}
    if stream.route is not None:
        attributes["http.route"] = stream.route
    return attributes


def _method(stream: StreamInfo) -> str:
    return stream.method if stream.method in _METHODS else _OTHER


def _end_attributes(record: StreamClosed) -> dict[str, str]:
    """Return the attributes that the end of a stream adds."""
    if record.reason is not CloseReason.ERROR:
        return {REASON: record.reason.value}
    kind = type(record.error)
    named = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    return {REASON: record.reason.value, "error.type": _OTHER if record.error is None else named}


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
