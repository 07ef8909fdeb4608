"""Two processes of an application share a hub in Redis."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from anyio.to_thread import run_sync

from sse_middleware import Publisher
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.e2e.workers import Worker, started
from tests.patience import PATIENCE

from .server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]


@pytest.fixture
def workers(shared_server: RedisServer, tmp_path: Path) -> Iterator[list[Worker]]:
    """Two servers of the same application."""
    environment = {"HUB_URL": shared_server.url}
    with started(2, "tests.hub.redis.app:app", environment, tmp_path) as workers:
        yield workers


class Stream:
    """An open stream, and its place."""

    def __init__(self, response: httpx.Response, last_id: str) -> None:
        self._pieces = response.aiter_bytes()
        self._decoder = EventStreamDecoder(last_event_id=last_id)
        self._events: list[MessageEvent] = []

    @property
    def last_id(self) -> str:
        return self._decoder.last_event_id

    async def primed(self) -> None:
        """Read until there is an id."""
        while not self.last_id:
            await self._read()

    async def next(self) -> object:
        """Return the next event's data, or ``None`` at the end."""
        while not self._events:
            if not await self._read():
                return None
        event = self._events.pop(0)
        assert event.type == "message", event
        return json.loads(event.data)

    async def _read(self) -> bool:
        try:
            piece = await anext(self._pieces)
        except (StopAsyncIteration, httpx.RemoteProtocolError, httpx.ReadError):
            return False
        self._events += [one for one in self._decoder.feed(piece) if isinstance(one, MessageEvent)]
        return True


@asynccontextmanager
async def streaming(
    client: httpx.AsyncClient, worker: Worker, *, last_id: str = "", subject: str = "ann"
) -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    url = f"{worker.url}/events?subject={subject}"
    async with client.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200
        stream = Stream(response, last_id)
        await stream.primed()
        yield stream


async def publish(client: httpx.AsyncClient, worker: Worker, text: str) -> None:
    response = await client.post(f"{worker.url}/publish", content=text)
    assert response.status_code == 200, response.text


async def test_a_worker_is_killed_and_its_client_goes_on_at_the_other(
    workers: list[Worker], shared_server: RedisServer
) -> None:
    one, other = workers
    with anyio.fail_after(PATIENCE), Publisher(shared_server.url, prefix="app") as publisher:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            async with streaming(client, one) as stream:
                await publish(client, other, "1")
                await publish(client, one, "2")
                assert [await stream.next() for _ in range(2)] == ["1", "2"]
                one.kill()
                assert await stream.next() is None
            await publish(client, other, "3")
            await run_sync(publisher.publish, "a", "4")
            async with streaming(client, other, last_id=stream.last_id) as stream:
                await run_sync(publisher.publish, "a", "5")
                assert [await stream.next() for _ in range(3)] == ["3", "4", "5"]


async def test_a_subject_is_disconnected_on_every_worker(workers: list[Worker]) -> None:
    one, other = workers
    with anyio.fail_after(PATIENCE):
        async with (
            httpx.AsyncClient(timeout=PATIENCE) as client,
            streaming(client, one, subject="ann") as here,
            streaming(client, other, subject="ann") as there,
            streaming(client, other, subject="bob") as bob,
        ):
            response = await client.post(f"{one.url}/disconnect?subject=ann")
            assert response.status_code == 204
            assert await here.next() is None
            assert await there.next() is None
            await publish(client, one, "1")
            assert await bob.next() == "1"
