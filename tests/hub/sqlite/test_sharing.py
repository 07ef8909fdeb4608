"""Several stores on one file, as several workers have them."""

import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from sse_middleware.errors import StoreError
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.run import NewRun
from sse_middleware.hub.sqlite import bells, thread
from sse_middleware.hub.sqlite.file import directory_of
from sse_middleware.hub.sqlite.store import SQLiteStore, wall_clock
from sse_middleware.hub.sqlite.tables import LAG, NEWS_AT_ONCE
from tests.hub.sqlite.conftest import SOON, Heard, busy, in_thread, opened

pytestmark = pytest.mark.anyio

KEEP = Keep()


async def test_all_hear_the_same_in_the_order_of_the_clock(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = [Heard(one), Heard(other)]
        for listener in heard:
            await listener.listener.add(("a", "b"))

        async def publish(store: object, topic: str) -> None:
            for number in range(50):
                await store.append(topic, (b"%d" % number,), Keep(0))  # type: ignore[attr-defined]

        async with anyio.create_task_group() as tasks:
            for store in (one, other):
                for topic in ("a", "b", "unheard"):
                    tasks.start_soon(publish, store, topic)
        for listener in heard:
            await listener.until(lambda found: len(found.events) == 200)
            clocks = [entry.clock for _, entry, _ in listener.events]
            assert clocks == sorted(set(clocks))
            assert not listener.broken
        assert heard[0].events == heard[1].events


async def test_more_news_than_are_read_at_once(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        numbers = [b"%d" % number for number in range(2 * NEWS_AT_ONCE + 1)]
        await one.append("a", numbers, KEEP)
        await heard.until(lambda found: len(found.events) == len(numbers))
        assert heard.blocks == numbers


async def test_a_tick_comes_after_the_news(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        with busy(other):
            (clock,) = (await one.append("a", (b"1",), KEEP)).clocks
        await heard.listener.tick()
        assert [found[0] for found in heard.ticks] == [clock]
        assert heard.blocks == [b"1"]
        async with anyio.create_task_group() as tasks:
            with busy(other):
                tasks.start_soon(heard.listener.tick)
                for _ in range(3):
                    await anyio.lowlevel.checkpoint()
                heard.listener.close()
        assert len(heard.ticks) == 1


async def test_a_doorbell_that_nobody_answers_is_removed(path: Path) -> None:
    async with opened(path) as one:
        await one.append("a", (b"1",), KEEP)
        gone = bells.Bell(directory_of(str(path)))
        gone.socket.close()
        with sqlite3.connect(path) as connection:
            connection.execute("INSERT INTO hub_bells VALUES (?)", (gone.path,))
        for _ in range(2):
            await one.append("a", (b"2",), KEEP)
        rows = connection.execute("SELECT * FROM hub_bells").fetchall()
        connection.close()
        assert rows == []
        assert not gone.exists


async def test_a_doorbell_is_enough(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread, "POLL", 1000.0)
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        for block in (b"1", b"2", b"3"):
            await one.append("a", (block,), Keep(0))
            await heard.until(lambda found: found.blocks)
            assert heard.blocks == [block]
            heard.events.clear()


async def test_without_a_doorbell_the_file_is_looked_at(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM hub_bells")
        connection.close()
        await one.append("a", (b"1",), KEEP)
        await heard.until(lambda found: found.events)


async def test_a_doorbell_that_cannot_be_found_is_replaced(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        bells.remove(other._session.bell.path)  # type: ignore[union-attr]
        await heard.until(lambda found: found.broken)
        await heard.listener.add(("a",))
        await one.append("a", (b"1",), KEEP)
        await heard.until(lambda found: found.events)


async def test_a_doorbell_with_a_long_path(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 100) / "events.db"
    path.parent.mkdir()
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        bell = other._session.bell
        await one.append("a", (b"1",), KEEP)
        await heard.until(lambda found: found.events)
    assert bell is not None
    assert not bell.exists


async def test_a_doorbell_is_rung_until_it_is_full(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    bell, ringer = bells.Bell(path.parent), bells.Ringer()
    assert [ringer.ring([bell.path]) for _ in range(1000)] == [[]] * 1000
    bells.drain(bell.socket)
    bell.close()
    assert ringer.ring([bell.path]) == [bell.path]
    ringer.close()


async def test_nobody_is_rung_who_does_not_listen(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        heard.listener.close()
        await other.read((), 0, 0)  # and then it sleeps
        connection = sqlite3.connect(path)
        with anyio.fail_after(SOON):
            while connection.execute("SELECT * FROM hub_bells").fetchall():
                await one.append("a", (b"1",), KEEP)
        connection.close()
        await heard.listener.add(("a",))
        await one.append("a", (b"2",), KEEP)
        await heard.until(lambda found: found.events)
        assert heard.blocks == [b"2"]


async def test_once_and_runs_are_shared(path: Path) -> None:
    async with opened(path) as one, opened(path) as other:
        first = await one.append("a", (b"1",), KEEP, once="x")
        assert await other.append("a", (b"2",), KEEP, once="x") == first
        for token, store in (("x", one), ("y", other)):
            run = await store.begin_run("r", NewRun(token, KEEP, 10))
            assert run.token == "x"


async def test_clocks_rise_even_if_time_steps_back(path: Path) -> None:
    now = [wall_clock()]
    async with opened(path, now=lambda: now[0]) as one, opened(path, now=lambda: now[0]) as other:
        clocks = (await one.append("a", (b"1", b"2"), KEEP)).clocks
        now[0] -= 3_600_000_000
        for store in (one, other, one):
            clocks += (await store.append("a", (b"3",), KEEP)).clocks
        assert clocks == sorted(set(clocks))
        assert clocks[-1] - clocks[0] == 4
        kept = (await one.read(("a",), 0, 10)).topics["a"]
        assert [entry.clock for entry in kept.entries] == clocks


async def test_ids_go_on_after_all_were_closed(path: Path) -> None:
    async with opened(path) as store:
        (first,) = (await store.append("a", (b"1",), KEEP)).clocks
        state = (await store.read((), 0, 0)).state
    async with opened(path) as store:
        again = await store.read(("a",), 0, 10)
        assert again.state.incarnations == state.incarnations
        assert again.topics["a"].last == first
        assert (await store.append("a", (b"2",), KEEP)).clocks[0] > first


async def test_a_listener_that_is_too_late_learns_it(path: Path) -> None:
    now = [wall_clock()]
    async with opened(path, now=lambda: now[0]) as one, opened(path, now=lambda: now[0]) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        with busy(other):
            await one.append("a", (b"1",), Keep(0))
            now[0] += LAG + 10
            await one.append("b", (b"x",), KEEP)
        await heard.until(lambda found: found.broken)
        assert heard.events == []
        await one.append("a", (b"2",), Keep(0))
        await heard.until(lambda found: found.events)


async def test_a_listener_that_is_too_late_for_one_topic(path: Path) -> None:
    now = [wall_clock()]
    async with opened(path, now=lambda: now[0]) as one, opened(path, now=lambda: now[0]) as other:
        heard = Heard(other)
        await heard.listener.add(("a",))
        for topic in ("b", "c"):  # they are looked at first
            await one.append(topic, (b"x",), Keep(0))
        await heard.listener.tick()
        with busy(other):
            await one.append("a", (b"1",), Keep(0))
            now[0] += LAG + 10
            await one.append("a", (b"2",), Keep(0))
        await heard.until(lambda found: found.broken)
        assert heard.events == []


async def test_a_file_that_was_set_back_in_place(path: Path) -> None:
    async with opened(path) as one:
        heard = Heard(one)
        await heard.listener.add(("a",))
        await one.append("a", (b"1",), KEEP)
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE hub_store SET clock = clock - 10")
        connection.close()
        await heard.listener.tick()
        assert heard.broken


async def append_at_once(store: SQLiteStore, blocks: Sequence[Any]) -> list[object]:
    """Append events while the thread is busy. Return the clocks, or the errors."""
    found = list[object]()

    async def append(block: bytes) -> None:
        try:
            found.append(await store.append("a", (block,), KEEP))
        except StoreError as error:
            found.append(error)

    async with anyio.create_task_group() as tasks:
        with busy(store):
            for block in blocks:
                tasks.start_soon(append, block)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
    return found


async def test_what_is_appended_at_once_shares_a_transaction(path: Path) -> None:
    async with opened(path) as store:
        statements = list[str]()
        await in_thread(store, lambda file: file.connection.set_trace_callback(statements.append))
        await append_at_once(store, [b"%d" % number for number in range(10)])
        assert statements.count("BEGIN IMMEDIATE") == 1


async def test_one_that_fails_does_not_hold_up_the_others(path: Path) -> None:
    async with opened(path) as store:
        await store.read((), 0, 0)
        found = await append_at_once(store, (b"1", object(), b"2"))
        (error,) = (one for one in found if isinstance(one, StoreError))
        assert "type 'object' is not supported" in str(error)
        kept = (await store.read(("a",), 0, 10)).topics["a"]
        assert sorted(entry.block for entry in kept.entries) == [b"1", b"2"]


async def test_two_hubs_disconnect_a_subject(path: Path) -> None:
    url = f"sqlite:///{path}"
    async with Hub(url) as one, Hub(url) as other:
        subscription = other.subscribe("a", subject="u")
        woken = anyio.Event()
        await subscription.open(woken.set)
        assert not subscription.ended
        await one.disconnect("u")
        with anyio.fail_after(SOON):
            while not subscription.ended:
                await woken.wait()
                woken = anyio.Event()
                subscription.wake = woken.set
                subscription.take(1000)
        subscription.close()


async def test_a_position_of_one_hub_is_one_of_the_other(path: Path) -> None:
    url = f"sqlite:///{path}"
    async with Hub(url) as one, Hub(url) as other:
        at = await one.position()
        await one.publish("a", 1)
        await other.publish("a", 2)
        history = await other.history("a", after=at)
        assert [event.json() for event in history.events] == [1, 2]
        assert history.gap is None


FORK = """
import os, sys
import anyio
from sse_middleware import Hub

hub = Hub(f"sqlite:///{sys.argv[1]}")
child = os.fork()

async def main():
    async with hub:
        for number in range(50):
            await hub.publish("a", number)

anyio.run(main)
if child:
    _, status = os.waitpid(child, 0)
    sys.exit(status)
"""


async def test_a_hub_that_was_made_before_a_fork(path: Path) -> None:
    await anyio.run_process([sys.executable, "-c", FORK, str(path)], stderr=None)
    async with Hub(f"sqlite:///{path}") as hub:
        numbers = [event.json() for event in (await hub.history("a")).events]
    assert sorted(numbers) == sorted([*range(50)] * 2)
