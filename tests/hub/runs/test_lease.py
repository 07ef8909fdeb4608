"""A run whose producer is gone, or can't reach the store, is aborted. Its viewers learn it."""

import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent
from sse_middleware.errors import RunAbortedError
from sse_middleware.hub.run import RunState, end_marker
from sse_middleware.hub.runs.plan import LEASE
from tests.hub.runs.kit import (
    RUN,
    FaultyStore,
    Workers,
    answer_to,
    asking,
    attaching,
    data_of,
    events_in,
    for_ever,
    joined,
    last_id,
    numbers,
    viewed,
)
from tests.served import events_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("nothing_left_behind")]


def die(store: FaultyStore) -> None:
    """Have a worker do nothing more that others could see."""
    store.away = True


def told(hub: Hub, **options: Any) -> Any:
    """Return an application whose viewers are told of errors."""
    options = {"error_event": lambda error: type(error).__name__, **options}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await EventSourceResponse(await hub.attach("k"), **options)(scope, receive, send)

    return app


class TestWorkerDies:
    @pytest.mark.parametrize("after", [0.5, 2.9, 3.1, 50])
    async def test_its_viewers_elsewhere_learn_it(
        self, memory_workers: Workers, after: float
    ) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with events_of(told(other)) as events:
                assert (await events.next()).json() == 0
                await anyio.sleep(after)
                die(memory_workers.faults[0])
                began = anyio.current_time()
                assert [event.json() async for event in events] == ["RunAbortedError"]
                assert anyio.current_time() - began <= LEASE + 1
                last = last_id(events.body)
            assert await other.state("k") is RunState.ABORTED
            assert (await answer_to(attaching(other), last)).status_code == 204

    async def test_they_are_many_and_it_is_written_once(self, memory_workers: Workers) -> None:
        async def view(one: Hub) -> None:
            bodies.append((await answer_to(told(one))).content)

        bodies: list[bytes] = []
        async with (
            memory_workers.hub() as hub,
            memory_workers.hub() as second,
            memory_workers.hub() as third,
        ):
            await hub.resumable("k", for_ever)
            async with anyio.create_task_group() as tasks:
                for one in (second, third) * 5:
                    tasks.start_soon(view, one)
                await anyio.sleep(1)
                die(memory_workers.faults[0])
            assert [data_of(body) for body in bodies] == [[0, "RunAbortedError"]] * 10
            log = joined(blocks for store in memory_workers.faults for blocks in store.appends_of())
            assert log == b"data: 0\n\n" + end_marker(RunState.ABORTED)

    @pytest.mark.parametrize("look", ["attach", "state", "resumable", "resumable with an id"])
    async def test_without_viewers_whoever_comes_learns_it(
        self, workers: Workers, look: str
    ) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with events_of(attaching(hub)) as events:
                at = (await events.next()).id
            die(workers.faults[0])
            await anyio.sleep(LEASE + 1)
            assert await other.stop("k") is False
            if look == "attach":
                assert await viewed(other) == [0]
            elif look == "resumable":
                body = (await answer_to(asking(other, numbers(9)))).content
                assert data_of(body) == [0]
            elif look == "resumable with an id":
                assert data_of((await answer_to(asking(other, numbers(9)), at or "")).content) == []
            assert await other.state("k") is RunState.ABORTED
            await other.resumable("k", numbers(2), restart=True)
            assert await viewed(other) == [0, 1]

    async def test_its_own_producer_ends(self, memory_workers: Workers) -> None:
        ended: list[float] = []

        async def generate() -> AsyncIterator[int]:
            try:
                while True:
                    yield 0
                    await anyio.sleep(1000)
            finally:
                ended.append(anyio.current_time())

        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", generate)
            async with events_of(attaching(other)) as events:
                await events.next()
                began = anyio.current_time()
                die(memory_workers.faults[0])
                assert [event async for event in events] == []
            await anyio.sleep(5)
            assert LEASE - 1 <= ended[0] - began <= LEASE + 5
            memory_workers.faults[0].away = False
            assert await hub.state("k") is RunState.ABORTED

    async def test_the_record_is_kept_for_its_ttl(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", for_ever, ttl=100)
            async with events_of(attaching(other)) as events:
                await events.next()
                die(workers.faults[0])
                assert [event async for event in events] == []
            await anyio.sleep(90)
            assert await other.state("k") is RunState.ABORTED
            assert await viewed(other) == [0]
            await anyio.sleep(20)
            assert await other.state("k") is None

    async def test_whoever_comes_late_finds_it_for_its_ttl(self, workers: Workers) -> None:
        async with workers.hub() as hub, workers.hub() as other:
            await hub.resumable("k", for_ever, ttl=100)
            await anyio.sleep(0.5)
            die(workers.faults[0])
            await anyio.sleep(95)
            assert await other.state("k") is RunState.ABORTED
            await anyio.sleep(95)
            assert await viewed(other) == [0]

    @pytest.mark.parametrize("ttl", [100, 100.0, 10**6])
    async def test_any_number_may_be_its_ttl(self, memory_workers: Workers, ttl: float) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever, ttl=ttl)
            die(memory_workers.faults[0])
            await anyio.sleep(LEASE + 1)
            assert await other.state("k") is RunState.ABORTED
            await anyio.sleep(90)
            assert await other.state("k") is RunState.ABORTED


