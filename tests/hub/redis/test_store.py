"""What only the store in Redis does: incarnations, pipelines, refusals and unknown outcomes."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anyio.to_thread import run_sync

from sse_middleware.errors import PublishUnknownError, StoreError
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.store import RedisStore, redis_maker
from tests.hub.test_contract import Heard, blocks

from .proxy import Proxy
from .server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]

KEEP = Keep()


@asynccontextmanager
async def opened(url: str, prefix: str = "shop", **options: Any) -> AsyncIterator[RedisStore]:
    options = {"durable": False, "client": None, **options}
    store = redis_maker(url, prefix=prefix, **options)()
    try:
        yield store
    finally:
        await store.aclose()


async def kept(store: RedisStore, topic: str = "a") -> list[bytes]:
    return blocks((await store.read((topic,), 0, 1000)).topics[topic].entries)


async def marks(store: RedisStore) -> list[int]:
    return [life.mark for life in (await store.read((), 0, 0)).state.incarnations]


class TestIncarnations:
    async def test_two_stores_are_in_one(self, shared_server: RedisServer, prefix: str) -> None:
        async with (
            opened(shared_server.url, prefix) as one,
            opened(shared_server.url, prefix) as other,
            opened(shared_server.url, prefix, durable=True) as durable,
        ):
            assert len(await marks(one)) == 1
            assert await marks(one) == await marks(other) == await marks(durable)
            await one.append("a", (b"1",), KEEP)
            assert await kept(other) == [b"1"]

    async def test_a_restart_begins_another_one(self, start_server: StartServer) -> None:
        server = start_server("--appendonly", "yes", "--appendfsync", "always")
        async with opened(server.url) as store:
            (clock,) = (await store.append("a", (b"1",), KEEP)).clocks
            (before,) = await marks(store)
            server.kill()
            await run_sync(server.start)
            state = (await store.read((), 0, 0)).state
            first, second = state.incarnations
            assert (first.mark, second.start) == (before, clock)
            assert await kept(store) == [b"1"]

    async def test_a_durable_store_has_one_only(self, start_server: StartServer) -> None:
        server = start_server("--appendonly", "yes", "--appendfsync", "always")
        async with opened(server.url, durable=True) as store:
            before = await marks(store)
            server.kill()
            await run_sync(server.start)
            assert await marks(store) == before

    async def test_the_latest_64_are_known(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            first = await marks(store)
            for number in range(63):
                server.ask("HSET", "{shop}:clock", "r", f"another{number}")
                latest = await marks(store)
            assert len(set(latest)) == 64
            assert latest[:1] == first
            server.ask("HSET", "{shop}:clock", "r", "another")
            assert (await marks(store))[:-1] == latest[1:]

    async def test_a_flushed_store_is_another_one(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            before = await marks(store)
            server.ask("FLUSHALL")
            assert not set(before) & set(await marks(store))


class TestClocks:
    async def test_a_clock_has_all_its_digits(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with opened(shared_server.url, prefix) as store:
            for _ in range(20):
                (clock,) = (await store.append("a", (b"1",), KEEP)).clocks
                assert abs(clock / 1e6 - time.time()) < 60
                assert (await store.read((), 0, 0)).state.clock == clock

    async def test_the_servers_clock_may_step_back(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        ahead = int((time.time() + 3600) * 1e6)
        async with opened(shared_server.url, prefix) as store:
            await store.read((), 0, 0)
            shared_server.ask("HSET", f"{{{prefix}}}:clock", "t", str(ahead))
            appended = await store.append("a", (b"1", b"2"), KEEP)
            assert appended.clocks == [ahead + 1, ahead + 2]

    @pytest.mark.parametrize("lost", ["clock", "clock last:a"])
    async def test_entries_survive_the_loss_of_the_clock(
        self, shared_server: RedisServer, prefix: str, lost: str
    ) -> None:
        ahead = int((time.time() + 3600) * 1e6)
        async with opened(shared_server.url, prefix) as store:
            await store.read((), 0, 0)
            shared_server.ask("HSET", f"{{{prefix}}}:clock", "t", str(ahead))
            await store.append("a", (b"1",), KEEP)
            shared_server.ask("DEL", *(f"{{{prefix}}}:{name}" for name in lost.split()))
            assert (await store.append("a", (b"2",), KEEP)).clocks == [ahead + 2]
            assert await kept(store) == [b"1", b"2"]


class TestPipelines:
    async def test_appends_that_begin_together_are_in_order(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        numbers = [b"%d" % number for number in range(500)]
        async with opened(shared_server.url, prefix) as store:
            await asyncio.gather(*(store.append("a", (one,), Keep(1000)) for one in numbers))
            assert await kept(store) == numbers

    async def test_more_topics_than_are_remembered(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        topics = [f"topic {number}" for number in range(1100)]
        async with opened(shared_server.url, prefix) as store:
            for end in (b" 1", b" 2"):
                appends = (store.append(one, (one.encode() + end,), KEEP) for one in topics)
                await asyncio.gather(*appends)
            found = (await store.read(topics, 0, 10)).topics
            assert {one: blocks(kept.entries) for one, kept in found.items()} == {
                one: [one.encode() + b" 1", one.encode() + b" 2"] for one in topics
            }

    async def test_a_topic_may_be_kept_in_another_way(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with opened(shared_server.url, prefix) as store:
            await store.append("a", (b"1", b"2"), KEEP)
            first = await store.append("a", (b"3",), Keep(count=2), once="x")
            assert await store.append("a", (b"4",), Keep(count=2), once="x") == first
            assert await kept(store) == [b"2", b"3"]
            await store.append("a", (b"5",), Keep(count=2))
            assert await kept(store) == [b"3", b"5"]

    async def test_an_append_that_is_cancelled_leaves_the_others_whole(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with opened(shared_server.url, prefix) as store:
            for passes in range(4):
                tasks = [
                    asyncio.create_task(store.append("a", (b"%d" % number,), Keep(1000)))
                    for number in range(100)
                ]
                for _ in range(passes):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                clocks = [task.result().clocks[0] for task in tasks if not task.cancelled()]
                assert len(clocks) >= 50
                entries = (await store.read(("a",), 0, 1000)).topics["a"].entries
                assert set(clocks) <= {entry.clock for entry in entries}

    async def test_scripts_that_are_gone_are_loaded_again(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            await store.append("a", (b"0",), KEEP)
            server.ask("SCRIPT", "FLUSH")
            numbers = [b"%d" % number for number in range(1, 50)]
            await asyncio.gather(*(store.append("a", (one,), KEEP) for one in numbers))
            assert await kept(store) == [b"0", *numbers]


class TestAway:
    async def test_nothing_was_written(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            server.kill()
            with pytest.raises(StoreError, match="Redis is away, and nothing was done"):
                await store.append("a", (b"1",), KEEP)
            await run_sync(server.start)
            await store.append("a", (b"2",), KEEP)
            assert await kept(store) == [b"2"]

    async def test_the_answer_was_lost(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            await store.append("a", (b"1",), KEEP, once="1")
            proxy.drop_replies = True
            async with asyncio.TaskGroup() as tasks:
                append = tasks.create_task(_unknown(store))
                await run_sync(
                    server.wait_until, lambda: server.ask("XLEN", "{shop}:events:a") == 2
                )
                proxy.cut()
            assert "publish it again with once=" in append.result()
            proxy.go_on()
            await store.append("a", (b"2",), KEEP, once="2")
            await store.append("a", (b"3",), KEEP, once="3")
            assert await kept(store) == [b"1", b"2", b"3"]

    async def test_a_full_server_refuses(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            await store.append("a", (b"1",), KEEP)
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
                await store.append("a", (b"2",), KEEP)
            await heard.wait()
            assert await kept(store) == heard.blocks() == [b"1"]

    async def test_a_key_of_somebody_else(self, shared_server: RedisServer, prefix: str) -> None:
        async with opened(shared_server.url, prefix) as store:
            shared_server.ask("SET", f"{{{prefix}}}:events:a", "mine")
            before = (await store.read((), 0, 0)).state.clock
            with pytest.raises(StoreError, match="WRONGTYPE"):
                await store.append("a", (b"1",), KEEP)
            assert (await store.read((), 0, 0)).state.clock == before

    async def test_a_primary_that_becomes_a_replica_is_left(
        self, start_server: StartServer
    ) -> None:
        old, new = start_server(), start_server()
        async with Proxy(old.port).running() as proxy, opened(proxy.url) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            await heard.wait()
            old.ask("REPLICAOF", "127.0.0.1", str(new.port))
            with pytest.raises(StoreError, match=r"ReadOnly|READONLY"):
                await heard.listener.tick()
            with pytest.raises(StoreError, match="the server is a replica"):
                await store.append("a", (b"1",), KEEP)
            proxy.target = new.port
            await store.append("a", (b"2",), KEEP)
            assert await kept(store) == [b"2"]

    async def test_what_waits_ends_with_the_store(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            await store.append("a", (b"1",), KEEP)
            proxy.stop_reading()
            sent = asyncio.create_task(_unknown(store))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await store.aclose()
            assert "it was" not in await sent
            with pytest.raises(StoreError, match="the hub was closed"):
                await store.append("a", (b"3",), KEEP)
            proxy.go_on()

    async def test_it_may_be_closed_while_it_connects(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            proxy.stop_reading()
            append = asyncio.create_task(store.append("a", (b"1",), KEEP))
            await asyncio.sleep(0)
            await store.aclose()
            with pytest.raises(StoreError, match="closed: nothing was done"):
                await append
            proxy.go_on()


async def _unknown(store: RedisStore) -> str:
    """Append an event whose outcome nobody knows. Returns the message."""
    with pytest.raises(PublishUnknownError) as caught:
        await store.append("a", (b"2",), KEEP, once="2")
    return str(caught.value)
