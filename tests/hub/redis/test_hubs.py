"""Several hubs on one Redis."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync

from sse_middleware import Hub, Keep
from sse_middleware.wire.decoding import EventStreamDecoder, MessageEvent
from tests.patience import PATIENCE

from .server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]


class Client:
    """A subscriber, and what it has read."""

    def __init__(self, hub: Hub, topics: tuple[str, ...], options: dict[str, Any]) -> None:
        self.subscription = hub.subscribe(*topics, **options)
        self.data: list[Any] = []
        self.last_id = ""
        self._woken = anyio.Event()
        self._decoder = EventStreamDecoder()

    def wake(self) -> None:
        self._woken.set()

    async def until(self, count: int) -> list[Any]:
        """Read until there are this many events, or the subscription has ended."""
        with anyio.fail_after(PATIENCE):
            while len(self.data) < count and not self.subscription.ended:
                woken = self._woken = anyio.Event()
                while taken := self.subscription.take(1000):
                    events = self._decoder.feed(taken)
                    self.data += [one.data for one in events if isinstance(one, MessageEvent)]
                self.last_id = self._decoder.last_event_id
                if len(self.data) < count and not self.subscription.ended:
                    await woken.wait()
        return self.data


@asynccontextmanager
async def reading(
    hub: Hub, *topics: str, last_id: str = "", **options: Any
) -> AsyncIterator[Client]:
    client = Client(hub, topics, options)
    client.subscription.resume(last_id)
    await client.subscription.open(client.wake)
    try:
        yield client
    finally:
        client.subscription.close()


@pytest.fixture
async def hubs(shared_server: RedisServer, prefix: str) -> AsyncIterator[tuple[Hub, Hub]]:
    keep = Keep(count=10)
    async with (
        Hub(shared_server.url, prefix=prefix, keep=keep) as one,
        Hub(shared_server.url, prefix=prefix, keep=keep) as other,
    ):
        yield one, other


async def test_what_one_publishes_is_read_at_the_other(hubs: tuple[Hub, Hub]) -> None:
    one, other = hubs
    async with reading(one, "a") as here, reading(other, "a", "b") as there:
        await one.publish("a", 1)
        await other.publish("b", 2)
        await other.publish("a", 3)
        assert await here.until(2) == ["1", "3"]
        assert await there.until(3) == ["1", "2", "3"]


async def test_a_client_comes_back_to_the_other(hubs: tuple[Hub, Hub]) -> None:
    one, other = hubs
    async with reading(one, "a") as client:
        await one.publish("a", 1)
        await client.until(1)
    await one.publish("a", 2)
    async with reading(other, "a", last_id=client.last_id) as client:
        await one.publish("a", 3)
        assert await client.until(2) == ["2", "3"]


async def test_what_is_kept_no_longer_is_told(hubs: tuple[Hub, Hub]) -> None:
    one, other = hubs
    at = await other.position()
    for number in range(20):
        await one.publish("a", number)
    async with reading(other, "a", last_id=at) as client:
        data = await client.until(11)
        assert "expired" in data[0]
        assert data[1:] == [str(number) for number in range(10, 20)]


async def test_a_subject_is_disconnected_at_both(hubs: tuple[Hub, Hub]) -> None:
    one, other = hubs
    async with (
        reading(one, "a", subject="ann") as here,
        reading(other, "a", subject="ann") as there,
        reading(other, "a", subject="bob") as bob,
    ):
        await one.disconnect("ann")
        await here.until(1)
        await there.until(1)
        assert here.subscription.ended
        assert there.subscription.ended
        await one.publish("a", 1)
        assert await bob.until(1) == ["1"]


async def test_no_topic_hears_that_another_hub_begins(
    hubs: tuple[Hub, Hub],
    shared_server: RedisServer,
    prefix: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = hubs
    async with reading(one, "probe", "a") as client, Hub(shared_server.url, prefix=prefix):
        await other.publish("a", 1)
        assert await client.until(1) == ["1"]
    assert caplog.messages == [], "the connection that listens is still the same"


@pytest.mark.parametrize("once", [None, "x"])
async def test_after_a_restart_publish_returns_the_id_that_is_read(
    start_server: StartServer, once: str | None
) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")
    async with Hub(server.url) as hub:
        before = await hub.publish("a", 1, once=once)
        await run_sync(server.kill)
        await run_sync(server.start)
        at = await hub.publish("a", 1, once=once)
        assert at != before
        assert at == (await hub.history("a")).events[-1].id


async def test_a_position_holds_at_the_other(hubs: tuple[Hub, Hub]) -> None:
    one, other = hubs
    await one.publish("a", 1)
    at = await one.position()
    await other.publish("a", 2)
    async with reading(other, "a", after=at) as client:
        assert await client.until(1) == ["2"]
    assert [event.json() for event in (await one.history("a", after=at)).events] == [2]
