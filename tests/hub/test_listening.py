"""The task that listens: ticks, failures, and nothing where nobody subscribes."""

import logging
from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from sse_middleware.event_loop.loop import clock, soon_caller
from sse_middleware.hub import worker
from sse_middleware.hub.abc import Entry, Incarnation, Snapshot
from sse_middleware.hub.backoff import Backoff
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.listening import CHUNK, PATIENCE, TICK, ListeningLoop
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.hub.paging import FLIGHTS_AT_ONCE
from sse_middleware.hub.store_calls import STORE_TIMEOUT
from sse_middleware.hub.worker import Worker
from sse_middleware.testing import VirtualTime
from sse_middleware.testing.virtual_time.schedule import DeadlockError
from tests.hub.subscribers import passed, subscribed

pytestmark = pytest.mark.anyio


class FragileStore(MemoryStore):
    """A store that may hang, fail, or send no ticks."""

    hangs = fails = silent = changes = False
    delay = 0

    def __init__(self) -> None:
        super().__init__()
        self.listeners = 0
        self.ticks = 0
        self.reads: list[int] = []

    async def read(self, topics: Sequence[str], after: int, limit: int) -> Snapshot:
        self.reads.append(len(topics))
        await anyio.sleep(self.delay)
        if self.changes and len(topics) == 1:
            self.changes = False
            before = self._incarnations
            self._incarnations = (*before, Incarnation(before[0].mark ^ 1, self._clock))
        if self.hangs:
            await anyio.sleep_forever()
        if self.fails:
            raise ConnectionError("away")
        return await super().read(topics, after, limit)

    def listen(self, *callbacks: Any) -> Any:
        self.listeners += 1
        return super().listen(*callbacks)

    def tick(self, on_tick: Any) -> None:
        self.ticks += 1
        if not self.silent:
            super().tick(on_tick)


class Made:
    """Makes one store, and keeps it."""

    store: FragileStore

    def __call__(self) -> FragileStore:
        self.store = FragileStore()
        return self.store


