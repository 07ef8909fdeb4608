"""Whoever views a run gets all of it, from wherever it has been."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from sse_middleware import CloseReason, Hub, event_stream
from sse_middleware.hub.run import RunState
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    events_in,
    last_id,
    numbers,
    until_state,
    viewed,
)
from tests.served import chunks_of, events_of, observed

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


class TestWhole:
    async def test_for_whoever_asked_and_whoever_comes_late(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            body = (await answer_to(asking(hub, numbers(5, 1)))).content
            assert data_of(body) == [0, 1, 2, 3, 4]
            for one in (hub, other):
                assert (await answer_to(attaching(one))).content.endswith(
                    body.partition(b"\n\n")[2]
                )
                assert await one.state("k") is RunState.DONE

    async def test_for_all_at_once(self, workers: Workers) -> None:
        found: list[list[Any]] = []

        async def view(one: Hub, after: float) -> None:
            await anyio.sleep(after)
            found.append(await viewed(one))

        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", numbers(50, 0.1))
            async with anyio.create_task_group() as tasks:
                for after in range(10):
                    for one in (hub, other):
                        tasks.start_soon(view, one, after / 3)
        assert found == [list(range(50))] * 20

    async def test_for_a_slow_client(self, hub: Hub) -> None:
        texts = [str(number) * 5000 for number in range(100, 160)]

        async def generate() -> AsyncIterator[str]:
            for text in texts:
                yield text

        await hub.resumable("k", generate)
        async with chunks_of(attaching(hub), window=1) as chunks:
            await until_state(hub, RunState.DONE)  # nobody waits for the slow one
            body = b""
            async for chunk in chunks:
                await anyio.sleep(0.3)
                body += chunk
        assert data_of(body) == texts

    async def test_a_viewer_that_leaves_changes_nothing(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            async with events_of(asking(hub, numbers(20, 0.5))) as events:
                assert (await events.next()).json() == 0
            async with events_of(attaching(other)) as events:
                assert (await events.next()).json() == 0
            await anyio.sleep(1)
            assert await hub.state("k") is RunState.RUNNING
            assert await viewed(other) == list(range(20))

    async def test_it_is_produced_once(self, workers: Workers) -> None:
        begun: list[int] = []

        def factory() -> AsyncIterator[int]:
            begun.append(1)
            return numbers(3, 1)()

        async with workers.hub() as hub, workers.hub() as other:
            async with anyio.create_task_group() as tasks:
                for one in (hub, other, hub, other):
                    tasks.start_soon(one.resumable, "k", factory)
            assert await viewed(hub) == [0, 1, 2]
            assert data_of((await answer_to(asking(other, factory))).content) == [0, 1, 2]
        assert begun == [1]


class TestResume:
    async def test_after_each_event(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", numbers(6))
            body = (await answer_to(attaching(hub))).content
            for number, event in enumerate(events_in(body)):
                rest = list(range(number + 1, 6))
                for one in (hub, other):
                    assert await viewed(one, event.last_event_id) == rest
                    by_url = await answer_to(
                        attaching(one), url=f"/?last_event_id={event.last_event_id}"
                    )
                    assert data_of(by_url.content) == rest

    async def test_while_it_runs(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", numbers(10, 0.5))
            async with events_of(attaching(other)) as events:
                for number in range(9):
                    assert (await events.next()).json() == number
                    await events.reconnect()
                assert [event.json() async for event in events] == [9]

    async def test_all_was_had(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            body = (await answer_to(asking(hub, numbers(2)))).content
            assert body.endswith(b"\n\nid: %b\n\n" % last_id(body).encode())
            for app in (attaching(hub), attaching(other), asking(other, numbers(9))):
                for method in ("GET", "HEAD"):
                    response = await answer_to(app, last_id(body), method)
                    assert (response.status_code, response.content) == (204, b"")
                by_url = await answer_to(app, url=f"/?last_event_id={last_id(body)}")
                assert by_url.status_code == 204

    async def test_only_the_end_was_not_had(self, hub: Hub) -> None:
        body = (await answer_to(asking(hub, numbers(2)))).content
        response = await answer_to(attaching(hub), events_in(body)[-1].last_event_id)
        assert response.status_code == 200
        assert data_of(response.content) == []
        assert last_id(response.content) == last_id(body)

    async def test_an_id_of_no_hub_gets_all(self, hub: Hub) -> None:
        await hub.resumable("k", numbers(2))
        assert await viewed(hub, "17") == ["gap: reset", 0, 1]

    async def test_an_id_of_the_hub_before_the_run(self, hub: Hub) -> None:
        await hub.publish("a", 1)
        before = await hub.position()
        await hub.resumable("k", numbers(2))
        assert await viewed(hub, before) == [0, 1]

    async def test_a_hub_that_was_opened_without_its_store(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub:
            body = (await answer_to(asking(hub, numbers(2)))).content
            async with memory_workers.hub(away=True) as late:
                memory_workers.faults[1].away = False
                for app in (attaching(late), asking(late, numbers(2))):
                    assert (await answer_to(app, last_id(body))).status_code == 204


class TestNoRun:
    async def test_without_an_id(self, hub: Hub) -> None:
        response = await answer_to(attaching(hub))
        assert (response.status_code, response.text) == (404, "no run has this key")
        response = await answer_to(attaching(hub), method="HEAD")
        assert (response.status_code, response.content) == (404, b"")

    async def test_with_an_id(self, hub: Hub) -> None:
        for one in (await hub.position(), "17"):
            for app in (attaching(hub), asking(hub, numbers(3))):
                response = await answer_to(app, one)
                assert (response.status_code, response.content) == (204, b"")
        assert await hub.state("k") is None


async def test_a_head_begins_nothing(hub: Hub) -> None:
    app = asking(hub, numbers(3))
    assert (await answer_to(app, method="HEAD")).status_code == 404
    assert await hub.state("k") is None
    await answer_to(app)
    response = await answer_to(app, method="HEAD")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-type"].startswith("text/event-stream")


async def test_an_endpoint_may_return_a_viewer(hub: Hub) -> None:
    @event_stream
    async def feed(_request: Request) -> Any:
        return await hub.resumable("k", numbers(3))

    app = Starlette(routes=[Route("/", feed)])
    assert data_of((await answer_to(app)).content) == [0, 1, 2]


async def test_the_stream_finishes(hub: Hub) -> None:
    app, closed = observed(attaching(hub))
    await hub.resumable("k", numbers(3))
    await answer_to(app)
    assert closed.records[0].events == 3
    assert closed.records[0].reason is CloseReason.FINISHED
