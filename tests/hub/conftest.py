"""Each kind of store, for the suite that all of them pass."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from sse_middleware.hub.abc import Store
from sse_middleware.hub.memory import MemoryStore

OpenStore = Callable[[], AbstractAsyncContextManager[Store]]


@asynccontextmanager
async def memory() -> AsyncIterator[Store]:
    yield MemoryStore()


@pytest.fixture(params=[memory])
def open_store(request: pytest.FixtureRequest) -> Any:
    """Return a function that opens a new store."""
    return request.param
