"""What every store does, whatever keeps its events."""

import time
from collections.abc import Sequence

import anyio
import pytest

from sse_middleware.hub.abc import DAY, MARK_BITS, ONCE_SECONDS, Entry, Store
from sse_middleware.hub.gaps import floor_of
from sse_middleware.hub.keep import Keep
from tests.hub.conftest import OpenStore, PassTime

pytestmark = pytest.mark.anyio

KEEP = Keep()


class Heard:
    """A listener, and what it heard."""

    def __init__(self, store: Store) -> None:
        self.events: list[tuple[str, Entry, int]] = []
        self.ticks: list[tuple[int, int]] = []
        self.listener = store.listen(
            lambda *event: self.events.append(event),
            self._on_tick,
            lambda: None,
        )
        self._ticked = anyio.Event()

    def _on_tick(self, clock: int, mark: int) -> None:
        self.ticks.append((clock, mark))
        self._ticked.set()

    def blocks(self) -> list[bytes]:
        return [entry.block for _, entry, _ in self.events]

    async def wait(self) -> None:
        """Hear all that was published before: the tick comes after it."""
        self._ticked = anyio.Event()
        await self.listener.tick()
        with anyio.fail_after(5):
            await self._ticked.wait()


def blocks(entries: Sequence[Entry]) -> list[bytes]:
    return [entry.block for entry in entries]


