"""Workers of one store, in memory or in a file."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sse_middleware import Hub
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.hub.sqlite.store import SQLiteStore
from sse_middleware.testing import VirtualTime
from tests.hub.conftest import shared_clock
from tests.hub.runs.kit import Workers


@pytest.fixture
def memory_workers() -> Workers:
    """Return workers that share a store in memory."""
    shared: list[MemoryStore] = []

    def store() -> MemoryStore:
        if not shared:
            shared.append(MemoryStore())
        return shared[0]

    return Workers(store)


@pytest.fixture
def file_workers(tmp_path: Path, virtual_time: VirtualTime) -> Workers:
    """Return workers that share a file.

    They wake each other by sockets, which take real time. So a test must not measure them.
    """
    clock = shared_clock(virtual_time)
    return Workers(lambda: SQLiteStore(str(tmp_path / "hub.db"), now=clock))


@pytest.fixture(params=["memory_workers", "file_workers"])
def workers(request: pytest.FixtureRequest) -> Any:
    """Return workers that share a store of each kind."""
    return request.getfixturevalue(request.param)


@pytest.fixture
async def hub(memory_workers: Workers) -> AsyncIterator[Hub]:
    """Return an open hub in memory."""
    async with memory_workers.hub() as opened:
        yield opened