def test_without_subscribers_there_is_no_timer(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        async with Hub() as hub:
            await hub.publish("a", 1)
            await anyio.sleep_forever()

    with pytest.raises(DeadlockError):
        virtual_time.run(main)
    assert virtual_time.elapsed == 0


def test_after_the_last_subscriber_the_timers_end(virtual_time: VirtualTime) -> None:
    async def main() -> None:
        async with Hub() as hub:
            for _ in range(2):
                async with subscribed(hub, "a", subject="u"):
                    await anyio.sleep(100)
            await anyio.sleep_forever()

    with pytest.raises(DeadlockError):
        virtual_time.run(main)
    assert 200 + worker.LINGER <= virtual_time.elapsed < 201 + worker.LINGER


async def test_rings_stay_for_those_who_come_back() -> None:
    made = Made()
    async with Hub(store=made) as hub:
        async with subscribed(hub, "a") as taken:
            pass
        await hub.publish("a", 1)
        await anyio.sleep(worker.LINGER - 1)
        reads = len(made.store.reads)
        for _ in range(100):
            async with subscribed(hub, "a", last_id=taken.last_id) as again:
                assert again.data() == [1]
        assert len(made.store.reads) == reads
        await anyio.sleep(worker.LINGER + 1)
        assert hub._running is not None
        assert not hub._running.worker.topics


async def test_one_topic_goes_while_another_stays() -> None:
    async with Hub() as hub, subscribed(hub, "a"):
        async with subscribed(hub, "b"):
            pass
        async with subscribed(hub, "c"):
            await anyio.sleep(worker.LINGER + 1)
        assert hub._running is not None
        assert list(hub._running.worker.topics) == ["a", "c"]


async def test_topics_are_read_in_chunks() -> None:
    made = Made()
    names = [f"t{number}" for number in range(3 * CHUNK)]
    async with Hub(store=made) as hub, subscribed(hub, *names) as taken:
        assert made.store.reads == [0, CHUNK, CHUNK, CHUNK]
        await hub.publish(names[-1], 1)
        await passed()
        assert taken.data() == [1]


async def test_a_page_of_many_topics_is_read_in_chunks() -> None:
    made = Made()
    names = [f"t{number}" for number in range(CHUNK + 1)]
    async with Hub(store=made) as hub:
        await hub.publish(names[-1], 1)
        async with subscribed(hub, *names, last_id="unknown") as taken:
            assert taken.data() == [("reset", *names), 1]


async def test_ticks_come_now_and_then() -> None:
    made = Made()
    async with Hub(store=made) as hub, subscribed(hub, "a"):
        await anyio.sleep(10 * TICK)
        assert 8 <= made.store.ticks <= 11
        assert made.store.listeners == 1


async def test_if_no_tick_comes_back_the_listener_is_replaced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Made()
    async with Hub(store=made) as hub, subscribed(hub, "a") as taken:
        made.store.silent = True
        await anyio.sleep(TICK + PATIENCE - 1)
        await hub.publish("a", 1)
        assert made.store.listeners == 1
        await anyio.sleep(2)
        assert made.store.listeners == 2
        assert "what the store sends does not come" in caplog.text
        made.store.silent = False
        await anyio.sleep(10)
        await hub.publish("a", 2)
        await passed()
        assert taken.data() == [1, 2]


async def test_while_the_store_is_away_nothing_is_claimed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Made()
    caplog.set_level(logging.DEBUG, "sse_middleware.hub")
    async with Hub(store=made) as hub, subscribed(hub, "a", "b") as taken:
        running = hub._running
        assert running is not None
        made.store.fails = True
        running.worker.suspect_listener()
        await passed()
        assert taken.subscription.position_frame() == b""
        late = hub.subscribe("a")
        late.resume("unknown")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late.open, bool)
            await anyio.sleep(60)
            await hub.publish("a", 1)
            assert taken.data() == []
            made.store.fails = False
            await anyio.sleep(6)
        assert taken.data() == [1]
        assert taken.subscription.position_frame()
        made.store.fails = True
        assert late.take(1000) == b""
        await anyio.sleep(20)
        assert "a page can't be read" in caplog.text
        away = [one for one in caplog.records if "is away" in one.message]
        assert [one.levelname for one in away] == ["WARNING", *["DEBUG"] * (len(away) - 1)]
        assert len(away) > 5
        assert caplog.text.count("is there again") == 1
        made.store.fails = False
        await anyio.sleep(6)
        assert late.take(1000).count(b"data:") == 2
        late.close()


async def test_once_the_store_answers_anybody_all_others_ask_it_at_once() -> None:
    made = Made()
    async with Hub(store=made) as hub, subscribed(hub, "a") as taken:
        assert hub._running is not None
        made.store.fails = True
        hub._running.worker.suspect_listener()
        late = hub.subscribe("a")
        late.resume("unknown")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late.open, bool)
            await anyio.sleep(60)  # each waits for some seconds by now
            made.store.fails = False
            began = anyio.current_time()
            await hub.publish("a", 1)
            await passed()
        assert late.take(1000) == b""
        await passed()  # its page comes
        assert late.take(1000).count(b"data:") == 2
        assert taken.data() == [1]
        assert anyio.current_time() - began < 0.1
        late.close()


async def test_a_store_that_only_fails_the_listener_is_not_asked_all_the_time() -> None:
    made = Made()
    async with Hub(store=made) as hub, subscribed(hub, "a") as taken:
        assert hub._running is not None
        made.store.fails = True
        hub._running.worker.suspect_listener()
        await anyio.sleep(60)
        made.store.listeners = 0
        for number in range(3000):
            await hub.publish("a", number)
            await anyio.sleep(0.02)
        assert 20 < made.store.listeners < 55  # a wait takes 2.5 to 5 s, and every other one is cut
        made.store.fails = False
        await anyio.sleep(6)
        assert taken.data()[-1] == 2999


async def test_a_page_that_can_not_be_read_is_given_up_by_who_leaves() -> None:
    made = Made()
    async with Hub(store=made) as hub, subscribed(hub, "a"):
        made.store.fails = True
        late = hub.subscribe("a")
        late.resume("unknown")
        await late.open(bool)
        assert late.take(1000) == b""
        await anyio.sleep(20)
        late.close()
        await anyio.sleep(20)
        assert hub._running is not None
        assert not hub._running.pages._flights


