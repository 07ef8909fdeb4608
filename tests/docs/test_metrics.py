"""The panels and the alerts of docs/metrics.md ask for what Prometheus is told."""

import os
import re
from collections.abc import AsyncIterator
from importlib import import_module
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware, event_stream
from sse_middleware.observers import OpenTelemetryObserver
from sse_middleware.testing import EventClient
from tests.docs.pages import DOCS, blocks_of

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]

hub = Hub()


@event_stream(ping_interval=1)
async def quiet(_: Request) -> AsyncIterator[int]:
    yield 1
    await anyio.sleep(3)


async def listen(_: Request) -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe("topic"))


async def exposed() -> str:
    """Return what Prometheus is told after streams that do all that is measured."""
    if "CI" not in os.environ:
        pytest.importorskip("opentelemetry.exporter.prometheus")
    from opentelemetry.exporter.prometheus import PrometheusMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from prometheus_client import REGISTRY, generate_latest  # noqa: PLC0415

    provider = MeterProvider([PrometheusMetricReader()])
    options: Any = {"observers": [OpenTelemetryObserver(provider)], "hub": hub}
    app = Starlette(
        routes=[Route("/quiet", quiet), Route("/topic", listen)],
        middleware=[Middleware(SSEMiddleware, **options)],
    )
    async with EventClient(app) as client:
        await client.get("/quiet")
        unknown = {"last-event-id": "unknown"}
        async with client.stream("GET", "/topic", headers=unknown) as events:
            await events.next()
    text = generate_latest(REGISTRY).decode()
    provider.shutdown()
    return text


async def test_prometheus_is_told_what_is_asked_for() -> None:
    text = await exposed()
    asked = "\n".join(block.code for block in blocks_of(DOCS / "metrics.md", "yaml"))
    metrics = set(re.findall(r"\bsse_server_\w+", asked))
    assert len(metrics) == 5
    assert metrics <= set(re.findall(r"^(\w+)\{", text, re.MULTILINE))
    labels = set(re.findall(r"by \((\w+)\)", asked)) | set(re.findall(r"\{(\w+)=", asked))
    assert {"http_route", "sse_stream_close_reason", "sse_gap_reason"} < labels
    assert labels <= set(re.findall(r'(\w+)="', text))


def queries(value: Any) -> list[str]:
    """Return what panels or groups of alerts ask Prometheus for."""
    if isinstance(value, list):
        return [query for one in value for query in queries(one)]
    if isinstance(value, dict):
        return [value["expr"]] if "expr" in value else queries([*value.values()])
    return []


def test_the_queries_can_be_parsed() -> None:
    if "CI" not in os.environ:
        pytest.importorskip("promql_parser")
    parse = import_module("promql_parser").parse
    yaml = import_module("yaml")
    for panels in blocks_of(DOCS / "metrics.md", "yaml"):
        asked = queries(yaml.safe_load(panels.code))
        assert len(asked) == panels.code.count("expr: ") > 0
        for query in asked:
            parse(query)
    with pytest.raises(ValueError, match="unclosed"):
        parse("sum(rate(sse_server_gaps_total[5m])")
