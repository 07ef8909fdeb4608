"""One subscriber: where it begins, what it takes, what it claims."""

import anyio
import pytest

from sse_middleware.hub import listening, paging, topic
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import Position, format_position, parse_position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.published_event import PublishedEvent
from tests.hub.subscribers import Taken, passed, subscribed

pytestmark = pytest.mark.anyio


async def publish(hub: Hub, name: str, *items: object) -> list[str]:
    return [await hub.publish(name, item) for item in items]


class TestBegin:
    async def test_with_what_is_published_from_now_on(self) -> None:
        async with Hub() as hub:
            await publish(hub, "a", 1)
            async with subscribed(hub, "a") as taken:
                await publish(hub, "a", 2)
                await passed()
                assert taken.data() == [2]

    async def test_with_all_that_is_kept(self) -> None:
        async with Hub(keep=Keep(count=2)) as hub:
            await publish(hub, "a", 1, 2, 3)
            async with subscribed(hub, "a", after="start") as taken:
                await publish(hub, "a", 4)
                await passed()
                assert taken.data() == [2, 3, 4], "no gap is told for what was gone before"

    async def test_with_no_more_than_is_kept_while_somebody_listens(self) -> None:
        """What rings have besides is for clients that come back."""
        keep = {"a": Keep(count=2, seconds=3), "b": Keep(count=1)}
        async with Hub(keep=keep) as hub, subscribed(hub, "a", "b") as listener:
            first, *_ = await publish(hub, "a", 1, 2, 3, 4)
            await publish(hub, "b", 5, 6, 7)
            async with subscribed(hub, "a", "b", after="start") as taken:
                await publish(hub, "a", 8)
                await passed()
                assert taken.data() == [3, 4, 7, 8]
            async with subscribed(hub, "a", "b", after=first) as taken:
                assert taken.data() == [2, 3, 4, 5, 6, 7, 8]
            await anyio.sleep(4)
            async with subscribed(hub, "a", "b", after="start") as taken:
                assert taken.data() == [7]
            await passed()
            assert listener.data() == [1, 2, 3, 4, 5, 6, 7, 8]

    async def test_after_an_id(self) -> None:
        async with Hub() as hub:
            first, *_ = await publish(hub, "a", 1, 2)
            async with subscribed(hub, "a", after=first) as taken:
                assert taken.data() == [2]

    async def test_the_id_of_the_client_comes_first(self) -> None:
        async with Hub() as hub:
            _, second, _ = await publish(hub, "a", 1, 2, 3)
            async with subscribed(hub, "a", after="start", last_id=second) as taken:
                assert taken.data() == [3]

    async def test_not_before_what_the_server_allows(self) -> None:
        async with Hub() as hub:
            first, second, third = await publish(hub, "a", 1, 2, 3)
            for last_id in ("", first):
                async with subscribed(
                    hub, "a", after="start", since=second, last_id=last_id
                ) as taken:
                    assert taken.data() == [3]
            async with subscribed(hub, "a", since=first, last_id=third) as taken:
                assert taken.data() == []
            async with subscribed(hub, "a", since=second, last_id="nonsense") as taken:
                assert taken.data() == [("reset", "a"), 3]

    async def test_a_floor_of_another_store_is_none(self) -> None:
        async with Hub() as hub:
            first, *_ = await publish(hub, "a", 1, 2)
            position = parse_position(first)
            assert position is not None
            since = format_position(Position(position.clock + 10**9, position.mark ^ 1))
            async with subscribed(hub, "a", after="start", since=since) as taken:
                assert taken.data() == [1, 2]

    async def test_a_position_exists_before_the_first_event(self) -> None:
        async with Hub() as hub:
            async with subscribed(hub, "a", "b") as taken:
                assert taken.last_id
            await publish(hub, "b", 1)
            async with subscribed(hub, "a", "b", last_id=taken.last_id) as again:
                assert again.data() == [1]

    async def test_whoever_asks_for_no_position_takes_it(self) -> None:
        async with Hub() as hub:
            subscription = hub.subscribe("a")
            await subscription.open(bool)
            assert subscription.take(10).startswith(b"id: ")
            assert subscription.take(10) == b""
            subscription.close()

    async def test_a_topic_twice_is_a_topic(self) -> None:
        async with Hub() as hub, subscribed(hub, "a", "a") as taken:
            await publish(hub, "a", 1)
            await passed()
            assert taken.data() == [1]


