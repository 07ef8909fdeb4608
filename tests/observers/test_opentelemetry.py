"""`OpenTelemetryObserver` with OpenTelemetry's own SDK, and with real streams."""

import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import CloseReason, SSEMiddleware, event_stream
from sse_middleware.observers import FirstEvent, GapTold, StreamClosed, StreamInfo, StreamOpened
from tests.served import OopsError, client_of

pytest.importorskip("opentelemetry.sdk")

from opentelemetry import context, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sse_middleware import observers
from sse_middleware.observers import OpenTelemetryObserver

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]

ROUTE = "/numbers/{then}"
REASON = "sse.stream.close_reason"


class Telemetry:
    """An observer, and its metrics and spans."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self._exporter = InMemorySpanExporter()
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.tracers.get_tracer("tests")
        self.observer = OpenTelemetryObserver(self.meters, self.tracers)

    def points(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Return what was measured by name: attributes, and a value or the sum of a histogram."""
        data = self._reader.get_metrics_data()
        return {
            metric.name: [
                (dict(point.attributes or {}), getattr(point, "sum", getattr(point, "value", None)))
                for point in metric.data.data_points
            ]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @property
    def spans(self) -> dict[str, Any]:
        """The spans that have ended, by name."""
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


def application(telemetry: Telemetry, **options: Any) -> Starlette:
    async def numbers(request: Request) -> AsyncIterator[int]:
        with telemetry.tracer.start_as_current_span("work"):
            yield 1
            await anyio.sleep(12)
            yield 2
        if request.path_params["then"] == "fail":
            raise OopsError("too bad")
        if request.path_params["then"] == "stay":
            await anyio.sleep_forever()
            yield 0  # it could go on

    return Starlette(
        routes=[Route(ROUTE, event_stream(numbers))],
        middleware=[Middleware(SSEMiddleware, observers=[telemetry.observer], **options)],
    )


def info(**fields: Any) -> StreamInfo:
    values = {"id": "1" * 16, "method": "GET", "path": "/x", "route": None, "client": None}
    return StreamInfo(**{**values, **fields})


def closed(stream: StreamInfo, reason: CloseReason, error: Any = None) -> StreamClosed:
    return StreamClosed(stream, reason, 0, 0, 1.0, error)


@contextmanager
def current(span: Any) -> Iterator[None]:
    with trace.use_span(span):
        yield
        assert trace.get_current_span() is span, "it is the same as before"


class TestMetrics:
    async def test_of_a_stream(self, telemetry: Telemetry) -> None:
        own = {"http.request.method": "GET", "http.route": ROUTE}
        app = application(telemetry, ping_interval=5)
        async with client_of(app) as client, client.stream("GET", "/numbers/stay") as events:
            await events.take(2)
            points = telemetry.points()
            assert points["sse.server.active_streams"] == [(own, 1)]
            assert points["sse.server.events"] == [(own, 2)]
            assert points["sse.server.keepalives"] == [(own, 2)]
            sent = b"data: 1\n\n: ping\n\n: ping\n\ndata: 2\n\n"
            assert points["sse.server.io"] == [(own, len(sent))]
            assert points["sse.server.first_event"] == [(own, pytest.approx(0))]
            assert "sse.server.closed_streams" not in points
        points = telemetry.points()
        ended = {**own, REASON: "client_disconnected"}
        assert points["sse.server.active_streams"] == [(own, 0)]
        assert points["sse.server.closed_streams"] == [(ended, 1)]
        assert points["sse.server.stream.duration"] == [(ended, pytest.approx(12))]

    async def test_of_a_gap(self, telemetry: Telemetry) -> None:
        telemetry.observer(GapTold(info(), ("a", "b"), "lost"))
        attributes = {"http.request.method": "GET", "sse.gap.reason": "lost"}
        assert telemetry.points()["sse.server.gaps"] == [(attributes, 1)]

    async def test_of_an_error(self, telemetry: Telemetry) -> None:
        async with client_of(application(telemetry)) as client:
            with pytest.raises(OopsError):
                await client.http.get("/numbers/fail")
        ((attributes, count),) = telemetry.points()["sse.server.closed_streams"]
        assert count == 1
        assert attributes[REASON] == "error"
        assert attributes["error.type"] == "tests.served.OopsError"

    async def test_of_a_refusal(self, telemetry: Telemetry) -> None:
        app = application(telemetry, max_streams=1)
        async with client_of(app) as client, client.stream("GET", "/numbers/stay") as events:
            await events.next()
            await client.http.get("/numbers/end")
            points = telemetry.points()
            ((attributes, count),) = points["sse.server.closed_streams"]
            assert (attributes[REASON], count) == ("refused", 1)
            assert [value for _, value in points["sse.server.active_streams"]] == [1]
            assert "sse.server.stream.duration" not in points
        assert len(telemetry.spans) == 2, "the stream's and its generator's"

    async def test_never_name_a_path_or_a_method_of_the_clients(self, telemetry: Telemetry) -> None:
        stream = info(method="BREW", path="/secret")
        telemetry.observer(StreamOpened(stream))
        telemetry.observer(closed(stream, CloseReason.ERROR))
        telemetry.observer(closed(stream, CloseReason.REFUSED))
        telemetry.observer(StreamOpened(stream))
        telemetry.observer(closed(stream, CloseReason.ERROR, ValueError("secret")))
        points = telemetry.points()
        assert "secret" not in repr(points)
        assert points["sse.server.active_streams"] == [({"http.request.method": "_OTHER"}, 0)]
        ends = points["sse.server.closed_streams"]
        assert [end.get("error.type") for end, _ in ends] == ["_OTHER", None, "ValueError"]
        assert list(telemetry.spans) == ["SSE _OTHER"]

    async def test_bounds_of_histograms_are_for_seconds(self, telemetry: Telemetry) -> None:
        stream = info()
        telemetry.observer(StreamOpened(stream))
        telemetry.observer(FirstEvent(stream, 0.02))
        telemetry.observer(closed(stream, CloseReason.FINISHED))
        data: Any = telemetry._reader.get_metrics_data()
        points = {
            metric.name: metric.data.data_points[0]
            for metric in data.resource_metrics[0].scope_metrics[0].metrics
        }
        assert points["sse.server.first_event"].explicit_bounds[0] == 0.005
        assert points["sse.server.stream.duration"].explicit_bounds[-1] == 86400


class TestSpans:
    async def test_lasts_as_long_as_the_stream(self, telemetry: Telemetry) -> None:
        async with client_of(application(telemetry)) as client:
            async with client.stream("GET", "/numbers/stay") as events:
                await events.take(2)
                assert f"SSE GET {ROUTE}" not in telemetry.spans
            span = telemetry.spans[f"SSE GET {ROUTE}"]
        stream_id = span.attributes["sse.stream.id"]
        assert dict(span.attributes) == {
            "http.request.method": "GET",
            "http.route": ROUTE,
            "sse.stream.id": stream_id,
            "sse.stream.events": 2,
            "sse.stream.size": 18,
            REASON: "client_disconnected",
        }
        assert [event.name for event in span.events] == ["sse.first_event"]
        assert span.status.status_code is trace.StatusCode.UNSET
        assert span.parent is None
        work = telemetry.spans["work"]
        assert work.parent.span_id == span.context.span_id
        assert work.end_time <= span.end_time

    async def test_of_an_error(self, telemetry: Telemetry) -> None:
        async with client_of(application(telemetry)) as client:
            with pytest.raises(OopsError):
                await client.http.get("/numbers/fail")
        span = telemetry.spans[f"SSE GET {ROUTE}"]
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.status.description == "OopsError('too bad')"
        assert span.attributes["error.type"] == "tests.served.OopsError"
        (raised,) = [event for event in span.events if event.name == "exception"]
        assert raised.attributes["exception.message"] == "too bad"

    async def test_ends_whatever_the_error_is(self, telemetry: Telemetry) -> None:
        class SilentError(Exception):
            def __repr__(self) -> str:
                raise OopsError

        stream = info()
        with current(telemetry.tracer.start_span("server")):
            telemetry.observer(StreamOpened(stream))
            with pytest.raises(OopsError):
                telemetry.observer(closed(stream, CloseReason.ERROR, SilentError()))
        assert telemetry.spans["SSE GET"].end_time

    @pytest.mark.parametrize("kept", [True, False])
    async def test_may_end_in_another_context(
        self, kept: bool, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
    ) -> None:
        """`kept`: the span is current where it ends, though it was made current elsewhere."""
        caplog.set_level(logging.DEBUG)
        stream = info()
        server = telemetry.tracer.start_span("server")
        with current(server):
            inside = copy_context()
            inside.run(telemetry.observer, StreamOpened(stream))
            ending = inside.copy() if kept else copy_context()
            ending.run(telemetry.observer, closed(stream, CloseReason.FINISHED))
            assert ending.run(trace.get_current_span) is server
        assert telemetry.spans["SSE GET"].parent.span_id == server.get_span_context().span_id
        assert caplog.records == []

    async def test_the_outer_span_is_current_again_afterwards(self, telemetry: Telemetry) -> None:
        stream = info()
        before = context.get_current()
        telemetry.observer(StreamOpened(stream))
        assert trace.get_current_span().is_recording()
        telemetry.observer(closed(stream, CloseReason.FINISHED))
        assert context.get_current() is before
        assert telemetry.observer._spans == {}

    async def test_of_an_adopted_response_that_begins_in_another_task(
        self, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, "opentelemetry")

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            async def begin() -> None:
                headers = [(b"content-type", b"text/event-stream")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(begin)
            await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": False})

        adopting = SSEMiddleware(app, observers=[telemetry.observer])
        async with client_of(adopting) as client, client.stream("GET", "/") as events:
            assert (await events.next()).raw_data == "1"
        assert telemetry.spans["SSE GET"].attributes["sse.stream.events"] == 1
        assert caplog.records == []

    async def test_under_the_span_of_the_server(self, telemetry: Telemetry) -> None:
        asgi = pytest.importorskip("opentelemetry.instrumentation.asgi")
        app = asgi.OpenTelemetryMiddleware(
            application(telemetry),
            tracer_provider=telemetry.tracers,
            meter_provider=telemetry.meters,
            exclude_spans=["send", "receive"],
        )
        async with client_of(app) as client, client.stream("GET", "/numbers/stay") as events:
            await events.take(2)
            assert set(telemetry.spans) == {"work"}
        spans = telemetry.spans
        work, stream = spans.pop("work"), spans.pop(f"SSE GET {ROUTE}")
        (server,) = spans.values()
        assert server.kind is trace.SpanKind.SERVER
        assert stream.parent.span_id == server.context.span_id
        assert work.parent.span_id == stream.context.span_id
        assert work.end_time <= stream.end_time <= server.end_time


class TestImport:
    async def test_happens_when_the_observer_is_used(self) -> None:
        code = "import sys, sse_middleware.observers; print('opentelemetry' in sys.modules)"
        command = [sys.executable, "-c", code]
        done = await anyio.to_thread.run_sync(
            lambda: subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        )
        assert done.stdout == "False\n"

    async def test_names_the_missing_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delitem(sys.modules, "sse_middleware.observers.opentelemetry")
        monkeypatch.delattr(observers, "opentelemetry")
        monkeypatch.setitem(sys.modules, "opentelemetry", None)
        with pytest.raises(ImportError, match=r"pip install 'sse_middleware\[otel\]'"):
            _ = observers.OpenTelemetryObserver

    async def test_of_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'Other'"):
            _ = observers.Other  # type: ignore[attr-defined]
