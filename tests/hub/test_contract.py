"""What every store does, whatever keeps its events."""

import time
from collections.abc import Sequence

import anyio
import pytest

from sse_middleware.hub.abc import DAY, MARK_BITS, ONCE_SECONDS, Appended, Entry, Store
from sse_middleware.hub.gaps import floor_of
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import (
    FencedError,
    NewRun,
    Run,
    RunAppend,
    RunState,
    end_marker,
    start_marker,
)
from tests.hub.conftest import OpenStore, PassTime
from tests.patience import PATIENCE

pytestmark = pytest.mark.anyio

KEEP = Keep()

WHOLE = Keep(count=2**31, seconds=20)
BEGUN = start_marker("x")
"""What the topic of a run keeps."""


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
        with anyio.fail_after(PATIENCE):
            await self._ticked.wait()


def blocks(entries: Sequence[Entry]) -> list[bytes]:
    return [entry.block for entry in entries]


class TestAppend:
    async def test_clocks_rise_over_all_topics(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            clocks: list[int] = []
            for topic in ("a", "b", "a", "c"):
                clocks += (await store.append(topic, (b"1", b"2"), KEEP)).clocks
            assert clocks == sorted(set(clocks))

    async def test_each_entry_knows_the_one_before(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            first, second = (await store.append("a", (b"1", b"2"), KEEP)).clocks
            await store.append("b", (b"x",), KEEP)
            (third,) = (await store.append("a", (b"3",), KEEP)).clocks
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
            appended = await store.append("a", (), KEEP)
            snapshot = await store.read(("a",), 0, 10)
            assert appended == Appended([], snapshot.state.mark)
            assert snapshot.topics["a"].last is None

    async def test_it_names_the_incarnation(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            for once in (None, "x", "x"):
                appended = await store.append("a", (b"1",), KEEP, once=once)
                assert appended.mark == (await store.read((), 0, 0)).state.mark

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
            clocks = (await store.append("a", (b"1", b"2", b"3"), Keep(count=2))).clocks
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
            _, last = (await store.append("a", (b"2", b"3"), Keep(count=0))).clocks
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert (kept.first, kept.entries, kept.last) == (None, (), last)
            (clock,) = (await store.append("a", (b"4",), KEEP)).clocks
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
            clocks = (await store.append("a", (b"1",), Keep(seconds=10))).clocks
            await pass_time(DAY / 1e6 - 60)
            await store.append("b", (b"2",), KEEP)
            assert (await store.read(("a",), 0, 10)).topics["a"].last == clocks[0]

    async def test_what_has_expired_does_not_come_back(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            last = (await store.append("a", (b"1", b"2"), Keep(seconds=2))).clocks[-1]
            await pass_time(3)
            (clock,) = (await store.append("a", (b"3",), KEEP)).clocks
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert kept.entries == (Entry(clock, last, b"3"),)


class TestRead:
    async def test_events_come_back_as_they_were(self, open_store: OpenStore) -> None:
        events = (b"data: 1\n\n", b"-0 7", b"", "é\n".encode(), bytes(range(256)), b"x" * 70_000)
        async with open_store() as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            await store.append("a", events, KEEP)
            await heard.wait()
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert blocks(kept.entries) == list(events)
            assert heard.blocks() == list(events)
            heard.listener.close()

    async def test_a_page(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            clocks = (await store.append("a", (b"1", b"2", b"3", b"4"), KEEP)).clocks
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
            (last,) = (await store.append("b", (b"2",), KEEP)).clocks
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
            (clock,) = (await store.append("a", (b"1",), KEEP)).clocks
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
            (clock,) = (await store.append("a", (b"1",), KEEP)).clocks
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


async def begin(
    store: Store, token: str, *, restart: bool = False, limit: float | None = None
) -> Run:
    return await store.begin_run("r", NewRun(token, WHOLE, 10, restart, limit))


async def write(
    store: Store, token: str, number: int, *texts: bytes, end: RunState | None = None
) -> list[int]:
    blocks = texts if end is None else (*texts, end_marker(end))
    appended = await store.append("r", blocks, WHOLE, run=RunAppend(token, number, 10, end))
    return appended.clocks


async def found(store: Store) -> Run:
    run = await store.find_run("r")
    assert run is not None
    return run


async def texts_of(store: Store) -> list[bytes]:
    return blocks((await store.read(("r",), 0, 100)).topics["r"].entries)


class TestRun:
    async def test_one_begins_and_others_find_it(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            for watched in (True, False):
                assert await store.find_run("r", watched=watched) is None
            run = await begin(store, "x", limit=5)
            assert (run.token, run.state, run.end, run.stopping) == ("x", "running", 0, False)
            assert 9 < run.held <= 10
            assert (0 <= run.unwatched < 1, run.unwatched_limit) == (True, 5)
            assert run.is_running
            other = await begin(store, "y")
            assert (other.token, other.start, other.unwatched_limit) == ("x", run.start, 5)
            assert (await found(store)).token == "x"

    async def test_a_topic_has_its_start(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            (earlier,) = (await store.append("r", (b"1",), KEEP)).clocks
            heard = Heard(store)
            await heard.listener.add(("r",))
            run = await begin(store, "x")
            kept = (await store.read(("r",), 0, 9)).topics["r"]
            assert kept.entries == (Entry(run.start, earlier, BEGUN),)
            await heard.wait()
            assert heard.blocks() == [BEGUN]
            heard.listener.close()

    async def test_appends_are_made_once(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            await begin(store, "x")
            first = await write(store, "x", 0, b"1", b"2")
            assert len(first) == 2
            assert await write(store, "x", 0, b"1", b"2") == []
            await write(store, "x", 1, b"3")
            await write(store, "x", 2, end=RunState.DONE)
            assert await write(store, "x", 2, end=RunState.DONE) == []
            assert await texts_of(store) == [
                BEGUN,
                b"1",
                b"2",
                b"3",
                end_marker(RunState.DONE),
            ]

    async def test_the_end_is_known(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            await begin(store, "x")
            *_, end = await write(store, "x", 0, b"1", end=RunState.ERROR)
            run = await found(store)
            assert (run.state, run.end, run.is_running) == ("error", end, False)
            stopped = await store.stop_run("r")
            assert stopped is not None
            assert not stopped.stopping
            await pass_time(15)
            assert not (await found(store)).is_orphaned
            with pytest.raises(FencedError):
                await write(store, "x", 1, b"2")
            assert (await begin(store, "y")).token == "x"

    async def test_others_are_fenced(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            with pytest.raises(FencedError):
                await write(store, "x", 0, b"1")
            await begin(store, "x")
            for token, number, end in (
                ("y", 0, None),
                ("x", 1, None),
                ("x", 0, RunState.ABORTED),
                ("y", 0, RunState.ABORTED),
            ):
                with pytest.raises(FencedError):
                    await write(store, token, number, b"1", end=end)
            assert await texts_of(store) == [BEGUN]
            assert (await found(store)).is_running

    async def test_a_lease_is_renewed(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            await begin(store, "x")
            await pass_time(8)
            renewed = await store.renew_run("r", "x", WHOLE, 10)
            assert renewed is not None
            assert 9 < renewed.held <= 10
            await pass_time(8)
            other = await store.renew_run("r", "y", WHOLE, 10)
            assert other is not None
            assert (other.token, other.held < 3) == ("x", True)
            await write(store, "x", 0, b"1")  # this renews it, too
            await pass_time(8)
            assert (await found(store)).is_running

    async def test_it_is_aborted_once_its_lease_is_over(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            await begin(store, "x")
            await pass_time(11)
            run = await found(store)
            assert (run.is_orphaned, run.is_running, run.held) == (True, False, 0)
            with pytest.raises(FencedError):
                await write(store, "x", 0, b"1")
            with pytest.raises(FencedError):
                await write(store, "y", 0, end=RunState.ABORTED)
            late = await store.renew_run("r", "x", WHOLE, 10)
            assert late is not None
            assert late.held == 0
            (end,) = await write(store, "x", 7, end=RunState.ABORTED)
            run = await found(store)
            assert (run.state, run.end) == ("aborted", end)
            for number, state in ((7, RunState.ABORTED), (0, None), (0, RunState.DONE)):
                with pytest.raises(FencedError):
                    await write(store, "x", number, b"late", end=state)
            assert await texts_of(store) == [BEGUN, end_marker(RunState.ABORTED)]

    async def test_who_aborts_it_needs_no_number(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            await begin(store, "x")
            await write(store, "x", 0, b"1")
            await pass_time(11)
            assert await write(store, "x", 0, b"1") == []
            assert len(await write(store, "x", 0, end=RunState.ABORTED)) == 1
            assert await texts_of(store) == [BEGUN, b"1", end_marker(RunState.ABORTED)]

    async def test_a_restart_makes_the_one_before_give_way(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            first = await begin(store, "x")
            *_, last = await write(store, "x", 0, b"1")
            await store.stop_run("r")
            second = await begin(store, "y", restart=True)
            assert (second.token, second.stopping, second.start > first.start) == ("y", False, True)
            with pytest.raises(FencedError):
                await write(store, "x", 1, b"2")
            await write(store, "y", 0, b"3")
            kept = (await store.read(("r",), 0, 9)).topics["r"]
            assert blocks(kept.entries) == [start_marker("y"), b"3"]
            assert kept.entries[0].before == last

    async def test_a_repeated_begin_changes_nothing(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            await begin(store, "w")
            first = await begin(store, "x", restart=True, limit=5)
            await write(store, "x", 0, b"1")
            await store.stop_run("r")
            await pass_time(4)
            for restart in (True, False):
                again = await begin(store, "x", restart=restart, limit=7)
                assert (again.token, again.start, again.unwatched_limit) == ("x", first.start, 5)
                assert again.stopping
                assert again.held < 7, "its lease is not renewed"
                assert again.unwatched > 3
            await write(store, "x", 1, b"2", end=RunState.STOPPED)
            assert (await begin(store, "x", restart=True)).state == "stopped"
            assert await texts_of(store) == [
                BEGUN,
                b"1",
                b"2",
                end_marker(RunState.STOPPED),
            ]

    async def test_it_is_told_to_stop(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            assert await store.stop_run("r") is None
            await begin(store, "x")
            for run in (await store.stop_run("r"), await found(store)):
                assert run is not None
                assert run.stopping
            await write(store, "x", 0, end=RunState.STOPPED)
            stopped = await store.stop_run("r")
            assert stopped is not None
            assert stopped.state == "stopped"

    async def test_somebody_watches(self, open_store: OpenStore, pass_time: PassTime) -> None:
        async with open_store() as store:
            await begin(store, "x")
            await pass_time(4)
            assert 3 < (await found(store)).unwatched < 5
            run = await store.find_run("r", watched=True)
            assert run is not None
            assert 0 <= run.unwatched < 1
            assert (await found(store)).unwatched < 1

    async def test_it_is_known_as_long_as_its_topic(
        self, open_store: OpenStore, pass_time: PassTime
    ) -> None:
        async with open_store() as store:
            await begin(store, "x")
            for _ in range(3):
                await pass_time(8)
                await store.renew_run("r", "x", WHOLE, 10)
            assert await texts_of(store) == [BEGUN]
            keep = Keep(count=WHOLE.count, seconds=3)
            await store.append("r", (b"end",), keep, run=RunAppend("x", 0, 10, RunState.DONE))
            await pass_time(2)
            assert (await found(store)).state == "done"
            await pass_time(2)
            assert await store.find_run("r") is None
            assert await texts_of(store) == []
            assert (await begin(store, "y")).token == "y"


class TestClock:
    """For a store whose clock the tests can move."""

    async def test_clocks_are_microseconds_of_the_present(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            (clock,) = (await store.append("a", (b"1",), KEEP)).clocks
            await anyio.sleep(10)
            (later,) = (await store.append("a", (b"1",), KEEP)).clocks
            assert abs(clock / 1e6 - time.time()) < 60
            assert later - clock >= 9_999_000

    async def test_a_day_later_the_floor_still_tells(self, open_store: OpenStore) -> None:
        async with open_store() as store:
            (clock,) = (await store.append("a", (b"1",), Keep(seconds=10))).clocks
            await anyio.sleep(2 * DAY / 1e6)
            for _ in range(3):
                await store.append("b", (b"2",), KEEP)
            snapshot = await store.read(("a",), clock - 1, 10)
            assert floor_of(snapshot.topics["a"], snapshot.state) > clock - 1
