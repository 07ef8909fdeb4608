"""What goes wrong with Redis, or on the way to it, while a scene is played."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import redis
from anyio.to_thread import run_sync

from tests.e2e.client import HOST
from tests.e2e.hub_publishers import wait_until

from .scene import Fault, Scene, StartServer
from .server import RedisServer

END = 0.75
"""The share of the events after which nothing goes wrong any more."""


async def nothing(scene: Scene) -> None:
    """Only the worker is killed."""
    await scene.published(END)


def again_and_again(*command: Any) -> Callable[[Scene], Awaitable[None]]:
    """Return what sends a command to Redis, every second in a scene of full size."""

    async def strike(scene: Scene) -> None:
        while scene.share < END:
            with suppress(redis.RedisError):  # the connection that sends it may be killed, too
                await run_sync(scene.redis[0].ask, *command)
            await asyncio.sleep(scene.size.pause)

    return strike


async def hang(scene: Scene) -> None:
    """Sleep for a little, and then for longer than any hub waits."""
    for seconds in (0.3, 0.7, 7):
        await run_sync(scene.redis[0].ask, "DEBUG", "SLEEP", str(seconds))
        await scene.published(scene.share + 0.1)


async def flush(scene: Scene) -> None:
    for _ in range(3):
        await run_sync(scene.redis[0].ask, "FLUSHALL")
        await scene.published(scene.share + 0.15)


async def kill(scene: Scene) -> None:
    for _ in range(2):
        scene.redis[0].kill()
        await scene.refused()
        await run_sync(scene.redis[0].start)
        await scene.published(scene.share + 0.2)


async def go_back(scene: Scene) -> None:
    """Begin again with a snapshot that is old by then."""
    await run_sync(scene.redis[0].ask, "SAVE")
    await scene.published(0.4)
    scene.redis[0].kill()
    await run_sync(scene.redis[0].start)


async def fail_over(scene: Scene) -> None:
    """Let a replica take over that has lost its primary before."""
    primary, replica = scene.redis
    await run_sync(replica.ask, "REPLICAOF", "NO", "ONE")
    await scene.published(0.4)  # the replica doesn't have these
    primary.kill()
    for proxy in scene.proxies:
        proxy.target = replica.port
    scene.survivor = replica


async def split(scene: Scene) -> None:
    """Let the workers change to a replica one after the other. The old primary lives on."""
    replica = scene.survivor = scene.redis[1]
    await run_sync(replica.ask, "REPLICAOF", "NO", "ONE")
    for proxy, share in zip(scene.proxies, (0.35, 0.55), strict=True):
        await scene.published(share)
        proxy.target = replica.port
        proxy.cut()


async def flood(scene: Scene) -> None:
    """Announce more than a listener can take at once."""
    for _ in range(3):
        await run_sync(_flood, scene.redis[0])
        await scene.published(scene.share + 0.15)
    assert "overcoming of output buffer limits" in scene.redis[0].log()


def _flood(server: RedisServer) -> None:
    with server.client() as client:
        channels = client.pubsub_channels("{sse}:0:tick:*")
        mark, name = client.hget("{sse}:clock", "m"), client.info("server")["run_id"][:8]
        pipe = client.pipeline(transaction=True)
        for channel in channels * 500:
            pipe.publish(channel, f"0 {mark} {name}\n{' ' * 8_000}")
        pipe.execute()


async def slow(scene: Scene) -> None:
    for proxy in scene.proxies:
        proxy.delay = 0.02
    await scene.published(END)
    _go_on(scene)


async def stop(scene: Scene) -> None:
    """Let nothing pass until a hub gives its connection up."""
    for proxy in scene.proxies:
        proxy.stop_reading()
    await scene.refused()
    _go_on(scene)


async def cut(scene: Scene) -> None:
    """Cut replies in the middle."""
    for length in (4_001, 7_003, 11_027, 20_011):
        for proxy in scene.proxies:
            proxy.cut_after = length
        await scene.published(scene.share + 0.1)
    _go_on(scene)
    assert all(proxy.cuts for proxy in scene.proxies)


async def cut_again_and_again(scene: Scene) -> None:
    while scene.share < END:
        for proxy in scene.proxies:
            proxy.cut()
        await scene.published(scene.share + 0.03)


def _go_on(scene: Scene) -> None:
    for proxy in scene.proxies:
        proxy.go_on()


def drop(direction: str) -> Callable[[Scene], Awaitable[None]]:
    """Return what drops one direction of all connections, until the hubs have left them."""

    async def strike(scene: Scene) -> None:
        links = [link for proxy in scene.proxies for link in proxy.links]
        for link in links:
            setattr(link, direction, True)
        await wait_until(lambda: all(link.is_closed for link in links))

    return strike


async def kill_for_sentinel(scene: Scene) -> None:
    """Kill the primary, and let a sentinel do what is to be done."""
    primary, replica, sentinel = scene.redis
    primary.kill()
    await wait_until(lambda: _knows(sentinel, replica))
    scene.survivor = replica


async def move_by_sentinel(scene: Scene) -> None:
    """Have a sentinel change the primary. The old one lives on, until it becomes a replica."""
    primary, replica, sentinel = scene.redis
    await run_sync(sentinel.ask, "SENTINEL", "FAILOVER", "shop")
    await wait_until(lambda: _knows(sentinel, replica))
    await wait_until(lambda: _is_replica(primary))
    scene.survivor = replica


async def hand_over(scene: Scene) -> None:
    """Have a primary hand over to its replica. Nothing cuts the connections to it.

    It hears what is published as a replica does. Then it misses something.
    """
    primary, replica = scene.redis
    await run_sync(primary.ask, "FAILOVER", "TO", HOST, replica.port)
    await wait_until(lambda: _is_replica(primary))
    for proxy in scene.proxies:
        proxy.target = replica.port
    scene.survivor = replica
    for share in (0.4, 0.5, 0.6, 0.7):
        await scene.published(share)
        await run_sync(replica.ask, "DEBUG", "CHANGE-REPL-ID")
        await run_sync(replica.ask, "CLIENT", "KILL", "TYPE", "replica")


def _is_replica(server: RedisServer) -> bool:
    with suppress(redis.RedisError):  # a sentinel cuts all connections to it
        return "role:slave" in server.info("replication")
    return False


def _knows(sentinel: RedisServer, primary: RedisServer) -> bool:
    found = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop")
    return bool(int(found[1]) == primary.port)


def alone(*options: str) -> Callable[[StartServer], Sequence[RedisServer]]:
    """Return what starts one Redis."""

    def begin(start: StartServer) -> Sequence[RedisServer]:
        return [start(*options)]

    return begin


def with_replica(start: StartServer) -> Sequence[RedisServer]:
    """Start a primary, and a replica that has all that the primary has."""
    primary = start()
    replica = start("--replicaof", HOST, str(primary.port))
    replica.wait_until(lambda: "master_link_status:up" in replica.info("replication"))
    return [primary, replica]


def with_sentinel(start: StartServer) -> Sequence[RedisServer]:
    """Start a primary, a replica, and a sentinel that knows both."""
    primary, replica = with_replica(start)
    sentinel = start("--sentinel")
    sentinel.ask("SENTINEL", "MONITOR", "shop", HOST, str(primary.port), "1")
    sentinel.ask("SENTINEL", "SET", "shop", "down-after-milliseconds", "1000")
    sentinel.wait_until(lambda: "slaves=1" in sentinel.info("sentinel"))
    return [primary, replica, sentinel]


def _sentinel_url(servers: Sequence[RedisServer]) -> str:
    return f"redis+sentinel://{HOST}:{servers[-1].port}/shop"


TWO_SERVERS = Fault(name="two servers", strike=nothing, begin=alone())

SEVERAL_WORKERS = Fault(name="two workers", strike=nothing, begin=alone(), workers=2)

_LOG = ("--appendonly", "yes", "--appendfsync", "always")
_LIMIT = ("--client-output-buffer-limit", "pubsub", "64kb", "64kb", "1")

FAULTS = [
    Fault(
        name="CLIENT KILL pubsub",
        strike=again_and_again("CLIENT", "KILL", "TYPE", "pubsub"),
        begin=alone(),
    ),
    Fault(
        name="CLIENT KILL normal",
        strike=again_and_again("CLIENT", "KILL", "TYPE", "normal"),
        begin=alone(),
    ),
    Fault(
        name="SCRIPT FLUSH",
        strike=again_and_again("SCRIPT", "FLUSH"),
        begin=alone(),
    ),
    Fault(name="DEBUG SLEEP", strike=hang, begin=alone()),
    Fault(name="FLUSHALL", strike=flush, begin=alone(), begins_anew=True, loses=True),
    Fault(name="kill -9 without AOF", strike=kill, begin=alone(), begins_anew=True, loses=True),
    Fault(name="kill -9 with AOF", strike=kill, begin=alone(*_LOG), begins_anew=True),
    Fault(name="kill -9 with AOF, durable", strike=kill, begin=alone(*_LOG), durable=True),
    Fault(name="an old snapshot", strike=go_back, begin=alone(), begins_anew=True, loses=True),
    Fault(
        name="failover to a replica that was cut off",
        strike=fail_over,
        begin=with_replica,
        proxied=True,
        begins_anew=True,
        loses=True,
    ),
    Fault(
        name="an old primary lives on",
        strike=split,
        begin=with_replica,
        proxied=True,
        begins_anew=True,
        loses=True,
    ),
    Fault(
        name="a primary hands over, durable",
        strike=hand_over,
        begin=with_replica,
        proxied=True,
        durable=True,
    ),
    Fault(
        name="failover by a sentinel",
        strike=kill_for_sentinel,
        begin=with_sentinel,
        url=_sentinel_url,
        begins_anew=True,
        loses=None,
    ),
    Fault(
        name="SENTINEL FAILOVER",
        strike=move_by_sentinel,
        begin=with_sentinel,
        url=_sentinel_url,
        begins_anew=True,
        loses=None,
    ),
    Fault(name="output buffer limit", strike=flood, begin=alone(*_LIMIT)),
    Fault(name="slow network", strike=slow, begin=alone(), proxied=True),
    Fault(name="nothing passes", strike=stop, begin=alone(), proxied=True),
    Fault(name="replies are cut", strike=cut, begin=alone(), proxied=True),
    Fault(name="connections are cut", strike=cut_again_and_again, begin=alone(), proxied=True),
    Fault(name="replies are dropped", strike=drop("drops_replies"), begin=alone(), proxied=True),
    Fault(name="commands are dropped", strike=drop("drops_commands"), begin=alone(), proxied=True),
]
