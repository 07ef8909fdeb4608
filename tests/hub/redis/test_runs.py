"""What only the store in Redis does with runs: several stores, losses, and unknown outcomes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from anyio.to_thread import run_sync

from sse_middleware.errors import PublishUnknownError, StoreError
from sse_middleware.hub.abc import Appended
from sse_middleware.hub.keep import Keep
from sse_middleware.hub.redis.store import RedisStore
from sse_middleware.hub.run import (
    FencedError,
    NewRun,
    RunAppend,
    RunState,
    end_marker,
    start_marker,
)
from tests.e2e.client import HOST
from tests.hub.test_contract import BEGUN, WHOLE, Heard, begin, blocks, found, texts_of, write

from .proxy import Proxy
from .server import RedisServer
from .test_store import marks, opened

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]


class TestSeveralStores:
    async def test_they_see_the_same_run(self, shared_server: RedisServer, prefix: str) -> None:
        async with (
            opened(shared_server.url, prefix) as one,
            opened(shared_server.url, prefix) as other,
            opened(shared_server.url, prefix, durable=True) as durable,
        ):
            run = await begin(one, "x", limit=2.5)
            await write(one, "x", 0, b"1")
            for store in (other, durable):
                assert (await begin(store, "y")).token == "x"
                assert (await found(store)).start == run.start
                assert (await found(store)).unwatched_limit == 2.5
                with pytest.raises(FencedError, match="another run is in its place"):
                    await write(store, "y", 1, b"2")
            assert await other.stop_run("r") is not None
            renewed = await one.renew_run("r", "x", WHOLE, 10)
            assert renewed is not None
            assert renewed.stopping
            await write(one, "x", 1, end=RunState.STOPPED)
            assert (await found(durable)).state == "stopped"
            assert await texts_of(other) == [BEGUN, b"1", end_marker(RunState.STOPPED)]
            assert len(await marks(one)) == 1

    async def test_one_of_many_begins(self, shared_server: RedisServer, prefix: str) -> None:
        async with (
            opened(shared_server.url, prefix) as one,
            opened(shared_server.url, prefix) as other,
        ):
            runs = await asyncio.gather(
                *(begin(store, f"{number}") for number in range(20) for store in (one, other))
            )
            assert len({(run.token, run.start) for run in runs}) == 1
            assert await texts_of(one) == [start_marker(runs[0].token)]


class TestLosses:
    async def test_a_flush_fences_the_producer(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            await begin(store, "x")
            await write(store, "x", 0, b"1")
            server.ask("FLUSHALL")
            with pytest.raises(FencedError, match="there is no run any more"):
                await write(store, "x", 1, b"2")
            assert await store.renew_run("r", "x", WHOLE, 10) is None
            assert await texts_of(store) == []

    async def test_an_old_snapshot_fences_the_producer(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            await begin(store, "x")
            await write(store, "x", 0, b"1")
            server.ask("SAVE")
            await write(store, "x", 1, b"2")
            server.kill()
            await run_sync(server.start)
            with pytest.raises(FencedError, match="lost what was appended before"):
                await write(store, "x", 2, b"3")
            assert await texts_of(store) == [BEGUN, b"1"]
            assert len(await marks(store)) == 2

    async def test_each_script_sees_a_new_server(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            calls: tuple[Callable[[], Awaitable[object]], ...] = (
                lambda: begin(store, "x"),
                lambda: write(store, "x", 0, b"1"),
                lambda: store.find_run("r"),
                lambda: store.renew_run("r", "x", WHOLE, 10),
                lambda: store.stop_run("r"),
            )
            for number, call in enumerate(calls, 1):
                server.ask("HSET", "{shop}:clock", "r", "another")
                await call()
                incarnations = server.ask("HGET", "{shop}:clock", "i")
                assert incarnations.count(";") == number

    async def test_scripts_that_are_gone_are_loaded_again(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            server.ask("SCRIPT", "FLUSH")
            await begin(store, "x")
            server.ask("SCRIPT", "FLUSH")
            await asyncio.gather(*(write(store, "x", one, b"%d" % one) for one in range(9)))
            server.ask("SCRIPT", "FLUSH")
            await store.renew_run("r", "x", WHOLE, 10)
            server.ask("SCRIPT", "FLUSH")
            await store.stop_run("r")
            server.ask("SCRIPT", "FLUSH")
            assert (await found(store)).stopping
            assert await texts_of(store) == [BEGUN, *(b"%d" % one for one in range(9))]


class TestUnknownOutcomes:
    async def test_a_begin_is_repeated(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            await begin(store, "x")
            proxy.drop_replies = True
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(_unknown(begin(store, "y", restart=True)))
                await run_sync(server.wait_until, lambda: _token(server) == "y")
                proxy.cut()
            assert "begin it again with the same token" in lost.result()
            proxy.go_on()
            start = int(server.ask("HGET", "{shop}:run:r", "start"))
            run = await begin(store, "y", restart=True)
            assert (run.token, run.start) == ("y", start)
            assert await texts_of(store) == [start_marker("y")]

    async def test_an_append_is_repeated(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            await begin(store, "x")
            proxy.drop_replies = True
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(_unknown(write(store, "x", 0, b"1")))
                await run_sync(server.wait_until, lambda: _length(server) == 2)
                proxy.cut()
            assert "append it again with the same number" in lost.result()
            proxy.go_on()
            assert await write(store, "x", 0, b"1") == []
            await write(store, "x", 1, b"2")
            assert await texts_of(store) == [BEGUN, b"1", b"2"]

    async def test_a_stop_is_repeated(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            await begin(store, "x")
            proxy.drop_replies = True
            async with asyncio.TaskGroup() as tasks:
                lost = tasks.create_task(_lost(store))
                await run_sync(
                    server.wait_until, lambda: server.ask("HGET", "{shop}:run:r", "stop") == "1"
                )
                proxy.cut()
            assert "the answer was lost" in lost.result()
            proxy.go_on()
            run = await store.stop_run("r")
            assert run is not None
            assert run.stopping

    async def test_a_server_is_paused(self, start_server: StartServer) -> None:
        """It does what it was sent when it goes on, unless the lease is over by then."""
        server = start_server()
        keep = Keep(count=WHOLE.count, seconds=60)
        async with opened(server.url) as store:
            for topic, seconds in (("r", 60), ("short", 1)):
                await store.begin_run(topic, NewRun("x", keep, seconds))

            def append(topic: str) -> Awaitable[Appended]:
                return store.append(topic, (b"1",), keep, run=RunAppend("x", 0, 60))

            server.pause()
            await asyncio.gather(_unknown(append("r")), _unknown(append("short")))
            server.resume()
            await append("r")
            with pytest.raises(FencedError, match="its lease is over"):
                await append("short")
            snapshot = await store.read(("r", "short"), 0, 9)
            texts = [blocks(kept.entries) for kept in snapshot.topics.values()]
            assert texts == [[BEGUN, b"1"], [BEGUN]]


class TestRefusals:
    async def test_what_a_refused_append_says(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with opened(shared_server.url, prefix) as store:
            await begin(store, "x")
            for number, end, said in (
                (0, RunState.ABORTED, "its lease is not over yet"),
                (1, None, "the store has lost what was appended before"),
            ):
                with pytest.raises(FencedError, match=said):
                    await write(store, "x", number, b"1", end=end)
            await write(store, "x", 0, end=RunState.DONE)
            with pytest.raises(FencedError, match="it has ended, and its state is done"):
                await write(store, "x", 1, b"1")

    @pytest.mark.parametrize("key", ["run:r", "events:r", "last:r"])
    async def test_a_key_of_somebody_else(self, start_server: StartServer, key: str) -> None:
        server = start_server()
        name = f"{{shop}}:{key}"
        async with opened(server.url) as store:
            server.ask("SADD", name, "mine")
            before = (await store.read((), 0, 0)).state.clock
            with pytest.raises(StoreError, match="not the hub's in one of the keys") as caught:
                await begin(store, "x", restart=True)
            assert name in str(caught.value)
            assert "WRONGTYPE" in str(caught.value)
            assert server.ask("SISMEMBER", name, "mine")
            assert (await store.read((), 0, 0)).state.clock == before

    async def test_a_full_server_refuses(self, start_server: StartServer) -> None:
        server = start_server()
        async with opened(server.url) as store:
            heard = Heard(store)
            await heard.listener.add(("r",))
            await begin(store, "x")
            server.ask("CONFIG", "SET", "maxmemory", "1")
            with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
                await begin(store, "y", restart=True)
            with pytest.raises(StoreError, match=r"OutOfMemory|OOM"):
                await write(store, "x", 0, b"1")
            server.ask("CONFIG", "SET", "maxmemory", "0")
            await write(store, "x", 0, b"2")
            await heard.wait()
            assert await texts_of(store) == heard.blocks() == [BEGUN, b"2"]

    async def test_what_cannot_be_announced_does_not_happen(
        self, start_server: StartServer
    ) -> None:
        server = start_server()
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all")
        async with (
            opened(f"redis://ann:pw@{HOST}:{server.port}") as store,
            opened(server.url) as other,
        ):
            run = await begin(store, "x")
            await write(store, "x", 0, b"1")
            kept = (await other.read(("r",), 0, 9)).topics["r"]
            server.ask("ACL", "SETUSER", "ann", "resetchannels")
            with pytest.raises(StoreError, match="refused"):
                await begin(store, "y", restart=True)
            with pytest.raises(StoreError, match="refused"):
                await write(store, "x", 1, b"2")
            assert (await other.read(("r",), 0, 9)).topics["r"] == kept
            assert (await found(other)).start == run.start
            await write(other, "x", 1, b"2")
            assert await texts_of(other) == [BEGUN, b"1", b"2"]


async def test_a_run_expires_with_its_topic(start_server: StartServer) -> None:
    server = start_server()
    async with opened(server.url) as store:
        await store.append("r", (b"0",), Keep())
        for call in (
            lambda: begin(store, "x"),
            lambda: write(store, "x", 0, b"1"),
            lambda: store.renew_run("r", "x", WHOLE, 10),
        ):
            for name in ("run", "events"):
                server.ask("PEXPIRE", f"{{shop}}:{name}:r", 5000)
            server.ask("PEXPIRE", "{shop}:last:r", 5000)
            await call()
            left = [server.ask("PTTL", f"{{shop}}:{name}:r") for name in ("run", "events", "last")]
            assert all(5_000 < one <= 20_000 for one in left[:2]), "20 s, when it was called"
            assert left[2] > 80_000_000, "the last clock is known for a day"


def _token(server: RedisServer) -> str:
    token: str = server.ask("HGET", "{shop}:run:r", "token")
    return token


def _length(server: RedisServer) -> int:
    length: int = server.ask("XLEN", "{shop}:events:r")
    return length


async def _unknown(work: Awaitable[object]) -> str:
    """Do something whose outcome nobody knows. Returns the message."""
    with pytest.raises(PublishUnknownError) as caught:
        await work
    return str(caught.value)


async def _lost(store: RedisStore) -> str:
    with pytest.raises(StoreError) as caught:
        await store.stop_run("r")
    return str(caught.value)
