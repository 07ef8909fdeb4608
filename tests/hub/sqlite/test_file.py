"""Files that are replaced, deleted, copied, or opened after the machine was started again."""
# ruff: noqa: ASYNC240 - what blocks the event loop for a moment does no harm here

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from sse_middleware.errors import StoreError
from sse_middleware.hub.gaps import judge
from sse_middleware.hub.hub import Hub
from sse_middleware.hub.ids import Position
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.sqlite import file as file_module
from sse_middleware.hub.sqlite.file import OpenFile
from tests.hub.sqlite.conftest import Heard, in_thread, opened
from tests.hub.subscribers import subscribed

pytestmark = pytest.mark.anyio

KEEP = Keep()


def everything_of(path: Path) -> Iterator[Path]:
    return path.parent.glob(f"{path.name}*")


class TestReplaced:
    @pytest.mark.parametrize("suffixes", [("",), ("", "-wal", "-shm")])
    async def test_a_file_that_is_deleted(self, path: Path, suffixes: tuple[str, ...]) -> None:
        async with opened(path) as one, opened(path) as other:
            heard = Heard(other)
            await heard.listener.add(("a",))
            await one.append("a", (b"1",), KEEP)
            await heard.until(lambda found: found.events)
            before = (await one.read((), 0, 0)).state
            for suffix in suffixes:
                Path(f"{path}{suffix}").unlink()
            await one.append("a", (b"2",), KEEP)
            await heard.until(lambda found: found.broken)
            for store in (one, other):
                snapshot = await store.read(("a",), 0, 10)
                assert [entry.block for entry in snapshot.topics["a"].entries] == [b"2"]
                (incarnation,) = snapshot.state.incarnations
                assert incarnation.mark != before.mark
            await heard.listener.add(("a",))
            await one.append("a", (b"3",), KEEP)
            await heard.until(lambda found: found.blocks[-1:] == [b"3"])
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()

    async def test_a_file_that_is_deleted_and_made_by_another_worker(self, path: Path) -> None:
        async with opened(path) as one, opened(path) as other:
            await one.append("a", (b"1",), KEEP)
            path.unlink()
            await other.append("b", (b"2",), KEEP)
            for store in (other, one):
                assert (await store.read(("a",), 0, 10)).topics["a"].last is None
                assert (await store.read(("b",), 0, 10)).topics["b"].entries
            await one.append("a", (b"3",), KEEP)
        check = sqlite3.connect(path)
        assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        check.close()

    async def test_a_file_that_is_moved_is_whole(self, path: Path) -> None:
        async with opened(path) as store:
            clocks = (await store.append("a", (b"1",), KEEP)).clocks
            moved = path.rename(path.with_suffix(".moved"))
            await store.append("a", (b"2",), KEEP)
        async with opened(moved) as store:
            entries = (await store.read(("a",), 0, 10)).topics["a"].entries
            assert [entry.clock for entry in entries] == clocks

    async def test_a_file_that_is_deleted_before_the_answer(self, path: Path) -> None:
        async with opened(path) as store:
            await store.read((), 0, 0)

            def append(tables: object, now: int) -> object:
                appended = tables.append("a", (b"1",), KEEP, None, now)  # type: ignore[attr-defined]
                if not runs:
                    path.unlink()
                runs.append(now)
                return appended

            runs: list[int] = []
            appended = await store._thread.submit(append, writes=True).wait()
            kept = (await store.read(("a",), 0, 10)).topics["a"]
            assert [entry.clock for entry in kept.entries] == appended.clocks

    @pytest.mark.parametrize("logs_stay", [True, False])
    async def test_an_older_copy(self, path: Path, logs_stay: bool) -> None:
        async with opened(path) as store:
            await store.append("a", (b"1",), KEEP)
            copy = path.with_suffix(".copy")
            _backup(path, copy)
            (lost,) = (await store.append("a", (b"2",), KEEP)).clocks
            before = (await store.read((), 0, 0)).state
            if not logs_stay:
                for suffix in ("-wal", "-shm"):
                    Path(f"{path}{suffix}").unlink()
            copy.replace(path)
            (clock,) = (await store.append("a", (b"3",), KEEP)).clocks
            snapshot = await store.read(("a",), 0, 10)
            assert [entry.block for entry in snapshot.topics["a"].entries] == [b"1", b"3"]
            assert [one.mark for one in snapshot.state.incarnations][:-1] == [before.mark]
            verdict = judge(Position(lost, before.mark), snapshot.state)
            assert verdict.reason == "lost"
            assert verdict.clock is not None
            assert verdict.clock < clock

    async def test_subscribers_are_told(self, path: Path) -> None:
        async with Hub(f"sqlite:///{path}") as hub, subscribed(hub, "a") as taken:
            await hub.publish("a", 1)
            for one in everything_of(path):
                if one.is_file():
                    one.unlink()
            await hub.publish("a", 2)
            subscription = hub.subscribe("a")
            subscription.resume(taken.last_id)
            await subscription.open(bool)
            found = b""
            while b"data: 2" not in found:
                found += subscription.take(1000)
                await hub.position()
            assert b'"reason":"reset"' in found
            subscription.close()

    async def test_a_log_without_its_file(self, path: Path) -> None:
        async with opened(path) as store:
            await store.append("a", (b"1",), KEEP)
            for suffix in ("-wal", "-shm"):
                shutil.copy(f"{path}{suffix}", f"{path}{suffix}.old")
        path.unlink()
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}.old").rename(f"{path}{suffix}")
        async with opened(path) as store:
            assert (await store.read(("a",), 0, 10)).topics["a"].last is None
            await store.append("a", (b"2",), KEEP)