class TestTake:
    async def test_no_more_than_the_limit(self) -> None:
        async with Hub() as hub, subscribed(hub, "a", "b") as taken:
            taken.paused = True
            for number in range(5):
                await publish(hub, "a", number)
                await publish(hub, "b", "x" * 10)
            size = len(taken.subscription.take(1))
            assert taken.subscription.events == 1
            assert 0 < len(taken.subscription.take(2 * size + 20)) <= 2 * size + 20
            assert taken.subscription.events == 3
            taken.take_all()
            assert taken.subscription.events == 10

    async def test_one_topic_in_parts(self) -> None:
        async with Hub() as hub, subscribed(hub, "a", limit=100) as taken:
            taken.paused = True
            await publish(hub, "a", *range(10))
            taken.take_all()
            assert taken.data() == list(range(10))

    async def test_topics_are_in_the_order_of_publishing(self) -> None:
        async with Hub() as hub:
            async with subscribed(hub, "a", "b", "c") as first:
                pass
            for number, name in enumerate("abcbacabb"):
                await publish(hub, name, number)
            for topics in (("a", "b", "c"), ("c", "a", "b")):
                async with subscribed(hub, *topics, last_id=first.last_id) as taken:
                    assert taken.data() == list(range(9))

    async def test_nothing_after_the_end(self) -> None:
        async with Hub() as hub:
            async with subscribed(hub, "a") as taken:
                pass
            await publish(hub, "a", 1)
            assert taken.subscription.take(100) == b""
            assert taken.subscription.position_frame() == b""
            taken.subscription.close()


