"""The streams of the console: any topic, any run."""

from typing import Any

import pytest

from sse_middleware import Hub
from sse_middleware.errors import StoreError
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.testing import EventClient
from tests.inspector.kit import application, page_of
from tests.served import client_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


async def test_a_topic_from_now_on() -> None:
    hub = Hub()
    async with EventClient(application(hub)) as client:
        await hub.publish("a b&c", 1)
        async with client.stream("GET", "/_sse/topic?name=a%20b%26c&after=now") as events:
            await events.next_id()
            await hub.publish("a b&c", 2, event="e")
            event = await events.next()
            assert (event.event, event.json()) == ("e", 2)


async def test_a_topic_with_all_that_is_kept_and_again_from_there() -> None:
    hub = Hub()
    async with EventClient(application(hub)) as client:
        for number in range(3):
            await hub.publish("news", number)
        async with client.stream("GET", "/_sse/topic?name=news&after=start") as events:
            assert [event.json() for event in await events.take(3)] == [0, 1, 2]
            await events.disconnect()
            await hub.publish("news", 3)
            await events.reconnect()
            assert (await events.next()).json() == 3


async def test_a_run_from_its_beginning() -> None:
    hub = Hub()
    async with EventClient(application(hub)) as client:
        async with client.stream("GET", "/runs/chat:1") as events:
            await events.next()
        async with client.stream("GET", "/_sse/run?key=chat:1") as watching:
            assert (await watching.next()).json() == 1
        assert (await client.http.get("/_sse/run?key=nothing")).status_code == 404


async def test_who_watches_is_no_stream_of_the_application() -> None:
    hub = Hub()
    async with (
        EventClient(application(hub, settings={"max_streams": 1})) as client,
        client.stream("GET", "/_sse/topic?name=news") as one,
        client.stream("GET", "/_sse/topic?name=news") as two,
        page_of(client) as page,
    ):
        await one.next_id()
        await two.next_id()
        await page.next()
        assert page.latest["totals"]["open"] == 0
        assert page.shown("topics")[0]["subscribers"] == 2


@pytest.mark.parametrize("path", ["topic", "topic?name=", "topic?name=%00stop", "run", "run?key="])
async def test_what_is_no_name_is_refused(path: str) -> None:
    async with EventClient(application(Hub())) as client:
        assert (await client.http.get(f"/_sse/{path}")).status_code == 400


@pytest.mark.parametrize("path", ["topic?name=news", "run?key=a"])
async def test_without_an_open_hub_there_is_nothing_to_watch(path: str) -> None:
    for hub in (None, Hub()):
        async with client_of(application(hub)) as client:
            answer = await client.http.get(f"/_sse/{path}")
            assert (answer.status_code, "Inspector(hub=hub)" in answer.text) == (404, True)


async def test_a_run_whose_store_is_away() -> None:
    class Away(MemoryStore):
        async def find_run(self, topic: str, *, watched: bool = False) -> Any:
            raise StoreError(f"no way to {topic}")

    async with EventClient(application(Hub(store=Away)), timeout=100) as client:
        answer = await client.http.get("/_sse/run?key=a")
        assert (answer.status_code, "no way" in answer.text) == (503, False)
