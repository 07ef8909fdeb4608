"""Whatever happens to Redis: no loss without a gap, no event twice, none out of order."""

from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import anyio
import pytest
import redis
from anyio.to_thread import run_sync

from .proxy import Proxy
from .scene import Scene, play
from .server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]


async def test_nothing_goes_wrong(start_server: StartServer) -> None:
    server = start_server()

    async def nothing(scene: Scene) -> None:
        await scene.published(300)

    scene = await play([server.url] * 3, nothing)
    assert scene.gaps == 0
    assert scene.publisher.repeated == scene.publisher.refused == 0


@pytest.mark.parametrize("kind", ["pubsub", "normal"])
async def test_connections_are_killed_again_and_again(start_server: StartServer, kind: str) -> None:
    server = start_server()

    async def kill(scene: Scene) -> None:
        for _ in range(8):
            await scene.published(40)
            with suppress(redis.RedisError):
                await run_sync(server.ask, "CLIENT", "KILL", "TYPE", kind)

    scene = await play([server.url] * 3, kill)
    assert scene.gaps == 0


async def test_redis_sleeps(start_server: StartServer) -> None:
    server = start_server()

    async def sleep(scene: Scene) -> None:
        for _ in range(3):
            await run_sync(server.ask, "DEBUG", "SLEEP", "0.7")
            await scene.published(30)

    assert (await play([server.url] * 3, sleep)).gaps == 0


async def test_redis_hangs_for_longer_than_anybody_waits(start_server: StartServer) -> None:
    server = start_server()

    async def hang(scene: Scene) -> None:
        with suppress(redis.RedisError):
            await run_sync(server.ask, "DEBUG", "SLEEP", "7")

    assert (await play([server.url] * 3, hang)).gaps == 0


async def test_everything_is_flushed(start_server: StartServer) -> None:
    server = start_server()

    async def flush(scene: Scene) -> None:
        for _ in range(3):
            await scene.published(100)
            await run_sync(server.ask, "FLUSHALL")

    assert (await play([server.url] * 3, flush, lossy=True)).gaps


async def test_scripts_are_flushed(start_server: StartServer) -> None:
    server = start_server()

    async def flush(scene: Scene) -> None:
        for _ in range(5):
            await scene.published(40)
            await run_sync(server.ask, "SCRIPT", "FLUSH")

    scene = await play([server.url] * 3, flush)
    assert scene.gaps == scene.publisher.repeated == scene.publisher.refused == 0


async def test_redis_is_killed_and_has_nothing_any_more(start_server: StartServer) -> None:
    server = start_server()

    async def kill(scene: Scene) -> None:
        server.kill()
        await anyio.sleep(0.3)
        await run_sync(server.start)

    assert (await play([server.url] * 3, kill, lossy=True)).gaps


@pytest.mark.parametrize("durable", [False, True])
async def test_redis_is_killed_and_has_a_log(start_server: StartServer, durable: bool) -> None:
    server = start_server("--appendonly", "yes", "--appendfsync", "always")

    async def kill(scene: Scene) -> None:
        server.kill()
        await anyio.sleep(0.3)
        await run_sync(server.start)

    scene = await play([server.url] * 3, kill, lossy=not durable, durable=durable)
    assert bool(scene.gaps) is not durable


async def test_redis_begins_again_with_an_old_snapshot(start_server: StartServer) -> None:
    server = start_server()

    async def go_back(scene: Scene) -> None:
        await run_sync(server.ask, "SAVE")
        await scene.published(200)
        server.kill()
        await run_sync(server.start)

    assert (await play([server.url] * 3, go_back, lossy=True)).gaps


async def test_listeners_that_read_too_slowly_are_cut_off(start_server: StartServer) -> None:
    server = start_server("--client-output-buffer-limit", "pubsub 64kb 64kb 1")

    async def flood(scene: Scene) -> None:
        for _ in range(3):
            await run_sync(_flood, server)
            await scene.published(30)

    assert (await play([server.url] * 3, flood)).gaps == 0
    assert "overcoming of output buffer limits" in server.log()