class TestToldAsError:
    async def test_with_an_id_of_its_own(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            await anyio.sleep(0.1)
            die(memory_workers.faults[0])
            await anyio.sleep(LEASE + 1)
            seen: list[Exception] = []

            def error_event(error: Exception) -> ServerSentEvent:
                seen.append(error)
                return ServerSentEvent(data="gone", id="mine")

            body = (await answer_to(told(other, error_event=error_event))).content
            assert data_of(body) == [0, "gone"]
            assert re.fullmatch(r"\w{15}", last_id(body))
            assert isinstance(seen[0], RunAbortedError)
            resumed = await answer_to(told(other), events_in(body)[0].last_event_id)
            assert data_of(resumed.content) == ["RunAbortedError"]

    @pytest.mark.parametrize("wrong", ["raises", "none"])
    async def test_one_that_can_not_be_made(self, memory_workers: Workers, wrong: str) -> None:
        def error_event(_: Exception) -> Any:
            if wrong == "raises":
                raise LookupError

        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            await anyio.sleep(0.1)
            die(memory_workers.faults[0])
            await anyio.sleep(LEASE + 1)
            body = (await answer_to(told(other, error_event=error_event))).content
            assert data_of(body) == [0]
            assert (await answer_to(told(other), last_id(body))).status_code == 204


class TestStoreAway:
    @pytest.mark.parametrize("hangs", [False, True])
    @pytest.mark.parametrize("at", [0.5, 2.5, 2.99])
    async def test_for_four_seconds_nothing_is_lost(
        self, memory_workers: Workers, at: float, hangs: bool
    ) -> None:
        async def outage(store: FaultyStore) -> None:
            await anyio.sleep(at)
            for _ in range(3):
                store.away = not hangs
                store.delays = dict.fromkeys(("append", "renew_run"), 4.0 if hangs else 0.0)
                await anyio.sleep(4)
                store.away, store.delays = False, {}
                await anyio.sleep(8)

        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", numbers(300, 0.1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outage, memory_workers.faults[0])
                assert await viewed(other) == list(range(300))
            assert await other.state("k") is RunState.DONE

    @pytest.mark.parametrize("hangs", [False, True])
    @pytest.mark.parametrize("silent", [False, True])
    async def test_for_twelve_seconds_it_is_aborted(
        self, memory_workers: Workers, hangs: bool, silent: bool
    ) -> None:
        ended: list[float] = []

        async def generate() -> AsyncIterator[int]:
            try:
                number = 0
                while True:
                    yield number
                    number += 1
                    await anyio.sleep(1000 if silent else 0.1)
            finally:
                ended.append(anyio.current_time())

        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            store = memory_workers.faults[0]
            await hub.resumable("k", generate)
            async with events_of(told(other)) as events:
                await events.next()
                began = anyio.current_time()
                store.away = not hangs
                store.delays = dict.fromkeys(("append", "renew_run"), 1000.0 if hangs else 0.0)
                await anyio.sleep(12)
                store.away, store.delays = False, {}
                *taken, last = [event.json() async for event in events]
                assert last == "RunAbortedError"
                assert taken == list(range(1, len(taken) + 1))
            await anyio.sleep(5)
            assert LEASE - 4 <= ended[0] - began <= LEASE + 5
            assert await hub.state("k") is RunState.ABORTED
            kept = joined(memory_workers.faults[1].appends_of(RUN))
            assert kept == end_marker(RunState.ABORTED)

    async def test_of_the_viewer_is_a_pause(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", numbers(60, 1))
            async with events_of(attaching(other)) as events:
                await events.next()
                memory_workers.faults[1].away = True
                await anyio.sleep(20)
                memory_workers.faults[1].away = False
                assert [event.json() async for event in events] == list(range(1, 60))

    async def test_at_the_beginning(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub:
            memory_workers.faults[0].away = True
            with pytest.raises(OSError, match="the store is away"):
                await hub.resumable("k", numbers(1))
            with pytest.raises(OSError, match="the store is away"):
                await hub.attach("k")
            memory_workers.faults[0].away = False
            assert await hub.state("k") is None
            await hub.resumable("k", numbers(2))
            assert await viewed(hub) == [0, 1]

    async def test_at_the_end(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", numbers(3, 1))
            await anyio.sleep(2.5)
            memory_workers.faults[0].away = True
            await anyio.sleep(4)
            memory_workers.faults[0].away = False
            assert await viewed(other) == [0, 1, 2]
            assert await other.state("k") is RunState.DONE

    async def test_to_abort_is_tried_again(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            async with events_of(told(other)) as events:
                await events.next()
                die(memory_workers.faults[0])
                memory_workers.faults[1].fail_before["append"] = 3
                assert [event.json() async for event in events] == ["RunAbortedError"]

    async def test_somebody_else_aborts_first(self, memory_workers: Workers) -> None:
        async with memory_workers.hub() as hub, memory_workers.hub() as other:
            await hub.resumable("k", for_ever)
            await anyio.sleep(0.1)
            die(memory_workers.faults[0])
            await anyio.sleep(LEASE + 1)
            memory_workers.faults[1].delays = {"append": 1}
            async with anyio.create_task_group() as tasks:
                for _ in range(3):
                    tasks.start_soon(other.attach, "k")
            assert await other.state("k") is RunState.ABORTED
            assert len(memory_workers.faults[1].appends_of()) == 1


async def test_a_long_silence_needs_no_event(workers: Workers) -> None:
    async with workers.hub() as hub, workers.hub() as other:
        await hub.resumable("k", numbers(3, 300), ttl=30)
        assert await viewed(other) == [0, 1, 2]
        assert await hub.state("k") is RunState.DONE