def _backup(path: Path, copy: Path) -> None:
    source, target = sqlite3.connect(path), sqlite3.connect(copy)
    source.backup(target)
    source.close()
    target.close()


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that names the boot of the machine."""
    found = tmp_path / "boot_id"
    found.write_text("first\n")
    monkeypatch.setattr(file_module, "_BOOT", str(found))
    return found


async def marks(path: Path, *, durable: bool = False) -> list[int]:
    async with opened(path, durable=durable) as store:
        await store.append("a", (b"1",), KEEP)
        state = (await store.read((), 0, 0)).state
        assert state.incarnations[-1].start < state.clock
        return [one.mark for one in state.incarnations]


class TestBoots:
    async def test_each_boot_begins_an_incarnation(self, path: Path, boot: Path) -> None:
        first = await marks(path)
        assert await marks(path) == first
        boot.write_text("second\n")
        both = await marks(path)
        assert len(both) == 2
        assert both[:1] == first
        assert await marks(path) == both

    async def test_what_is_durable_goes_on(self, path: Path, boot: Path) -> None:
        first = await marks(path, durable=True)
        boot.write_text("second\n")
        assert await marks(path, durable=True) == first
        assert await marks(path) == first, "nothing was lost until now"
        boot.write_text("third\n")
        second = await marks(path, durable=True)
        assert len(second) == 2, "something may have been lost before"
        boot.write_text("fourth\n")
        assert await marks(path, durable=True) == second

    async def test_where_the_boot_is_not_known_everything_is_durable(
        self, path: Path, boot: Path
    ) -> None:
        assert await synchronous(path) == 1
        assert await synchronous(path, durable=True) == 2
        boot.unlink()
        assert await synchronous(path) == 2
        path.unlink()
        assert await marks(path) == await marks(path)

    async def test_old_ones_are_forgotten(self, path: Path, boot: Path) -> None:
        for number in range(40):
            boot.write_text(str(number))
            found = await marks(path)
        assert len(found) == 32


async def synchronous(path: Path, *, durable: bool = False) -> int:
    def ask(file: OpenFile) -> int:
        number: int = file.connection.execute("PRAGMA synchronous").fetchone()[0]
        return number

    async with opened(path, durable=durable) as store:
        found: int = await in_thread(store, ask)
        return found


async def test_a_file_of_another_version(path: Path) -> None:
    await marks(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE hub_store SET version = 0")
    connection.close()
    async with opened(path) as store:
        with pytest.raises(StoreError, match="another version of this package"):
            await store.read((), 0, 0)