class TestAppend:
    async def test_clocks_rise_over_all_topics(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            clocks: list[int] = []
            for topic in ("a", "b", "a", "c"):
                clocks += await store.append(topic, (b"1", b"2"), KEEP)
            assert clocks == sorted(set(clocks))

    async def test_each_entry_knows_the_one_before(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            first, second = await store.append("a", (b"1", b"2"), KEEP)
            await store.append("b", (b"x",), KEEP)
            (third,) = await store.append("a", (b"3",), KEEP)
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert kept.entries == (
                Entry(first, 0, b"1"),
                Entry(second, first, b"2"),
                Entry(third, second, b"3"),
            )
            assert (kept.last, kept.more) == (third, False)
            assert kept.first == Entry(first, 0, b"")

    async def test_nothing_is_appended_without_events(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            assert await store.append("a", (), KEEP) == []
            assert (await store.read(("a",), 0, 10)).topics["a"].last is None

    async def test_once(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            first = await store.append("a", (b"1",), KEEP, once="x")
            assert await store.append("a", (b"2",), KEEP, once="x") == first
            assert await store.append("b", (b"3",), KEEP, once="x") != first
            assert await store.append("a", (b"4",), KEEP, once="y") != first
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert blocks(kept.entries) == [b"1", b"4"]
            await pass_time(ONCE_SECONDS + 1)
            assert await store.append("a", (b"5",), KEEP, once="x") != first


class TestKeep:
    async def test_the_newest_are_kept(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            clocks = await store.append("a", (b"1", b"2", b"3"), Keep(count=2))
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert blocks(kept.entries) == [b"2", b"3"]
            assert kept.first == Entry(clocks[1], clocks[0], b"")

    async def test_less_may_be_kept_than_before(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            await store.append("a", (b"1", b"2", b"3"), KEEP)
            await store.append("a", (b"4",), Keep(count=1, seconds=10))
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert blocks(kept.entries) == [b"4"]
            await pass_time(11)
            assert (await store.read(("a",), 0, 10)).topics["a"].first is None

    async def test_of_nothing_only_the_last_clock_is_known(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await store.append("a", (b"1",), KEEP)
            _, last = await store.append("a", (b"2", b"3"), Keep(count=0))
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert (kept.first, kept.entries, kept.last) == (None, (), last)
            (clock,) = await store.append("a", (b"4",), KEEP)
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert kept.entries == (Entry(clock, last, b"4"),)

    async def test_a_topic_lives_as_long_as_events_come(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            keep = Keep(seconds=10)
            for number in (b"1", b"2", b"3"):
                await store.append("a", (number,), keep)
                await pass_time(6)
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert blocks(kept.entries) == [b"1", b"2", b"3"]
            await pass_time(6)
            expired = (await store.read(("a",), 0, 10)).topics["a"]
            assert (expired.first, expired.entries, expired.last) == (None, (), kept.last)

    async def test_the_last_clock_is_known_for_a_day(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            clocks = await store.append("a", (b"1",), Keep(seconds=10))
            await pass_time(DAY / 1e6 - 60)
            await store.append("b", (b"2",), KEEP)
            assert (await store.read(("a",), 0, 10)).topics["a"].last == clocks[0]


class TestRead:
    async def test_a_page(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            clocks = await store.append("a", (b"1", b"2", b"3", b"4"), KEEP)
            kept = (await store.read(("a",), clocks[0], 2)).topics["a"]
            assert blocks(kept.entries) == [b"2", b"3"]
            assert kept.more
            kept = (await store.read(("a",), clocks[2], 2)).topics["a"]
            assert blocks(kept.entries) == [b"4"]
            assert not kept.more
            kept = (await store.read(("a",), clocks[2], 0)).topics["a"]
            assert (kept.entries, kept.more, kept.last) == ((), True, clocks[3])

    async def test_several_topics(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await store.append("a", (b"1",), KEEP)
            (last,) = await store.append("b", (b"2",), KEEP)
            snapshot = await store.read(("a", "b", "c"), 0, 10)
            found = {name: blocks(kept.entries) for name, kept in snapshot.topics.items()}
            assert found == {"a": [b"1"], "b": [b"2"], "c": []}
            assert snapshot.state.clock == last

    async def test_what_the_store_is(self, open_store: OpenStore) -> None:
        async with open_store() as store, open_store() as other:
            state = (await store.read((), 0, 0)).state
            assert state.clock <= state.now
            (first,) = state.incarnations
            assert first.start <= state.clock
            assert 0 <= state.mark < 1 << MARK_BITS
            (clock,) = await store.append("a", (b"1",), KEEP)
            assert clock > state.clock, "a position is known before the first event"
            assert (await other.read((), 0, 0)).state.incarnations != state.incarnations


class TestListen:
    async def test_what_is_published_is_heard(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            heard = Heard(store)
            await store.append("a", (b"0",), KEEP)
            await heard.listener.add(("a", "b"))
            await heard.listener.add(("a",))
            await store.append("c", (b"1",), KEEP)
            await store.append("a", (b"2", b"3"), Keep(count=0))
            await store.append("b", (b"4",), KEEP)
            await heard.wait()
            assert heard.blocks() == [b"2", b"3", b"4"]
            state = (await store.read((), 0, 0)).state
            topic, entry, mark = heard.events[-1]
            assert (topic, entry.clock, mark) == ("b", state.clock, state.mark)

    async def test_entries_are_those_that_are_read(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            await store.append("a", (b"1", b"2"), KEEP)
            await heard.wait()
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert tuple(entry for _, entry, _ in heard.events) == kept.entries

    async def test_a_tick_brings_the_clock(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            heard, other = Heard(store), Heard(store)
            (clock,) = await store.append("a", (b"1",), KEEP)
            await heard.wait()
            assert heard.ticks == [(clock, (await store.read((), 0, 0)).state.mark)]
            assert other.ticks == []

    async def test_nothing_is_heard_after_the_end(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            heard, removed, other = Heard(store), Heard(store), Heard(store)
            for one in (heard, removed, other):
                await one.listener.add(("a", "b"))
            heard.listener.close()
            heard.listener.close()
            removed.listener.remove(("a",))
            await store.append("a", (b"1",), KEEP)
            await store.append("b", (b"2",), KEEP)
            await removed.wait()
            await other.wait()
            found = [one.blocks() for one in (heard, removed, other)]
            assert found == [[], [b"2"], [b"1", b"2"]]
            other.listener.close()
            removed.listener.close()


class TestLease:
    async def test_one_token_holds_a_key(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            assert (await store.lease("k", "x", 10, "begun")).token == "x"
            refused = await store.lease("k", "y", 10, "other")
            assert (refused.token, refused.state) == ("x", "begun")
            assert 0 < refused.seconds <= 10
            assert (await store.lease("other", "y", 10)).token == "y"

    async def test_it_is_renewed(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            await store.lease("k", "x", 10, "begun")
            await pass_time(8)
            renewed = await store.lease("k", "x", 10)
            assert (renewed.token, renewed.state) == ("x", "begun")
            await pass_time(8)
            assert (await store.lease("k", "y", 10)).token == "x"

    async def test_it_ends(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            await store.lease("k", "x", 10, "begun")
            await pass_time(11)
            taken = await store.lease("k", "y", 10)
            assert (taken.token, taken.state) == ("y", "begun")


class TestClock:
    """For a store whose clock the tests can move."""

    async def test_clocks_are_microseconds_of_the_present(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            (clock,) = await store.append("a", (b"1",), KEEP)
            await anyio.sleep(10)
            (later,) = await store.append("a", (b"1",), KEEP)
            assert abs(clock / 1e6 - time.time()) < 60
            assert later - clock >= 9_999_000

    async def test_a_day_later_the_floor_still_tells(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            (clock,) = await store.append("a", (b"1",), Keep(seconds=10))
            await anyio.sleep(2 * DAY / 1e6)
            for _ in range(3):
                await store.append("b", (b"2",), KEEP)
            snapshot = await store.read(("a",), clock - 1, 10)
            assert floor_of(snapshot.topics["a"], snapshot.state) > clock - 1
