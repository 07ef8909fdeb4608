"""Redis servers, and hubs on them. These tests run in real time, on asyncio."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from sse_middleware.hub.abc import Store
from sse_middleware.hub.redis.store import redis_maker

from .server import RedisServer, needed

_numbers = count()


@pytest.fixture
def anyio_backend() -> str:
    """Run each test on asyncio, in real time."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server of all tests that do it no harm."""
    needed()
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Return a function that starts a server of the test's own."""
    needed()
    started: list[RedisServer] = []

    def start(*options: str) -> RedisServer:
        server = RedisServer(tmp_path / f"redis{len(started)}", *options)
        started.append(server)
        return server

    yield start
    for server in started:
        server.kill()


@pytest.fixture
def prefix() -> str:
    """Return a prefix that no other test has."""
    return f"test{next(_numbers)}"


@pytest.fixture
def open_store(shared_server: RedisServer) -> Any:
    """Return a function that opens a new store: each has a prefix of its own."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[Store]:
        prefix = f"test{next(_numbers)}"
        store = redis_maker(shared_server.url, prefix=prefix, durable=False, client=None)()
        try:
            yield store
        finally:
            await store.aclose()

    return opened


@pytest.fixture
def pass_time(shared_server: RedisServer) -> Any:
    """Return a function that ages the keys: the server's clock can't be moved."""

    async def passed(seconds: float) -> None:
        shared_server.age(seconds)

    return passed
