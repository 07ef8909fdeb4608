"""Runs in a file: several processes share them, and they end with what their topic keeps."""
# ruff: noqa: ASYNC240 - what blocks the event loop for a moment does no harm here

import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from sse_middleware.errors import StoreError
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
from sse_middleware.hub.sqlite.jobs import Work
from sse_middleware.hub.sqlite.store import SQLiteStore
from sse_middleware.hub.sqlite.tables import LAG, SECOND
from tests.hub.sqlite.conftest import Heard, busy, in_thread, opened
from tests.hub.sqlite.test_failures import Locked
from tests.hub.sqlite.test_pruning import Clock, count

pytestmark = pytest.mark.anyio

KEEP = Keep()
WHOLE = Keep(count=2**31, seconds=20)
LEASE = 10
BEGUN = start_marker("x")


async def begin(
    store: SQLiteStore, token: str, *, restart: bool = False, keep: Keep = WHOLE
) -> Run:
    return await store.begin_run("r", NewRun(token, keep, LEASE, restart))


async def write(
    store: SQLiteStore, token: str, number: int, *blocks: bytes, end: RunState | None = None
) -> list[int]:
    append = RunAppend(token, number, LEASE, end)
    return (await store.append("r", blocks, WHOLE, run=append)).clocks


async def state_of(store: SQLiteStore) -> RunState | None:
    run = await store.find_run("r")
    return None if run is None else run.state


async def blocks_of(store: SQLiteStore) -> list[bytes]:
    return [entry.block for entry in (await store.read(("r",), 0, 1000)).topics["r"].entries]


class TestShared:
    async def test_by_two_stores(self, path: Path) -> None:
        now = Clock()
        async with opened(path, now=now) as one, opened(path, now=now) as other:
            heard = Heard(other)
            await heard.listener.add(("r",))
            run = await begin(one, "x")
            assert await begin(other, "y") == run
            await write(one, "x", 0, b"1")
            with pytest.raises(FencedError):
                await write(other, "y", 0, b"2")
            now.pass_by(2 * SECOND)
            await other.find_run("r", watched=True)
            await other.stop_run("r")
            renewed = await one.renew_run("r", "x", WHOLE, LEASE)
            assert renewed is not None
            assert (renewed.stopping, renewed.unwatched, renewed.held) == (True, 0, LEASE)
            now.pass_by((LEASE + 1) * SECOND)
            aborted = end_marker(RunState.ABORTED)
            await write(other, "x", 0, aborted, end=RunState.ABORTED)
            with pytest.raises(FencedError):
                await write(one, "x", 1, b"3")
            assert await state_of(one) is RunState.ABORTED
            await heard.until(lambda found: len(found.events) == 3)
            assert heard.blocks == [BEGUN, b"1", aborted]

    async def test_only_one_of_many_begins(self, path: Path) -> None:
        found = list[str]()

        async def start(store: SQLiteStore, token: str) -> None:
            found.append((await begin(store, token)).token)

        async with opened(path) as one, opened(path) as other:
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    for store in (one, other):
                        tasks.start_soon(start, store, f"{number} {store is one}")
            assert (len(found), len(set(found))) == (20, 1)
            assert await blocks_of(one) == [start_marker(found[0])]

    async def test_while_the_file_is_locked_a_run_is_found(self, path: Path) -> None:
        async with opened(path) as store:
            await begin(store, "x")
            lock = Locked(path)
            assert await state_of(store) is RunState.RUNNING
            lock.release()

    @pytest.mark.parametrize("watched", [True, False])
    async def test_only_a_watcher_writes(self, path: Path, watched: bool) -> None:
        async with opened(path) as store:
            await begin(store, "x")
            statements = await traced(store)
            await store.find_run("r", watched=watched)
            assert ("BEGIN IMMEDIATE" in statements) is watched

    async def test_it_goes_on_after_all_were_closed(self, path: Path) -> None:
        now = Clock()
        async with opened(path, now=now) as store:
            run = await begin(store, "x")
            await write(store, "x", 0, b"1")
            before = await store.find_run("r")
        async with opened(path, now=now) as store:
            assert await store.find_run("r") == before
            assert (await begin(store, "y")).start == run.start
            assert await write(store, "x", 0, b"1") == []
            await write(store, "x", 1, b"2", end=RunState.DONE)
        async with opened(path, now=now) as store:
            assert await state_of(store) is RunState.DONE
            assert await blocks_of(store) == [BEGUN, b"1", b"2"]

    async def test_in_a_file_from_before_there_were_runs(self, path: Path) -> None:
        async with opened(path) as store:
            await store.append("r", (b"1",), KEEP)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE hub_runs")
            connection.execute("CREATE TABLE hub_leases (key TEXT PRIMARY KEY, until INTEGER)")
            connection.execute("INSERT INTO hub_leases VALUES ('k', 1)")
            connection.commit()
        async with opened(path) as store:
            assert await blocks_of(store) == [b"1"]
            await begin(store, "x")
            assert await state_of(store) is RunState.RUNNING
        assert count(path, "hub_leases") == 1, "processes of before may still use it"


