"""What looks like a mistake in the events of a hub is reported once, and changes nothing.

An event named ``gap`` or ``error`` can't be told from one of the hub's or of the browser's.
"""

import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sse_middleware import Hub, ServerSentEvent, SSEModel, presets
from sse_middleware.presets import Preset
from tests.hub.runs.kit import answer_to, attaching

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class Gap(SSEModel, event="gap"):
    length: int = 1


class Failure(SSEModel, event="error"):
    code: int = 1


GAPS = (
    ServerSentEvent(event="gap", data=1),
    ServerSentEvent(event="a gap".removeprefix("a "), data=1),  # another object
    ServerSentEvent(event="gap", raw_data="1"),
    ServerSentEvent(data=Gap()),
    Gap(),
)

ERRORS = (ServerSentEvent(event="error", data=1), Failure())

FINE = (ServerSentEvent(event="gaps", data="gap"), ServerSentEvent(data="error"), "gap", None)


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Return what is reported."""
    caplog.set_level(logging.WARNING, "sse_middleware.items")
    return caplog


def reports(log: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in log.records if one.name == "sse_middleware.items.hints"]


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async with Hub() as opened:
        yield opened


@pytest.mark.parametrize("item", [*GAPS, *ERRORS])
async def test_what_is_published(hub: Hub, log: pytest.LogCaptureFixture, item: Any) -> None:
    for _ in range(2):
        await hub.publish("t", item)
    (report,) = reports(log)
    name = "error" if item in ERRORS else "gap"
    assert report.startswith(f"publish sends an event named '{name}'")
    assert len((await hub.history("t")).events) == 2


@pytest.mark.parametrize("name", ["gap", "error"])
async def test_a_name_beside_the_item(hub: Hub, log: pytest.LogCaptureFixture, name: str) -> None:
    for _ in range(2):
        await hub.publish("t", 1, event=name)
    (report,) = reports(log)
    assert f"'{name}'" in report


async def run_of(hub: Hub, *items: Any, key: str = "k", **options: Any) -> bytes:
    """Return what a viewer gets of a run that yields these items."""

    async def events() -> AsyncIterator[Any]:
        for item in items:
            if item is RuntimeError:
                raise RuntimeError
            yield item

    await hub.resumable(key, events, **options)
    return (await answer_to(attaching(hub, key))).content


@pytest.mark.parametrize("item", [*GAPS, *ERRORS])
async def test_what_a_run_yields(hub: Hub, log: pytest.LogCaptureFixture, item: Any) -> None:
    name = "error" if item in ERRORS else "gap"
    for key in ("first", "second"):
        body = await run_of(hub, item, item, key=key)
        assert body.count(f"event: {name}\n".encode()) == 2
    (report,) = reports(log)
    assert report.startswith(f"run_of.<locals>.events sends an event named '{name}'")


@pytest.mark.parametrize("name", ["gap", "error"])
async def test_the_error_event_of_a_run(hub: Hub, log: pytest.LogCaptureFixture, name: str) -> None:
    def told(_: Exception) -> ServerSentEvent:
        return ServerSentEvent(event=name, data="oops")

    await run_of(hub, RuntimeError, error_event=told)
    (report,) = reports(log)
    assert f"'{name}'" in report


async def test_what_a_preset_names(hub: Hub, log: pytest.LogCaptureFixture) -> None:
    preset = Preset(to_event=presets.named_by_type)
    await run_of(hub, {"type": "gap"}, {"type": "error"}, preset=preset)
    (report,) = reports(log)  # whoever reads a preset's stream is no EventSource
    assert "'gap'" in report


async def test_a_dict_of_fields(hub: Hub, log: pytest.LogCaptureFixture) -> None:
    item = {"event": "note", "data": 1}
    for key in ("first", "second"):
        await hub.publish("t", item)
        assert b'data: {"event":"note","data":1}\n' in await run_of(hub, item, key=key)
    assert [
        report.partition(" sends a dict with the keys event, data.")[0] for report in reports(log)
    ] == [
        "publish",
        "run_of.<locals>.events",
    ]


async def test_other_names_are_fine(hub: Hub, log: pytest.LogCaptureFixture) -> None:
    await run_of(hub, *FINE)
    for item in FINE[:-1]:
        await hub.publish("t", item)
        await hub.publish("t", 1, event="gaps")
    assert reports(log) == []
