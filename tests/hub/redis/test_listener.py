"""What only a listener in Redis does: it breaks once, and its user may lose its rights."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from sse_middleware.errors import StoreError
from tests.e2e.client import HOST
from tests.hub.test_contract import Heard, blocks
from tests.patience import PATIENCE

from .proxy import Proxy
from .server import RedisServer
from .test_store import KEEP, kept, opened

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]


class TestListener:
    async def test_it_tells_once_that_it_is_broken(self, start_server: StartServer) -> None:
        server = start_server()
        broken: list[int] = []
        told = anyio.Event()

        def on_broken() -> None:
            broken.append(1)
            told.set()

        async with opened(server.url) as store:
            listener = store.listen(lambda *_: None, lambda *_: None, on_broken)
            await listener.add(("a",))
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            with anyio.fail_after(PATIENCE):
                await told.wait()
            with pytest.raises(StoreError, match="has ended"):
                await listener.add(("b",))
            with pytest.raises(StoreError, match="has ended"):
                await listener.tick()
            assert broken == [1]
            assert server.ask("PUBSUB", "CHANNELS") == []

    async def test_it_hears_only_its_own_server(self, start_server: StartServer) -> None:
        primary = start_server()
        replica = start_server("--replicaof", HOST, str(primary.port))
        replica.wait_until(lambda: replica.ask("ROLE")[3] == "connected")
        broken = anyio.Event()
        heard: list[object] = []
        async with Proxy(replica.port).running() as proxy, opened(proxy.url, durable=True) as store:
            listener = store.listen(
                lambda *one: heard.append(one), lambda *one: heard.append(one), broken.set
            )
            await listener.add(("a",))
            proxy.target = primary.port
            await store.append("a", (b"1",), KEEP)
            with anyio.fail_after(PATIENCE):
                await broken.wait()
            assert heard == [], "a replica may leave something out"

    async def test_what_was_added_again_is_heard(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with opened(shared_server.url, prefix) as store:
            heard = Heard(store)
            for number in (b"1", b"2", b"3"):
                await heard.listener.add(("a", "b"))
                await store.append("a", (number,), KEEP)
                await heard.wait()
                heard.listener.remove(("a", "b"))
                await store.append("a", (b"lost",), KEEP)
            assert heard.blocks() == [b"1", b"2", b"3"]

    async def test_databases_dont_hear_each_other(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with (
            opened(shared_server.url, prefix) as store,
            opened(f"{shared_server.url}/1", prefix) as other,
        ):
            heard, theirs = Heard(store), Heard(other)
            await heard.listener.add(("a",))
            await theirs.listener.add(("a",))
            await store.append("a", (b"1",), KEEP)
            await other.append("a", (b"2",), KEEP)
            await heard.wait()
            await theirs.wait()
            assert (heard.blocks(), theirs.blocks()) == ([b"1"], [b"2"])
            assert await kept(other) == [b"2"]

    async def test_it_may_be_closed_while_it_connects(self, start_server: StartServer) -> None:
        server = start_server()
        async with Proxy(server.port).running() as proxy, opened(proxy.url) as store:
            proxy.stop_reading()
            listener = store.listen(lambda *_: None, lambda *_: None, lambda: None)
            adding = asyncio.create_task(listener.add(("a",)))
            await asyncio.sleep(0)
            listener.close()
            with pytest.raises((StoreError, asyncio.CancelledError)):
                await adding
            proxy.go_on()


class TestRights:
    async def test_what_cannot_be_announced_is_not_kept(self, start_server: StartServer) -> None:
        server = start_server()
        rights = ("resetchannels", "~{shop}:*", "&{shop}:*", "+@all")
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", *rights)
        url = server.url.replace("redis://", "redis://ann:pw@")
        async with opened(url) as store:
            (first,) = (await store.append("a", (b"1",), KEEP)).clocks
            server.ask("ACL", "SETUSER", "ann", "resetchannels")
            with pytest.raises(StoreError, match=r"can't publish|No permissions"):
                await store.append("a", (b"2", b"3"), KEEP, once="x")
            server.ask("ACL", "SETUSER", "ann", "&{shop}:*")
            (last,) = (await store.append("a", (b"4",), KEEP, once="x")).clocks
            entries = (await store.read(("a",), 0, 10)).topics["a"].entries
            assert blocks(entries) == [b"1", b"4"]
            assert (entries[1].clock, entries[1].before) == (last, first)

    async def test_a_listener_that_may_not_subscribe_any_more(
        self, start_server: StartServer
    ) -> None:
        server = start_server()
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all")
        url = server.url.replace("redis://", "redis://ann:pw@")
        async with opened(url) as store:
            heard = Heard(store)
            await heard.listener.add(("a",))
            server.ask("ACL", "SETUSER", "ann", "-subscribe")
            with pytest.raises(StoreError, match="the connection that listens broke"):
                await heard.listener.add(("b",))