class TestLost:
    async def test_a_file_that_is_deleted(self, path: Path) -> None:
        async with opened(path) as one, opened(path) as other:
            await begin(one, "x")
            await write(one, "x", 0, b"1")
            path.unlink()
            with pytest.raises(FencedError, match="there is no run"):
                await write(one, "x", 1, b"2")
            assert await one.renew_run("r", "x", WHOLE, LEASE) is None
            assert (await begin(other, "y")).token == "y"
            with pytest.raises(FencedError, match="another run"):
                await write(one, "x", 1, b"2")
            assert await blocks_of(one) == [start_marker("y")]

    async def test_a_file_that_is_deleted_before_the_answer(self, path: Path) -> None:
        async with opened(path) as store:
            run = await begin(store, "x")

            async def append() -> None:
                with pytest.raises(FencedError, match="there is no run"):
                    await write(store, "x", 0, b"1")

            await together(store, append, last=once(path.unlink))
            assert await begin(store, "y") != run
            assert await blocks_of(store) == [start_marker("y")]

    async def test_who_was_fenced_in_the_file_before(self, path: Path) -> None:
        async with opened(path) as store:
            await begin(store, "x")
            await together(
                store,
                lambda: begin(store, "y"),
                lambda: write(store, "y", 0, b"1"),
                last=once(path.unlink),
            )
            assert await blocks_of(store) == [start_marker("y"), b"1"]

    async def test_an_older_copy(self, path: Path) -> None:
        copy = path.with_suffix(".copy")
        async with opened(path) as store:
            await begin(store, "x")
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            await write(store, "x", 0, b"1")
            copy.replace(path)
            with pytest.raises(FencedError, match="has lost what was appended before"):
                await write(store, "x", 1, b"2")
            assert await blocks_of(store) == [BEGUN]


def once(act: Callable[[], object]) -> Work:
    """Return work that does something when it is done first, and not when it is done again."""
    acts = [act]

    def work(*_: object) -> None:
        while acts:
            acts.pop()()

    return work


