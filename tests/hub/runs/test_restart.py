"""A key's next run, and what becomes of the viewers and the producer of the one before."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest

from sse_middleware import Hub
from sse_middleware.hub.run import RunState
from tests.hub.runs.kit import (
    Workers,
    answer_to,
    attaching,
    data_of,
    events_in,
    for_ever,
    last_id,
    numbers,
    until,
    until_state,
    viewed,
)
from tests.served import chunks_of, events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


def letters(text: str) -> Callable[[], AsyncIterator[str]]:
    """Return a factory of generators that yield letters, then wait."""

    async def generate() -> AsyncIterator[str]:
        for letter in text:
            yield letter
        while True:
            await anyio.sleep(1000)
            yield "never"

    return generate


async def test_old_viewers_end_and_new_ones_get_the_new_run(workers: Workers) -> None:
    found: dict[str, list[Any]] = {}

    async def view(name: str, one: Hub, begun: anyio.Event) -> None:
        async with events_of(attaching(one)) as events:
            found[name] = [(await events.next()).json() for _ in range(3)]
            begun.set()
            found[name] += [event.json() async for event in events]

    async with workers.hub() as hub, workers.hub() as other:
        await hub.resumable("k", letters("abc"))
        async with anyio.create_task_group() as tasks:
            for name, one in (("here", hub), ("there", other)):
                begun = anyio.Event()
                tasks.start_soon(view, name, one, begun)
                await begun.wait()
            await other.resumable("k", numbers(3), restart=True)
        assert found == {"here": ["a", "b", "c"], "there": ["a", "b", "c"]}
        for one in (hub, other):
            assert await viewed(one) == [0, 1, 2]
            assert await one.state("k") is RunState.DONE


@pytest.mark.parametrize("missed", [0, 1, 2])
@pytest.mark.parametrize("watched", [False, True])
async def test_an_old_id_begins_at_the_new_start(
    workers: Workers, missed: int, watched: bool
) -> None:
    async with workers.hub() as hub, workers.hub() as other:
        await hub.resumable("k", letters("abc"))
        ids = []
        for one in (hub, other):  # both have the old run in their rings
            async with events_of(attaching(one)) as events:
                ids = [event.id for event in await events.take(3)]
        if watched:
            async with events_of(attaching(hub)) as events:
                await events.take(3)
                await other.resumable("k", numbers(3), restart=True)
                assert [event async for event in events] == []
        else:
            await other.resumable("k", numbers(3), restart=True)
        for one in (hub, other):
            gap = ["gap: expired"] * bool(missed)
            assert await viewed(one, ids[2 - missed] or "") == [*gap, 0, 1, 2]
            assert await viewed(one) == [0, 1, 2]


async def test_of_a_run_that_was_had_whole(workers: Workers) -> None:
    async with workers.hub() as hub, workers.hub() as other:
        await hub.resumable("k", numbers(3))
        body = (await answer_to(attaching(other))).content
        await hub.resumable("k", letters("ab"), restart=True)
        for one in (hub, other):
            async with events_of(
                attaching(one), headers={"last-event-id": last_id(body)}
            ) as events:
                assert [event.json() for event in await events.take(2)] == ["a", "b"]
            async with events_of(
                attaching(one), headers={"last-event-id": events_in(body)[0].last_event_id}
            ) as events:
                gap, first, second = await events.take(3)
                assert gap.event == "gap"
                assert gap.json() == {"topics": ["k"], "reason": "expired"}
                assert (first.json(), second.json()) == ("a", "b")


async def test_a_slow_viewer_of_the_old_run(hub: Hub) -> None:
    async def generate() -> AsyncIterator[str]:
        for number in range(100):
            yield f"{number}" + "x" * 5000
        await anyio.sleep_forever()

    await hub.resumable("k", generate)
    async with chunks_of(attaching(hub), window=1) as chunks:
        body = await anext(chunks)
        await anyio.sleep(1)
        await hub.resumable("k", numbers(3), restart=True)
        async for chunk in chunks:
            body += chunk
    taken = data_of(body)
    assert (
        "gap: expired" in taken[-1:]
    )  # the rest of the old run is gone, and nothing is of the new
    assert [int(text.rstrip("x")) for text in taken[:-1]] == list(range(len(taken) - 1))
    assert await viewed(hub, last_id(body)) == [0, 1, 2]  # the gap isn't told again


async def test_the_old_producer_is_fenced_and_cleans_up(workers: Workers) -> None:
    ended: list[str] = []

    async def busy() -> AsyncIterator[str]:
        try:
            while True:
                yield "old"
                await anyio.sleep(0.1)
        finally:
            ended.append("busy")

    async def silent() -> AsyncIterator[str]:
        try:
            while True:
                yield "old"
                await anyio.sleep(10_000)
        finally:
            ended.append("silent")

    async with workers.hub() as hub, workers.hub() as other:
        for old, name in ((busy, "busy"), (silent, "silent")):
            for one in (hub, other):
                await hub.resumable(name, old, restart=True)
                await anyio.sleep(0.5)
                await one.resumable(name, numbers(30, 0.5), restart=True)
                assert await viewed(hub, key=name) == list(range(30))
                assert ended.pop() == name


async def test_a_stop_is_of_one_run(workers: Workers) -> None:
    async with workers.hub() as hub, workers.hub() as other:
        workers.faults[0].mute.add("\0stop")
        await hub.resumable("k", for_ever)
        assert await other.stop("k")  # the old one learns it later
        await hub.resumable("k", numbers(10, 1), restart=True)
        assert await viewed(other) == list(range(10))
        assert await other.state("k") is RunState.DONE


async def test_of_nothing(workers: Workers) -> None:
    async with workers.hub() as hub:
        await hub.resumable("k", numbers(2), restart=True)
        assert await viewed(hub) == [0, 1]


@pytest.mark.parametrize("end", ["done", "error", "stopped"])
async def test_of_one_that_has_ended(workers: Workers, end: str) -> None:
    async with workers.hub() as hub:
        if end == "error":
            await hub.resumable("k", lambda: [object()])
        else:
            await hub.resumable("k", numbers(1) if end == "done" else for_ever)
        if end == "stopped":
            await hub.stop("k")
        await until(lambda: _has_ended(hub))
        assert (await hub.state("k")) == end
        await hub.resumable("k", numbers(3), restart=True)
        assert await viewed(hub) == [0, 1, 2]


async def _has_ended(hub: Hub) -> bool:
    return await hub.state("k") is not RunState.RUNNING


async def test_many_at_once(workers: Workers) -> None:
    async with workers.hub() as hub, workers.hub() as other:
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                one = (hub, other)[number % 2]
                tasks.start_soon(restarted, one, number)
        await until_state(hub, RunState.DONE)
        first, second = await viewed(hub)
        assert first == second
        assert await viewed(other) == [first, second]


async def restarted(hub: Hub, number: int) -> None:
    async def generate() -> AsyncIterator[int]:
        yield number
        await anyio.sleep(1)
        yield number

    await hub.resumable("k", generate, restart=True)


async def test_a_viewer_that_comes_before_its_worker_has_heard_of_the_run(
    memory_workers: Workers,
) -> None:
    async with memory_workers.hub() as hub, memory_workers.hub() as other:
        await hub.resumable("k", letters("abc"))
        async with events_of(attaching(other)) as events:
            await events.take(3)
        memory_workers.faults[1].mute.add("\0run:k")
        await hub.resumable("k", numbers(3), restart=True)
        viewer = await other.attach("k")
        memory_workers.faults[1].mute.clear()
        assert viewer.run is not None
        assert viewer.run.state in (RunState.RUNNING, RunState.DONE)
        await hub.resumable("l", numbers(1))  # the clock goes on, so a tick tells of it
        assert await viewed(other) == [0, 1, 2]
