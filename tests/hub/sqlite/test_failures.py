"""A file that can't be used for a while. What was acknowledged stays, and the store recovers."""
# ruff: noqa: ASYNC240 - what blocks the event loop for a moment does no harm here

import codecs
import os
import resource
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from sse_middleware.errors import HubError, StoreError
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.sqlite import jobs
from sse_middleware.hub.sqlite.store import SQLiteStore
from tests.hub.sqlite.conftest import SOON, Heard, in_thread, opened

pytestmark = pytest.mark.anyio

KEEP = Keep()
NOBODY = 65534


async def blocks(store: SQLiteStore) -> list[bytes]:
    return [entry.block for entry in (await store.read(("a",), 0, 1000)).topics["a"].entries]


class Locked:
    """A lock that another program holds."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        self._connection.execute("COMMIT")
        self._connection.close()


class TestLocked:
    async def test_appends_wait_and_reads_go_on(self, path: Path) -> None:
        async with opened(path) as store:
            await store.append("a", (b"1",), KEEP)
            lock, done = Locked(path), list[bytes]()

            async def append(block: bytes) -> None:
                await store.append("a", (block,), KEEP)
                done.append(block)

            async with anyio.create_task_group() as tasks:
                for block in (b"2", b"3"):
                    tasks.start_soon(append, block)
                while not store._session.held:
                    assert await blocks(store) == [b"1"]
                lock.release()
            assert sorted(done) == [b"2", b"3"]
            assert sorted(await blocks(store)) == [b"1", b"2", b"3"]

    async def test_who_listens_may_listen_to_more(self, path: Path) -> None:
        async with opened(path) as one, opened(path) as other:
            heard = Heard(one)
            await heard.listener.add(("a",))
            lock = Locked(path)
            await heard.listener.add(("b",))
            lock.release()
            await other.append("b", (b"1",), KEEP)
            await heard.until(lambda found: found.events)

    async def test_for_too_long(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with opened(path) as store:
            await store.read((), 0, 0)
            monkeypatch.setattr(jobs, "PATIENCE", 0.1)
            lock = Locked(path)
            with pytest.raises(StoreError, match="another process has locked it for too long"):
                await store.append("a", (b"1",), KEEP)
            lock.release()
            await store.append("a", (b"2",), KEEP)
            assert await blocks(store) == [b"2"]

    async def test_while_it_is_opened(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with opened(path) as store:
            await store.append("a", (b"1",), KEEP)
        lock = Locked(path)
        async with opened(path) as store:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(store.append, "a", (b"2",), KEEP)
                with anyio.fail_after(SOON):
                    while not store._session.held:
                        await anyio.lowlevel.checkpoint()
                lock.release()
            assert await blocks(store) == [b"1", b"2"]

    async def test_a_store_that_is_closed_does_not_wait(self, path: Path) -> None:
        async with opened(path) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            lock = Locked(path)
            async with anyio.create_task_group() as tasks:

                async def append() -> None:
                    with pytest.raises(StoreError, match="locked"):
                        await store.append("a", (b"1",), KEEP)

                tasks.start_soon(append)
                with anyio.fail_after(SOON):
                    while not store._session.held:
                        await anyio.lowlevel.checkpoint()
                await store.aclose()
            lock.release()
            with pytest.raises(StoreError, match="the hub is closed"):
                await store.append("a", (b"1",), KEEP)


class TestUnusable:
    async def test_no_database(self, path: Path) -> None:
        path.write_text("This is a letter, and no database. " * 100)
        async with opened(path) as store:
            for _ in range(2):
                with pytest.raises(StoreError, match="it is no database of SQLite"):
                    await store.append("a", (b"1",), KEEP)
            path.unlink()
            await store.append("a", (b"2",), KEEP)
            assert await blocks(store) == [b"2"]

    async def test_no_directory(self, path: Path) -> None:
        path = path.parent / "later" / "events.db"
        async with Hub(f"sqlite:///{path}") as hub:
            with pytest.raises(HubError, match="its directory can't be used"):
                await hub.publish("a", 1)
            path.parent.mkdir()
            await hub.publish("a", 2)
            assert [event.json() for event in (await hub.history("a")).events] == [2]

    async def test_a_directory_in_its_place(self, path: Path) -> None:
        path.mkdir()
        async with opened(path) as store:
            with pytest.raises(StoreError, match="it can't be opened"):
                await store.append("a", (b"1",), KEEP)

    async def test_a_file_that_is_damaged(self, path: Path) -> None:
        async with opened(path) as store:
            await store.append("a", (b"x" * 100_000,), KEEP)
        content = path.read_bytes()
        path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
        async with opened(path) as store:
            with pytest.raises(StoreError, match="it is damaged"):
                await store.append("a", (b"1",), KEEP)
            path.write_bytes(content)
            await store.append("a", (b"2",), KEEP)
            assert (await blocks(store))[1:] == [b"2"]

    async def test_news_that_can_not_be_read(self, path: Path) -> None:
        async with opened(path) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            other = sqlite3.connect(path)
            other.execute("ALTER TABLE hub_store RENAME COLUMN pruned TO away")
            await heard.until(lambda found: found.broken)
            with pytest.raises(StoreError, match="no such column: pruned"):
                await heard.listener.tick()
            other.execute("ALTER TABLE hub_store RENAME COLUMN away TO pruned")
            other.close()
            await heard.listener.add(("a",))
            await store.append("a", (b"1",), KEEP)
            assert heard.blocks == [b"1"]


class TestFull:
    async def test_a_full_disk(self, path: Path) -> None:
        async with opened(path) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            await store.append("a", (b"1",), KEEP)
            await in_thread(store, lambda file: file.connection.execute("PRAGMA max_page_count=1"))
            for _ in range(2):
                with pytest.raises(StoreError, match="the disk is full"):
                    await store.append("a", (b"x" * 100_000,), KEEP)
            assert await blocks(store) == [b"1"]
            await in_thread(
                store, lambda file: file.connection.execute("PRAGMA max_page_count=100000")
            )
            await store.append("a", (b"2",), KEEP)
            assert await blocks(store) == [b"1", b"2"]
            assert heard.blocks == [b"1", b"2"]
            assert not heard.broken

    async def test_a_file_that_can_not_grow(self, path: Path) -> None:
        acknowledged = list[int]()

        async def fill(store: SQLiteStore) -> None:
            for number in range(1000):
                await store.append("a", (b"%d" % number + b"x" * 10_000,), Keep(1000))
                acknowledged.append(number)

        async with opened(path) as store:
            await store.read((), 0, 0)
            fails = pytest.raises(StoreError, match=r"it can't be read or written|disk is full")
            with files_of_at_most(1 << 20), fails:
                await fill(store)
            await store.append("a", (b"1000x",), Keep(1000))
            assert acknowledged
            found = [int(block.partition(b"x")[0]) for block in await blocks(store)]
            assert found == [*acknowledged, 1000]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let no file of this process grow larger within the block."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """Return a directory that may be made read-only. The superuser may write into any."""
    directory = Path(tempfile.mkdtemp())
    codecs.lookup("ascii")  # nobody can't import it
    own = os.geteuid()
    if own == 0:
        os.chown(directory, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    yield directory
    if own == 0:
        os.seteuid(0)
    shutil.rmtree(directory)


class TestReadOnly:
    async def test_a_directory_that_nobody_can_look_into(self, unprivileged: Path) -> None:
        async with opened(unprivileged / "events.db") as store:
            await store.append("a", (b"1",), KEEP)
            unprivileged.chmod(0o000)
            assert await blocks(store) == [b"1"]
            unprivileged.chmod(0o755)
            await store.append("a", (b"2",), KEEP)
            assert await blocks(store) == [b"1", b"2"]

    async def test_a_directory(self, unprivileged: Path) -> None:
        unprivileged.chmod(0o555)
        async with opened(unprivileged / "events.db") as store:
            with pytest.raises(StoreError, match=r"its directory can't be used.*denied"):
                await store.append("a", (b"1",), KEEP)
            unprivileged.chmod(0o755)
            await store.append("a", (b"2",), KEEP)
            assert await blocks(store) == [b"2"]

    async def test_a_file(self, unprivileged: Path) -> None:
        path = unprivileged / "events.db"
        async with opened(path) as store:
            await store.append("a", (b"1",), KEEP)
        path.chmod(0o444)
        async with opened(path) as store:
            with pytest.raises(StoreError, match="it is read-only"):
                await store.append("a", (b"2",), KEEP)
            path.chmod(0o644)
            await store.append("a", (b"3",), KEEP)
            assert await blocks(store) == [b"1", b"3"]


def test_an_event_loop_that_ends_before_the_store_is_closed(path: Path) -> None:
    async def main() -> SQLiteStore:
        store = SQLiteStore(str(path))
        await store.append("a", (b"1",), KEEP)
        return store

    store = anyio.run(main)
    store._thread._wake()
    store._thread.join(SOON)
    assert not store._thread.is_alive()
    assert [one.fileno() for one in (store._thread._waker, store._thread._woken)] == [-1, -1]
    store._thread._wake()  # too late, and harmless