class TestPruning:
    async def test_what_was_kept_before_a_run(self, path: Path) -> None:
        now = Clock()
        async with opened(path, now=now) as one, opened(path, now=now) as other:
            heard = Heard(other)
            await heard.listener.add(("r",))
            with busy(other):
                await one.append("r", (b"1",) * 50, Keep(seconds=3600))
                await begin(one, "x", keep=Keep(seconds=3600))
                await one.append("other", (b"x",), KEEP)
                assert await blocks_of(one) == [BEGUN]
                assert count(path, "hub_events") == 52, "listeners may be a little late"
            await heard.until(lambda found: found.blocks[-1:] == [BEGUN])
            assert heard.blocks == [*[b"1"] * 50, BEGUN]
            now.pass_by(LAG + SECOND)
            for _ in range(4):
                await one.append("other", (b"x",), KEEP)
            assert count(path, "hub_events") == 6
            assert await blocks_of(one) == [BEGUN]

    async def test_runs_go_with_their_topics(self, path: Path) -> None:
        now = Clock()
        async with opened(path, now=now) as store:
            for number in range(50):
                await store.begin_run(f"r{number}", NewRun("x", WHOLE, LEASE))
            assert count(path, "hub_runs") == 50
            now.pass_by(21 * SECOND)
            await store.append("other", (b"x",), KEEP)
            assert count(path, "hub_runs") == 48, "an append removes a little only"
            for _ in range(25):
                await store.append("other", (b"x",), KEEP)
            assert count(path, "hub_runs") == 0
            assert count(path, "hub_events") == 26

    async def test_a_run_that_is_renewed_stays(self, path: Path) -> None:
        now = Clock()
        async with opened(path, now=now) as store:
            await begin(store, "x")
            for _ in range(10):
                now.pass_by(8 * SECOND)
                await store.renew_run("r", "x", WHOLE, LEASE)
                await store.append("other", (b"x",), KEEP)
            assert await blocks_of(store) == [BEGUN]
            assert await state_of(store) is RunState.RUNNING
            await store.renew_run("r", "x", Keep(seconds=1), LEASE)
            now.pass_by(2 * SECOND)
            await store.append("other", (b"x",), KEEP)
            assert count(path, "hub_runs") == 0

    @pytest.mark.parametrize(("seconds", "keep"), [(0, Keep(0)), (21, KEEP)])
    async def test_it_does_not_come_back(self, path: Path, seconds: int, keep: Keep) -> None:
        now = Clock()
        async with opened(path, now=now) as store:
            for topic in ("a", "b"):  # they are looked at first
                await store.append(topic, (b"x",), Keep(seconds=1))
            await begin(store, "x")
            now.pass_by(seconds * SECOND)
            await store.append("r", (b"1",), keep)
            assert count(path, "hub_runs") == 0
            await store.append("r", (b"2",), KEEP)
            assert await store.find_run("r") is None
            with pytest.raises(FencedError):
                await write(store, "x", 0, b"3")

    async def test_a_run_of_which_nothing_is_kept(self, path: Path) -> None:
        async with opened(path) as store:
            for token, keep in (("x", WHOLE), ("y", Keep(0))):
                assert (await begin(store, token, restart=True, keep=keep)).token == token
            await store.append("r", (b"1",), KEEP)
            assert await store.find_run("r") is None


async def traced(store: SQLiteStore) -> list[str]:
    """Return a list of the statements that the store will execute."""
    statements = list[str]()
    await in_thread(store, lambda file: file.connection.set_trace_callback(statements.append))
    return statements


def nothing(*_: object) -> None:
    """Do nothing."""


async def together(
    store: SQLiteStore, *acts: Callable[[], Coroutine[Any, Any, object]], last: Work = nothing
) -> list[str]:
    """Ask for things in this order while the thread is busy, and for some work after them.

    Return the statements that were executed.
    """
    statements = await traced(store)
    async with anyio.create_task_group() as tasks:
        with busy(store):
            for act in acts:
                tasks.start_soon(act)
                for _ in range(3):  # it asks before the next one does
                    await anyio.lowlevel.checkpoint()
            job = store._thread.submit(last, writes=True)
    await job.wait()
    return statements


class TestFenced:
    async def test_it_is_an_answer_in_a_transaction_with_others(self, path: Path) -> None:
        async with opened(path) as store:
            await begin(store, "x")

            async def fenced() -> None:
                with pytest.raises(FencedError):
                    await write(store, "y", 0, b"2")

            statements = await together(
                store,
                lambda: store.append("r", (b"1",), WHOLE),
                fenced,
                lambda: write(store, "x", 0, b"3"),
            )
            assert statements.count("BEGIN IMMEDIATE") == 1
            assert "ROLLBACK" not in statements
            assert sorted(await blocks_of(store)) == [b"1", b"3", BEGUN]

    async def test_next_to_one_that_fails(self, path: Path) -> None:
        wrong: Any = object()
        async with opened(path) as store:
            await begin(store, "x")

            async def fails() -> None:
                with pytest.raises(StoreError, match="type 'object' is not supported"):
                    await write(store, "x", 0, wrong)

            async def fenced() -> None:
                with pytest.raises(FencedError):
                    await write(store, "y", 0, b"2")

            await together(store, fenced, fails, lambda: store.append("r", (b"1",), WHOLE))
            assert await blocks_of(store) == [BEGUN, b"1"]
            await write(store, "x", 0, b"3")

    async def test_without_events_nothing_is_fenced(self, path: Path) -> None:
        async with opened(path) as store:
            assert await write(store, "x", 0) == []
