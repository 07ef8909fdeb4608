"""Where the viewers of a run begin, and what they may be sent beside its events."""

import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware, presets
from sse_middleware.hub.published_event import PublishedEvent
from sse_middleware.hub.sqlite.tables import LAG, SECOND
from sse_middleware.testing import EventClient, EventStream

pytestmark = pytest.mark.anyio


def served(hub: Hub) -> Any:
    """Return an application: POST begins a run anew, GET views it, from an event on if wanted."""

    async def begin(request: Request) -> Response:
        name, count = await request.json()

        async def items() -> AsyncIterator[Any]:
            for number in range(count):
                yield {"run": name, "number": number}
                await anyio.sleep(0.1)

        return EventSourceResponse(await hub.resumable("k", items, restart=True), ping="alive")

    async def view(request: Request) -> Response:
        after = int(request.query_params.get("after", -1))

        def wants(event: PublishedEvent) -> bool:
            assert event.topic == "k"
            return bool(event.json()["number"] > after)

        preset = presets.OPENAI if "openai" in request.query_params else None
        viewed = await hub.attach("k", where=wants if after >= 0 else None)
        return EventSourceResponse(viewed, preset=preset)

    routes = [Route("/", begin, methods=["POST"]), Route("/", view)]
    return SSEMiddleware(Starlette(routes=routes), hub=hub)


@pytest.fixture(params=["memory", "file"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventClient]:
    hub = Hub() if request.param == "memory" else Hub(f"sqlite:///{tmp_path}/hub.db")
    async with hub, EventClient(served(hub), timeout=100, run_lifespan=False) as client:
        yield client


@pytest.fixture
def anyio_backend() -> str:
    """Run in real time, as files need it."""
    return "asyncio"


async def rest_of(events: EventStream) -> list[Any]:
    return [event.json() async for event in events]


@pytest.mark.parametrize("id_", ["", "of the old run", "of no hub", "1K16WX9K3SG3RS6"])
async def test_nothing_of_a_run_before_comes_although_a_ring_has_it(
    client: EventClient, id_: str
) -> None:
    new = [{"run": "new", "number": number} for number in range(3)]
    async with client.stream("POST", "/", json=["old", 1000]) as old:
        _, second = await old.take(2)
        began = time.monotonic()
        async with client.stream("POST", "/", json=["new", 3]) as begun:
            assert await rest_of(begun) == new
        sent = second.id if id_ == "of the old run" else id_
        headers = {"last-event-id": sent} if sent else {}
        async with client.stream("GET", "/", headers=headers) as viewed:
            events = [event async for event in viewed]
        is_late = time.monotonic() - began > LAG / SECOND
        assert all(item["run"] == "old" for item in await rest_of(old))
    gaps = [event for event in events if event.event == "gap"]
    assert [event.json() for event in events if event not in gaps] == new
    told = [json.loads(gap.raw_data or "")["reason"] for gap in gaps]
    if is_late and sent == second.id and told:  # the file of a slow machine has lost that event
        assert told == ["expired"]
    else:
        assert told == (["reset"] if sent not in ("", second.id) else [])


@pytest.mark.parametrize("after", [-1, 1])
async def test_openais_client_gets_no_block_that_has_only_an_id(
    client: EventClient, after: int
) -> None:
    await client.post("/", json=["it", 3])
    blocks = (await client.get(f"/?openai&after={after}")).text.split("\n\n")
    assert blocks.pop() == ""
    assert all("\ndata: " in block for block in blocks)
    assert blocks[-1].endswith("data: [DONE]")
    assert len(blocks) == 3 - (after + 1) + 1
    end = blocks[-1].partition("\n")[0].removeprefix("id: ")
    again = await client.get("/?openai", headers={"last-event-id": end})
    assert again.status_code == 204
