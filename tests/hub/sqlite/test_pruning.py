"""What is no longer kept leaves the file, a little with each append."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sse_middleware.hub.abc import DAY, ONCE_SECONDS
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.sqlite.store import wall_clock
from sse_middleware.hub.sqlite.tables import LAG, SECOND
from tests.hub.sqlite.conftest import opened

pytestmark = pytest.mark.anyio


class Clock:
    """A time that passes as a test wants."""

    def __init__(self) -> None:
        self.now = wall_clock()

    def __call__(self) -> int:
        return self.now

    def pass_by(self, microseconds: int) -> None:
        self.now += microseconds


def count(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return number


async def test_topics_that_have_expired(path: Path) -> None:
    now = Clock()
    async with opened(path, now=now) as store:
        for number in range(50):
            await store.append(f"t{number}", (b"1", b"2"), Keep(seconds=10))
        now.pass_by(11 * SECOND)
        await store.append("other", (b"x",), Keep(1))
        assert count(path, "hub_events") >= 1 + 2 * 48, "an append removes a little only"
        for _ in range(60):
            await store.append("other", (b"x",), Keep(1))
        assert count(path, "hub_topics") == 51
        now.pass_by(DAY)
        for _ in range(60):
            await store.append("other", (b"x",), Keep(1))
        now.pass_by(LAG + SECOND)
        for _ in range(60):
            await store.append("other", (b"x",), Keep(1))
        assert count(path, "hub_topics") == 1
        now.pass_by(LAG + SECOND)
        for _ in range(60):
            await store.append("other", (b"x",), Keep(1))
        assert count(path, "hub_events") == 60


async def test_events_that_are_no_longer_kept(path: Path) -> None:
    now = Clock()
    async with opened(path, now=now) as store:
        for _ in range(1000):
            await store.append("a", (b"x",) * 3, Keep(10))
            now.pass_by(LAG // 50)
        assert count(path, "hub_events") <= 10 + 3 * 51


async def test_a_burst_of_which_little_is_kept(path: Path) -> None:
    now = Clock()
    async with opened(path, now=now) as store:
        await store.append("a", (b"x",) * 500, Keep(1, seconds=3600))
        assert count(path, "hub_events") == 500
        now.pass_by(LAG + SECOND)
        for _ in range(40):
            await store.append("b", (b"x",), Keep(0))
        assert count(path, "hub_events") == 1 + 40
        assert [entry.block for entry in (await store.read(("a",), 0, 9)).topics["a"].entries]


async def test_nothing_is_remembered_of_once_for_long(path: Path) -> None:
    now = Clock()
    async with opened(path, now=now) as store:
        for number in range(20):
            await store.append("a", (b"x",), Keep(), once=str(number))
        now.pass_by((ONCE_SECONDS + 1) * SECOND)
        for number in range(20):
            await store.append("a", (b"x",), Keep(), once=f"later {number}")
        assert count(path, "hub_once") == 20


async def test_a_topic_that_is_kept_for_ever(path: Path) -> None:
    async with opened(path) as store:
        await store.append("a", (b"x",), Keep(seconds=1e300))
        assert (await store.read(("a",), 0, 9)).topics["a"].entries
