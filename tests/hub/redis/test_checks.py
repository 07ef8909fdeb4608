"""What can't work is refused when a hub is opened, in words that say what to change."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio
from anyio import run_process
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import ReadOnlyError, ResponseError

from sse_middleware import ConfigurationError, Hub
from sse_middleware.errors import StoreError
from sse_middleware.hub.redis.checks import getting_ready, is_replica
from sse_middleware.hub.redis.keys import Keys
from sse_middleware.hub.redis.scripts import APPEND, TICK
from tests.e2e.client import HOST
from tests.e2e.servers import free_port

from .server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]

HUB_PAGE = Path(__file__).parents[3] / "docs" / "hub.md"
"""It says which rights a user of Redis needs."""


async def works(hub: Hub) -> None:
    async with hub:
        await hub.publish("a", 1)
        assert [event.json() for event in (await hub.history("a")).events] == [1]


async def refusal(hub: Hub) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await hub.open()
    assert not hub.is_open
    return str(caught.value)


class TestServers:
    async def test_eviction(self, start_server: StartServer) -> None:
        server = start_server("--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
        assert "set maxmemory-policy to noeviction" in await refusal(Hub(server.url))
        server.ask("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await works(Hub(server.url))

    async def test_a_policy_without_a_limit_evicts_nothing(self, start_server: StartServer) -> None:
        await works(Hub(start_server("--maxmemory-policy", "allkeys-lru").url))

    async def test_a_cluster(self, start_server: StartServer) -> None:
        server = start_server("--cluster-enabled", "yes")
        assert "not a cluster" in await refusal(Hub(server.url))

    async def test_a_replica_may_become_a_primary(self, start_server: StartServer) -> None:
        server = start_server("--replicaof", HOST, str(free_port()))
        async with Hub(server.url) as hub:
            with pytest.raises(StoreError, match="connect to the primary"):
                await hub.publish("a", 1)
            server.ask("REPLICAOF", "NO", "ONE")
            await hub.publish("a", 1)

    async def test_a_server_that_is_away_may_come(self, start_server: StartServer) -> None:
        server = start_server()
        server.kill()
        async with Hub(server.url) as hub:
            with pytest.raises(StoreError, match="nothing was done"):
                await hub.publish("a", 1)
            server.start()
            await hub.publish("a", 1)


class TestWhatTheySay:
    """What other servers have said than the one that is installed."""

    @pytest.mark.parametrize(
        ("info", "refusal"),
        [
            (b"redis_version:7.2.4\r\nserver_mode:cluster\r\n", "not a cluster"),
            (b"redis_version:7.2.4\r\nserver_mode:sentinel\r\n", "this is a sentinel"),
            (b"redis_version:6.2.14\r\nredis_mode:cluster\r\n", "not a cluster"),
            (b"redis_version:6.0.16\r\nredis_mode:standalone\r\n", "needs Redis 6.2 or later"),
        ],
        ids=["Valkey 9 cluster", "Valkey 9 sentinel", "Redis 6.2", "Redis 6.0"],
    )
    def test_about_themselves(self, info: bytes, refusal: str) -> None:
        steps = getting_ready(Keys("shop", 0), (), durable=False, listens=True)
        next(steps)
        steps.send(info)
        steps.send(b"")
        with pytest.raises(ConfigurationError, match=refusal):
            steps.send(b"")

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (ReadOnlyError("You can't write against a read only replica."), True),
            (
                ResponseError(
                    "Error running script (call to f_88c923858e73954cede057e8a25f614a3552b177): "
                    "@user_script:1: @user_script: 1: -READONLY You can't write against a read "
                    "only replica."
                ),
                True,
            ),
            (ResponseError("@user_script: 1: -OOM command not allowed"), False),
        ],
        ids=["Redis 7", "Redis 6.2", "another"],
    )
    def test_that_they_are_replicas(self, error: Exception, expected: bool) -> None:
        assert is_replica(error) is expected


class TestRights:
    @pytest.mark.parametrize(
        ("rights", "named"),
        [
            ("~other:* &* +@all", "~{shop}:*"),
            ("~* &other:* +@all", "PUBLISH {shop}:0:probe:"),
            ("~* resetchannels +@all", "PUBLISH"),
            ("~* &* +@all -publish", "PUBLISH"),
            ("~* &* +@all -xadd", "XADD"),
            ("~* &* +@all -subscribe", "subscribe"),
            ("~* &* +@all -eval", "eval"),
            ("~* &* +@all -info", "INFO"),
        ],
    )
    async def test_each_is_tried(self, start_server: StartServer, rights: str, named: str) -> None:
        server = start_server()
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", "resetchannels", *rights.split())
        said = await refusal(Hub(f"redis://ann:pw@{HOST}:{server.port}", prefix="shop"))
        assert named in said

    async def test_those_of_the_page_are_enough(self, start_server: StartServer) -> None:
        server = start_server()
        [commands] = re.findall(r"```text\n(\+@.*?)```", HUB_PAGE.read_text("utf-8"), re.DOTALL)
        rights = ("resetchannels", "~{shop}:*", "&{shop}:*", *commands.split())
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", *rights)
        await works(Hub(f"redis://ann:pw@{HOST}:{server.port}", prefix="shop"))

    async def test_a_wrong_password(self, start_server: StartServer) -> None:
        server = start_server("--requirepass", "secret")
        async with Hub(f"redis://:wrong@{HOST}:{server.port}") as hub:
            with pytest.raises(StoreError, match="nothing was done") as caught:
                await hub.publish("a", 1)
            assert "wrong@" not in str(caught.value)
        await works(Hub(f"redis://:secret@{HOST}:{server.port}/3"))


class TestSeveralAtATime:
    """Each of them listens on a channel for a moment. What it hears there would be an answer."""

    async def test_two_connections(self, shared_server: RedisServer, prefix: str) -> None:
        with checked(shared_server, prefix) as one, checked(shared_server, prefix) as other:
            while one.command[0] != "UNSUBSCRIBE":
                one.step()
            other.finish()
            one.finish()
            assert one.run_id == other.run_id != b""

    async def test_a_topic_with_the_name_of_the_check(
        self, shared_server: RedisServer, prefix: str
    ) -> None:
        async with Hub(shared_server.url, prefix=prefix) as hub:
            with checked(shared_server, prefix) as one:
                while one.command[0] != "UNSUBSCRIBE":
                    one.step()
                await hub.publish("probe", 1)
                one.finish()
                assert one.run_id


class Checked:
    """A connection that is checked step by step."""

    def __init__(self, connection: Any, prefix: str) -> None:
        steps = getting_ready(Keys(prefix, 0), (APPEND, TICK), durable=False, listens=True)
        self.run_id = b""
        self.command = next(steps)
        self._connection, self._steps = connection, steps

    def step(self) -> None:
        self._connection.send_command(*self.command)
        self.command = self._steps.send(self._connection.read_response())

    def finish(self) -> None:
        try:
            while True:
                self.step()
        except StopIteration as end:
            self.run_id = end.value
        self._connection.send_command("PING")
        assert self._connection.read_response() == b"PONG"


@contextmanager
def checked(server: RedisServer, prefix: str) -> Iterator[Checked]:
    kind: Any = redis.Connection  # without types in some versions
    connection = kind(HOST, server.port, protocol=2)
    try:
        yield Checked(connection, prefix)
    finally:
        connection.disconnect()


class TestWaysToConnect:
    @pytest.mark.parametrize("protocol", [2, 3])
    async def test_a_client_of_the_application(
        self, shared_server: RedisServer, prefix: str, protocol: int
    ) -> None:
        options: dict[str, Any] = {"decode_responses": True, "health_check_interval": 1}
        async with redis.asyncio.from_url(
            f"{shared_server.url}/2", protocol=protocol, **options
        ) as client:
            await works(Hub(client=client, prefix=prefix))
            assert await client.exists(f"{{{prefix}}}:clock")

    async def test_a_socket(self, start_server: StartServer) -> None:
        server = start_server("--unixsocket", "socket")
        await works(Hub(f"unix://{server.directory / 'socket'}?db=1"))

    async def test_tls(self, start_server: StartServer, tmp_path: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        key, certificate, port = tmp_path / "key", tmp_path / "certificate", free_port()
        made = ("-keyout", key, "-out", certificate, "-subj", "/CN=redis", "-days", "2")
        for_host = ("-addext", f"subjectAltName=IP:{HOST}")
        openssl = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *made, *for_host)
        await run_process(openssl)
        options = (
            *("--tls-port", str(port), "--tls-cert-file", str(certificate)),
            *("--tls-key-file", str(key), "--tls-auth-clients", "no"),
        )
        try:
            server = start_server(*options)
        except AssertionError as error:
            if "tls" not in str(error).lower():
                raise
            pytest.skip("this redis-server is built without TLS")
        await works(Hub(f"rediss://{HOST}:{port}/1?ssl_ca_certs={certificate}"))
        async with Hub(f"rediss://{HOST}:{port}/1") as hub:
            with pytest.raises(StoreError, match="nothing was done"):
                await hub.publish("a", 1)
        assert server.ask("PING")

    async def test_a_sentinel_is_no_server(self, start_server: StartServer) -> None:
        assert "this is a sentinel" in await refusal(Hub(start_server("--sentinel").url))

    async def test_sentinels(self, start_server: StartServer) -> None:
        server = start_server("--requirepass", "secret")
        sentinel = start_server("--sentinel")
        sentinel.ask("SENTINEL", "MONITOR", "shop", HOST, str(server.port), "1")
        sentinel.ask("SENTINEL", "SET", "shop", "auth-pass", "secret")
        hosts = f"{HOST}:{free_port()},{HOST}:{sentinel.port}"
        await works(Hub(f"redis+sentinel://:secret@{hosts}/shop/1"))
        manager = Sentinel([(HOST, sentinel.port)])  # type: ignore[no-untyped-call]
        async with manager.master_for("shop", password="secret", db=1) as client:
            await works(Hub(client=client, prefix="other"))
            assert await client.exists("{sse}:clock", "{other}:clock") == 2
        for one in manager.sentinels:
            await one.aclose()