class TestClaim:
    async def test_silence_moves_the_position(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            before = taken.last_id
            at = (await publish(hub, "other", 1))[0]
            await anyio.sleep(6)
            taken.wire += taken.subscription.position_frame()
            assert taken.last_id == at > before

    async def test_what_was_not_taken_is_not_claimed(self) -> None:
        async with Hub() as hub, subscribed(hub, "a") as taken:
            before = taken.last_id
            taken.paused = True
            await publish(hub, "a", 1)
            await anyio.sleep(6)
            taken.wire += taken.subscription.position_frame()
            assert taken.last_id == before


class TestGaps:
    async def test_what_has_expired_is_told_and_the_rest_comes(self) -> None:
        async with Hub(keep={"few:*": Keep(count=2)}) as hub:
            first, *_ = await publish(hub, "few:a", 0, 1, 2, 3)
            await publish(hub, "b", 4)
            async with subscribed(hub, "few:a", "b", last_id=first) as taken:
                gap, *rest = taken.events()
                assert gap.last_event_id == first, "a client that is cut off here loses nothing"
                assert gap.type == "gap"
                assert gap.data == '{"topics":["few:a"],"reason":"expired"}'
                assert [event.data for event in rest] == ["2", "3", "4"]
                assert taken.subscription.events == 4
                await publish(hub, "few:a", 5, 6, 7)
                await passed()
                assert taken.data() == [5, 6, 7], "it is told once"

    async def test_a_topic_that_was_idle(self) -> None:
        async with Hub(keep=Keep(seconds=60)) as hub:
            first, second = await publish(hub, "a", 1, 2)
            await anyio.sleep(100)
            async with subscribed(hub, "a", last_id=first) as taken:
                assert taken.data() == [("expired", "a")]
            async with subscribed(hub, "a", last_id=second) as taken:
                assert taken.data() == []

    @pytest.mark.parametrize("unknown", ["x", "é" * 9, "\U0001f600", "0" * 5000, "I" * 15])
    async def test_an_id_that_is_none_of_ours(self, unknown: str) -> None:
        async with Hub() as hub:
            await publish(hub, "a", 1)
            async with subscribed(hub, "a", last_id=unknown) as taken:
                assert taken.data() == [("reset", "a"), 1]
                await publish(hub, "a", 2)
                await passed()
                assert taken.data() == [2]

    async def test_an_id_from_the_future(self) -> None:
        async with Hub() as hub:
            (at,) = await publish(hub, "a", 1)
            position = parse_position(at)
            assert position is not None
            later = format_position(Position(position.clock + 10**12, position.mark))
            async with subscribed(hub, "a", last_id=later) as taken:
                assert taken.wire.startswith(b"event: gap\n"), "what is unknown is not claimed"
                assert taken.data() == [("reset", "a")]
                await publish(hub, "a", 2)
                await passed()
                assert taken.data() == [2]

    async def test_a_day_is_too_long_to_know(self) -> None:
        async with Hub() as hub:
            (at,) = await publish(hub, "a", 1)
            await anyio.sleep(25 * 3600)
            await publish(hub, "other", 1)
            async with subscribed(hub, "a", last_id=at) as taken:
                assert taken.data() == [("expired", "a")]
                assert len(taken.last_id) == 15


class TestPages:
    @pytest.fixture(autouse=True)
    def _small_rings_and_pages(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(topic, "RING_BYTES", 200)
        monkeypatch.setattr(listening, "READ_LIMIT", 8)
        monkeypatch.setattr(paging, "PAGE_EVENTS", 16)
        monkeypatch.setattr(paging, "PAGE_BYTES", 100)
        monkeypatch.setattr(paging, "FEWEST", 3)

    async def test_whoever_falls_behind_the_ring_reads_pages(self) -> None:
        async with Hub() as hub, subscribed(hub, "a", "b") as taken:
            taken.paused = True
            for number in range(50):
                await publish(hub, "ab"[number % 2], number)
            taken.paused = False
            taken.take_all()
            await passed()
            assert taken.data() == list(range(50))
            await publish(hub, "a", 50)
            await passed()
            assert taken.data() == [50]

    async def test_all_that_is_kept(self) -> None:
        async with Hub() as hub:
            await publish(hub, "a", *range(50))
            async with subscribed(hub, "a", after="start") as taken:
                await passed()
                assert taken.data() == list(range(50))
            async with subscribed(
                hub, "a", after="start", where=lambda event: event.json() % 2
            ) as taken:
                await passed()
                assert taken.data() == list(range(1, 50, 2))

    async def test_identical_reads_are_one(self) -> None:
        async with Hub() as hub:
            first, *_ = await publish(hub, "a", *range(50))
            running = hub._running
            assert running is not None
            async with anyio.create_task_group() as tasks:
                taken = []
                for _ in range(10):
                    subscription = hub.subscribe("a")
                    subscription.resume(first)
                    taken.append(Taken(subscription))
                    taken[-1].paused = True
                    tasks.start_soon(subscription.open, taken[-1].on_wake)
            for one in taken:
                one.paused = False
                one.take_all()
            assert len(running.pages._flights) == 1
            await passed()
            for one in taken:
                one.take_all()
                assert one.data() == list(range(1, 50))
                one.subscription.close()

    async def test_a_page_that_nobody_wants_any_more(self) -> None:
        async with Hub() as hub:
            first, *_ = await publish(hub, "a", *range(50))
            subscription = hub.subscribe("a")
            subscription.resume(first)
            await subscription.open(bool)
            subscription.take(10)
            subscription.close()
            await passed()
            assert subscription.take(10) == b""
            assert hub._running is not None
            assert not hub._running.pages._flights


class TestFilter:
    async def test_only_what_is_wanted(self) -> None:
        seen: list[PublishedEvent] = []

        def where(event: PublishedEvent) -> bool:
            seen.append(event)
            return bool(event.json() != 2)

        async with Hub() as hub:
            async with subscribed(hub, "a", "b", where=where) as taken:
                at = await hub.publish("a", 1, event="x")
                await publish(hub, "b", 2, 3)
                await passed()
                assert taken.data() == [1, 3]
                assert taken.subscription.events == 2
            assert seen[0] == PublishedEvent("a", at, "x", "1")
            async with subscribed(hub, "a", "b", where=where, last_id=at) as taken:
                assert taken.data() == [3]

    async def test_data_that_is_not_json(self) -> None:
        event = PublishedEvent("a", "1", None, "x\n")
        with pytest.raises(ValueError, match=r"the data is not JSON: x\\n"):
            event.json()

    async def test_the_position_moves_after_many_that_are_dropped(self) -> None:
        async with (
            Hub(keep=Keep(count=40)) as hub,
            subscribed(hub, "a", where=lambda _: False) as taken,
        ):
            taken.wire = b""
            *_, ninth = await publish(hub, "a", *range(9))
            await passed()
            assert taken.wire == b""
            (tenth,) = await publish(hub, "a", 9)
            await passed()
            assert taken.wire == f"id: {tenth}\n\n".encode()
            assert ninth < tenth

    async def test_a_filter_looks_at_some_at_a_time(self) -> None:
        async with Hub(keep=Keep(count=2000)) as hub:
            taken = Taken(hub.subscribe("a", where=lambda event: event.json() > 1900))
            await taken.subscription.open(taken.on_wake)
            taken.paused = True
            await publish(hub, "a", *range(2000))
            taken.subscription.take(1)
            taken.paused = False
            await passed()
            assert taken.data() == list(range(1901, 2000))
            assert taken.wakes > 3
            taken.subscription.close()


async def test_subscribers_that_begin_alike_share_what_they_keep() -> None:
    async with Hub() as hub, subscribed(hub, "a") as one, subscribed(hub, "a") as two:
        first, second = one.subscription, two.subscription
        assert first._topics is second._topics
        assert first.cursor.at is second.cursor.at
        await hub.publish("a", 1)
        async with subscribed(hub, "a") as late, subscribed(hub, "b") as other:
            await passed()
            assert [who.data() for who in (one, two, late, other)] == [[1], [1], [], []]
            assert late.subscription._topics is first._topics
            assert other.subscription._topics is not first._topics
            assert other.subscription.cursor.at is late.subscription.cursor.at