def _flood(server: RedisServer) -> None:
    """Announce what nobody can take at once, to each listener's channel of ticks."""
    with server.client() as client:
        channels = client.pubsub_channels("{scene}:0:tick:*")
        mark = client.hget("{scene}:clock", "m")
        name = client.info("server")["run_id"][:8]
        pipe = client.pipeline(transaction=True)
        for channel in channels * 40:
            pipe.publish(channel, f"0 {mark} {name}\n{' ' * 100_000}")
        pipe.execute()


async def test_a_replica_takes_over_that_had_lost_its_primary(start_server: StartServer) -> None:
    primary = start_server()
    replica = start_server("--replicaof", f"127.0.0.1 {primary.port}")
    replica.wait_until(lambda: "master_link_status:up" in _replication(replica))

    async def fail_over(scene: Scene) -> None:
        await run_sync(replica.ask, "REPLICAOF", "NO", "ONE")
        await scene.published(100)  # the replica doesn't have these
        primary.kill()
        proxy.target = replica.port

    async with Proxy(primary.port).running() as proxy:
        scene = await play([proxy.url] * 3, fail_over, lossy=True)
    assert scene.gaps


async def test_an_old_primary_lives_on(start_server: StartServer) -> None:
    primary = start_server()
    replica = start_server("--replicaof", f"127.0.0.1 {primary.port}")
    replica.wait_until(lambda: "master_link_status:up" in _replication(replica))

    async def split(scene: Scene) -> None:
        await run_sync(replica.ask, "REPLICAOF", "NO", "ONE")
        await scene.published(50)
        for proxy in reversed(proxies):  # the publisher's is the last one
            proxy.target = replica.port
            proxy.cut()
            await scene.published(50)

    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(Proxy(primary.port).running()) for _ in range(3)]
        urls = [proxy.url for proxy in proxies]
        scene = await play(urls, split, lossy=True, roam=False)
    assert scene.gaps


def _replication(server: RedisServer) -> str:
    with server.client() as client:
        client.set_response_callback("INFO", str)
        return str(client.execute_command("INFO", "replication"))


async def test_the_network_is_slow(start_server: StartServer) -> None:
    server = start_server()

    async def be_slow(scene: Scene) -> None:
        proxy.delay = 0.05
        await scene.published(40)
        proxy.go_on()

    async with Proxy(server.port).running() as proxy:
        assert (await play([proxy.url] * 3, be_slow)).gaps == 0


async def test_replies_are_cut_in_the_middle(start_server: StartServer) -> None:
    server = start_server()

    async def cut(scene: Scene) -> None:
        for length in (4_001, 7_003, 11_027, 20_011):
            proxy.cut_after = length
            await scene.published(60)
        proxy.go_on()

    async with Proxy(server.port).running() as proxy:
        scene = await play([proxy.url] * 3, cut)
        assert proxy.cuts > 5
    assert scene.gaps == 0


async def test_connections_are_cut_while_events_are_published(start_server: StartServer) -> None:
    server = start_server()

    async def cut(scene: Scene) -> None:
        for _ in range(15):
            await scene.published(15)
            proxy.cut()

    async with Proxy(server.port).running() as proxy:
        assert (await play([proxy.url] * 3, cut)).gaps == 0


async def test_nothing_is_passed_on_for_a_while(start_server: StartServer) -> None:
    server = start_server()

    async def stop(scene: Scene) -> None:
        proxy.stop_reading()
        await anyio.sleep(7)
        proxy.go_on()

    async with Proxy(server.port).running() as proxy:
        assert (await play([proxy.url] * 3, stop)).gaps == 0


@pytest.mark.parametrize("direction", ["drop_replies", "drop_commands"])
async def test_one_direction_is_dropped(start_server: StartServer, direction: str) -> None:
    server = start_server()

    async def drop(scene: Scene) -> None:
        setattr(proxy, direction, True)
        await anyio.sleep(6)
        proxy.go_on()
        proxy.cut()

    async with Proxy(server.port).running() as proxy:
        assert (await play([proxy.url] * 3, drop)).gaps == 0
