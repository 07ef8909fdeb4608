"""`OpenTelemetryObserver`: metrics of all streams, and a span for each.

Rules of this file:
- An attribute of a metric has few values: the route and never the path, a method that HTTP knows.
- A stream's span is current from its beginning to its end, where the stream is told to begin. It
  is put back there by setting what was current before, not by a token: a token is only good in the
  context that it was made in, and OpenTelemetry logs an error for any other. An adopted
  application may begin its response in one task and end in another.
- Whatever of a span can't be written, it is ended and put back.
"""

from collections.abc import Mapping

from opentelemetry import context, metrics, trace

from sse_middleware import __version__
from sse_middleware.records import (
    CloseReason,
    EventsSent,
    FirstEvent,
    PingSent,
    StreamClosed,
    StreamInfo,
    StreamOpened,
    StreamRecord,
)

_NAME = "sse_middleware"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY", "CONNECT", "TRACE")
_OTHER = "_OTHER"
"""What the semantic conventions call a value that would be one of too many."""

REASON = "sse.stream.close_reason"
"""The attribute that tells why a stream has ended: a value of `CloseReason`."""

_DURATIONS = (0.1, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 14400.0, 86400.0)
"""Bounds of seconds that streams last. The SDK's own are for milliseconds."""

_WAITS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0)
"""Bounds of seconds until the first event: those of HTTP servers, and one more."""


class OpenTelemetryObserver:
    """Measures streams, and spans each: a child of the server's span, current in its generator.

    Metrics, with ``http.request.method`` and ``http.route``:

    ============================== ============= ======================================
    ``sse.server.active_streams``  UpDownCounter how many are open
    ``sse.server.events``          Counter       events that were handed to the server
    ``sse.server.io``              Counter, By   bytes, as they were sent
    ``sse.server.keepalives``      Counter       keep-alives
    ``sse.server.first_event``     Histogram, s  from the beginning to the first event
    ``sse.server.stream.duration`` Histogram, s  from the beginning to the end
    ``sse.server.closed_streams``  Counter       ends, and the refused, by `REASON`
    ============================== ============= ======================================

    The last two have `REASON`, and ``error.type`` where it is an error.

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
        """Measure what is told, and begin, note or end the stream's span."""
        stream = record.stream
        self._instruments.measure(record, _attributes(stream))
        if isinstance(record, StreamOpened):
            self._spans[stream.id] = _StreamSpan(self._tracer, stream)
        elif isinstance(record, FirstEvent):
            self._spans[stream.id].had_event()
        elif isinstance(record, StreamClosed) and record.reason is not CloseReason.REFUSED:
            self._spans.pop(stream.id).end(record)


class _Instruments:
    """What is measured."""

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
        self._closed = meter.create_counter(
            "sse.server.closed_streams", "{stream}", "Streams that have ended or were refused"
        )
        self._first_event = meter.create_histogram(
            "sse.server.first_event",
            "s",
            "From the beginning of a stream to its first event",
            explicit_bucket_boundaries_advisory=_WAITS,
        )
        self._duration = meter.create_histogram(
            "sse.server.stream.duration",
            "s",
            "From the beginning of a stream to its end",
            explicit_bucket_boundaries_advisory=_DURATIONS,
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
            case _:
                self._close(record, attributes)

    def _close(self, record: StreamClosed, attributes: Mapping[str, str]) -> None:
        ended = {**attributes, **_end(record)}
        self._closed.add(1, ended)
        if record.reason is not CloseReason.REFUSED:  # which was never opened
            self._active.add(-1, attributes)
            self._duration.record(record.seconds, ended)


class _StreamSpan:
    """The span of one stream, made where the stream is told to begin, and current there."""

    def __init__(self, tracer: trace.Tracer, stream: StreamInfo) -> None:
        self._before = context.get_current()
        name = f"SSE {_method(stream)} {stream.route or ''}".rstrip()
        attributes = {**_attributes(stream), "sse.stream.id": stream.id}
        self._span = tracer.start_span(name, attributes=attributes)
        context.attach(trace.set_span_in_context(self._span))

    def had_event(self) -> None:
        self._span.add_event("sse.first_event")

    def end(self, record: StreamClosed) -> None:
        span = self._span
        try:
            span.set_attributes(
                {**_end(record), "sse.stream.events": record.events, "sse.stream.size": record.size}
            )
            if record.reason is CloseReason.ERROR:
                self._fail(record.error)
        finally:
            span.end()
            if trace.get_current_span() is span:
                context.attach(self._before)

    def _fail(self, error: BaseException | None) -> None:
        self._span.set_status(trace.StatusCode.ERROR, None if error is None else repr(error))
        if error is not None:
            self._span.record_exception(error)


def _attributes(stream: StreamInfo) -> dict[str, str]:
    """Return which streams are measured together."""
    attributes = {"http.request.method": _method(stream)}
    if stream.route is not None:
        attributes["http.route"] = stream.route
    return attributes


def _method(stream: StreamInfo) -> str:
    return stream.method if stream.method in _METHODS else _OTHER


def _end(record: StreamClosed) -> dict[str, str]:
    """Return what the end adds to the attributes."""
    if record.reason is not CloseReason.ERROR:
        return {REASON: record.reason.value}
    kind = type(record.error)
    named = kind.__qualname__ if kind.__module__ == "builtins" else _full_name(kind)
    return {REASON: record.reason.value, "error.type": _OTHER if record.error is None else named}


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
