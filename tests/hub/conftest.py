"""Each kind of store, for the suite that all of them pass."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import count
from pathlib import Path

import anyio
import pytest

from sse_middleware.hub.abc import Store
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.hub.sqlite.store import SQLiteStore
from sse_middleware.testing import VirtualTime

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]

PassTime = Callable[[float], Awaitable[None]]


@asynccontextmanager
async def memory() -> AsyncIterator[Store]:
    yield MemoryStore()


@pytest.fixture(params=["memory", "sqlite"])
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, virtual_time: VirtualTime
) -> OpenStore:
    """Return a function that opens a new store."""
    numbers = count()

    @asynccontextmanager
    async def sqlite() -> AsyncIterator[Store]:
        path = tmp_path / f"{next(numbers)}.db"
        store = SQLiteStore(str(path), now=shared_clock(virtual_time))
        try:
            yield store
        finally:
            await store.aclose()

    return memory if request.param == "memory" else sqlite


@pytest.fixture
def pass_time() -> PassTime:
    """Return a function that lets time pass for what a store keeps, in seconds."""
    return anyio.sleep


def shared_clock(virtual_time: VirtualTime) -> Callable[[], int]:
    """Return the time for a store, in microseconds. It passes as the event loop's does."""
    began = time.time_ns() // 1000
    return lambda: began + int(virtual_time.elapsed * 1e6)