async def test_a_store_that_hangs_counts_as_away() -> None:
    made = Made()
    async with Hub(store=made) as hub:
        made.store.hangs = True
        subscription = hub.subscribe("a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(subscription.open, bool)
            await anyio.sleep(STORE_TIMEOUT + 1)
            made.store.hangs = False
        assert made.store.listeners > 1
        subscription.close()


async def test_a_hub_opens_while_the_store_is_away(caplog: pytest.LogCaptureFixture) -> None:
    made = Made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FragileStore, "fails", True)
        async with Hub(store=made) as hub:
            assert "a hub opens while its store is away: ConnectionError('away')" in caplog.text
            subscription = hub.subscribe("a")
            with pytest.raises(ConnectionError):
                await hub.publish("a", 1)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(subscription.open, bool)
                await anyio.sleep(60)
                assert made.store.listeners == 0
                made.store.fails = False
            await hub.publish("a", 1)
            await passed()
            assert b"data: 1" in subscription.take(100)
            subscription.close()


async def test_a_subscriber_may_give_up_while_the_store_is_away() -> None:
    made = Made()
    async with Hub(store=made) as hub:
        made.store.fails = True
        subscription = hub.subscribe("a")
        with anyio.move_on_after(10) as scope:
            await subscription.open(bool)
        assert scope.cancelled_caught
        assert hub._running is not None
        assert not any(topic.subscribers for topic in hub._running.worker.topics.values())


async def test_a_hub_that_can_not_open_is_closed() -> None:
    made = Made()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FragileStore, "hangs", True)
        hub = Hub(store=made)
        with anyio.move_on_after(1):
            await hub.open()
        assert hub._running is None


async def test_more_is_wanted_while_a_topic_is_read() -> None:
    made = Made()
    async with Hub(store=made) as hub:
        at = await hub.position()
        await hub.publish("a", 1)
        made.store.delay = 1
        async with anyio.create_task_group() as tasks:
            first, second = hub.subscribe("a"), hub.subscribe("a")
            second.resume(at)
            tasks.start_soon(first.open, bool)
            await anyio.sleep(0.5)
            tasks.start_soon(second.open, bool)
        await anyio.sleep(2)
        assert b"data: 1" in second.take(100)
        assert b"data" not in first.take(100)
        first.close()
        second.close()


async def test_a_page_is_of_one_incarnation() -> None:
    made = Made()
    names = [f"t{number}" for number in range(CHUNK + 1)]
    async with Hub(store=made) as hub:
        await hub.publish(names[-1], 1)
        subscription = hub.subscribe(*names)
        subscription.resume("unknown")
        await subscription.open(bool)
        made.store.changes = True
        subscription.take(100)
        await anyio.sleep(10)
        found = b"".join(iter(lambda: subscription.take(1000), b""))
        assert b"reset" in found
        assert found.count(b"data: 1") == 1
        subscription.close()


async def test_what_nobody_wants_any_more_may_still_be_heard() -> None:
    async with Hub() as hub, subscribed(hub, "a"):
        assert hub._running is not None
        worker_ = hub._running.worker
        worker_.on_event("b", Entry(worker_.top + 10, 0, b"data: 1"), worker_.mark)
        assert worker_.watermark == worker_.top


async def test_a_few_pages_are_read_at_a_time() -> None:
    made = Made()
    async with Hub(store=made) as hub:
        subscriptions = [hub.subscribe(f"t{number}") for number in range(3 * FLIGHTS_AT_ONCE)]
        for subscription in subscriptions:
            subscription.resume("unknown")
            await subscription.open(bool)
        made.store.delay, made.store.reads = 1, []
        for subscription in subscriptions:
            assert subscription.take(100) == b""
        await anyio.sleep(0.5)
        assert made.store.reads == [1] * FLIGHTS_AT_ONCE
        await anyio.sleep(4)
        for subscription in subscriptions:
            assert b"reset" in subscription.take(1000)
            subscription.close()


async def test_it_ends_with_its_worker() -> None:
    """Also if its cancellation is swallowed, as anyio before 4.6 may do."""
    closed = Worker(MemoryStore(), clock(), soon_caller())
    closed.closed = True
    await ListeningLoop(closed, Backoff()).run()
