"""Stores on one file. Threads and sockets take real time, so these tests do."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from sse_middleware.hub.abc import Entry, Store
from sse_middleware.hub.sqlite.file import OpenFile
from sse_middleware.hub.sqlite.store import SQLiteStore, wall_clock
from tests.patience import PATIENCE

SOON = PATIENCE
"""Seconds that anything takes at most."""


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@asynccontextmanager
async def opened(
    path: Path, *, durable: bool = False, now: Callable[[], int] = wall_clock
) -> AsyncIterator[SQLiteStore]:
    store = SQLiteStore(str(path), durable=durable, now=now)
    try:
        yield store
    finally:
        await store.aclose()


@contextmanager
def busy(store: SQLiteStore) -> Iterator[None]:
    """Keep a store's thread from doing anything within the block."""
    begun, gate = threading.Event(), threading.Event()

    def wait(*_: object) -> None:
        begun.set()
        gate.wait(SOON)

    store._thread.submit(wait, writes=False)
    assert begun.wait(SOON)
    try:
        yield
    finally:
        gate.set()


async def in_thread(store: SQLiteStore, act: Callable[[OpenFile], Any]) -> Any:
    """Have a store's thread do something with its open file."""

    def work(*_: object) -> Any:
        assert store._session._file is not None
        return act(store._session._file)

    return await store._thread.submit(work, writes=False).wait()


class Heard:
    """A listener, and what it heard."""

    def __init__(self, store: Store) -> None:
        self.events: list[tuple[str, Entry, int]] = []
        self.broken = 0
        self._changed = anyio.Event()
        self.ticks: list[tuple[int, int]] = []
        self.listener = store.listen(self._on_event, self._on_tick, self._on_broken)

    def _on_event(self, topic: str, entry: Entry, mark: int) -> None:
        self.events.append((topic, entry, mark))
        self._changed.set()

    def _on_tick(self, clock: int, mark: int) -> None:
        self.ticks.append((clock, mark))

    def _on_broken(self) -> None:
        self.broken += 1
        self._changed.set()

    @property
    def blocks(self) -> list[bytes]:
        return [entry.block for _, entry, _ in self.events]

    async def until(self, holds: Callable[["Heard"], object]) -> None:
        """Wait until something holds."""
        with anyio.fail_after(SOON):
            while not holds(self):
                self._changed = anyio.Event()
                await self._changed.wait()
