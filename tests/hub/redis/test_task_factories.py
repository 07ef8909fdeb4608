"""A task may begin, and even end, where an eager task factory makes it. No server runs here."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from sse_middleware import Hub
from sse_middleware.errors import StoreError
from sse_middleware.hub.redis.duplex import Duplex
from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.e2e,
    pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio has no eager tasks"),
]


@pytest.fixture(autouse=True)
async def eager() -> Any:
    loop: Any = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]
    yield
    loop.set_task_factory(before)


async def test_a_store_that_is_away_is_asked_again(tmp_path: Path) -> None:
    async with Hub(f"unix://{tmp_path}/redis.sock") as hub:
        for _ in range(2):
            with anyio.fail_after(PATIENCE), pytest.raises(StoreError):
                await hub.publish("topic", 1)


class LostConnection:
    async def read_response(self, **_options: bool) -> None:
        raise RedisConnectionError

    async def disconnect(self, **_options: bool) -> None:
        """Do nothing: it is lost."""


async def test_a_lost_connection_is_known_before_it_is_lost() -> None:
    lost: list[Duplex] = []
    duplex = Duplex(
        LostConnection(), bytes, lambda _reply: None, lambda _error: lost.append(duplex)
    )
    await duplex.wait_closed()
    assert lost == [duplex]
