"""Publishing without an event loop."""

import os
import threading
from collections.abc import Callable, Iterator

import anyio
import pytest
from anyio.to_thread import run_sync

from sse_middleware import Hub, Keep, Publisher
from sse_middleware.errors import ConfigurationError, EncodingError, StoreError, TopicError
from tests.e2e.client import HOST
from tests.e2e.servers import free_port

from .proxy import Proxy
from .server import RedisServer
from .test_hubs import reading
from .test_store import opened

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]

StartServer = Callable[..., RedisServer]


@pytest.fixture
def publisher(shared_server: RedisServer, prefix: str) -> Iterator[Publisher]:
    with Publisher(shared_server.url, prefix=prefix, keep=Keep(count=50)) as publisher:
        yield publisher


def kept(server: RedisServer, prefix: str) -> int:
    count: int = server.ask("XLEN", f"{{{prefix}}}:events:a")
    return count


async def test_a_hub_hears_it(
    shared_server: RedisServer, prefix: str, publisher: Publisher
) -> None:
    async with Hub(shared_server.url, prefix=prefix) as hub, reading(hub, "a") as client:
        first = await run_sync(publisher.publish, "a", {"done": 40})
        again = await run_sync(lambda: publisher.publish("a", 1, event="x", once="1"))
        assert again == await run_sync(lambda: publisher.publish("a", 2, once="1"))
        assert await client.until(2) == ['{"done":40}', "1"]
        assert client.last_id == again
        history = await hub.history("a", after=first)
        assert [(one.event, one.json()) for one in history.events] == [("x", 1)]


def test_what_cannot_be_published_is_refused(publisher: Publisher) -> None:
    with pytest.raises(TopicError):
        publisher.publish("", 1)
    with pytest.raises(EncodingError):
        publisher.publish("a", None)
    with pytest.raises(ConfigurationError, match="once"):
        publisher.publish("a", 1, once="")
    for url in ("memory", None):
        with pytest.raises(ConfigurationError, match="the URL must begin with one of redis://"):
            Publisher(url)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="for hubs in a file open a Hub with their URL"):
        Publisher("sqlite:///events.db")


async def test_it_ends_the_streams_of_a_subject(
    shared_server: RedisServer, prefix: str, publisher: Publisher
) -> None:
    async with (
        Hub(shared_server.url, prefix=prefix) as hub,
        reading(hub, "a", subject=7) as ann,
        reading(hub, "a", subject="8") as ben,
    ):
        await run_sync(publisher.disconnect, 7)
        assert await ann.until(1) == []
        assert ann.subscription.ended
        await run_sync(publisher.publish, "a", "still here")
        assert await ben.until(1) == ['"still here"']
    for subject in (None, ""):
        with pytest.raises(ConfigurationError, match="subject must be what identifies a user"):
            publisher.disconnect(subject)


def test_threads_share_it(shared_server: RedisServer, prefix: str, publisher: Publisher) -> None:
    threads = [
        threading.Thread(target=lambda: [publisher.publish("a", 1) for _ in range(10)])
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept(shared_server, prefix) == 50


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes can't be forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # pytest has threads
def test_a_forked_process_connects_by_itself(
    shared_server: RedisServer, prefix: str, publisher: Publisher
) -> None:
    publisher.publish("a", 1)
    child = os.fork()
    if not child:
        try:
            publisher.publish("a", 2)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    publisher.publish("a", 3)
    assert kept(shared_server, prefix) == 3


def test_the_server_may_have_closed_the_connection(start_server: StartServer) -> None:
    server = start_server()
    with Publisher(server.url, prefix="shop") as publisher:
        publisher.publish("a", 1)
        server.ask("CLIENT", "KILL", "TYPE", "normal")
        publisher.publish("a", 2)
        server.ask("SCRIPT", "FLUSH")
        publisher.publish("a", 3)
        assert kept(server, "shop") == 3


def test_nothing_was_written(start_server: StartServer) -> None:
    server = start_server()
    with Publisher(server.url, prefix="shop") as publisher:
        server.kill()
        with pytest.raises(StoreError, match="nothing was done"):
            publisher.publish("a", 1)
        server.start()
        publisher.publish("a", 2)
        server.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreError, match="refused"):
            publisher.publish("a", 3)
        assert kept(server, "shop") == 1


async def test_the_answer_was_lost(start_server: StartServer) -> None:
    server = start_server()
    async with Proxy(server.port).running() as proxy, opened(server.url) as store:
        await store.read((), 0, 0)
        with Publisher(proxy.url, prefix="shop") as publisher:
            await run_sync(publisher.publish, "a", 1)
            proxy.drop_replies = True
            said: list[str] = []
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_sync, _publish, publisher, said)
                await run_sync(server.wait_until, lambda: kept(server, "shop") == 2)
                proxy.cut()
            assert "publish it again with once=" in said[0]
            proxy.go_on()
            await run_sync(lambda: publisher.publish("a", 2, once="2"))
            assert kept(server, "shop") == 2


def _publish(publisher: Publisher, said: list[str]) -> None:
    try:
        publisher.publish("a", 2, once="2")
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")


def test_a_user_who_may_only_publish(start_server: StartServer) -> None:
    server = start_server()
    server.ask("ACL", "SETUSER", "ann", "on", ">pw", "~*", "&*", "+@all", "-subscribe")
    with Publisher(f"redis://ann:pw@{HOST}:{server.port}", prefix="shop") as publisher:
        publisher.publish("a", 1)
        server.ask("ACL", "SETUSER", "ann", "resetchannels")
        with pytest.raises(StoreError, match="refused"):
            publisher.publish("a", 2)
        with pytest.raises(ConfigurationError, match="needs rights"):
            publisher.publish("a", 2)
        server.ask("ACL", "SETUSER", "ann", "-info")
        with pytest.raises(ConfigurationError, match="INFO"):
            publisher.publish("a", 2)


def test_sentinels(start_server: StartServer) -> None:
    server, sentinel = start_server(), start_server("--sentinel")
    sentinel.ask("SENTINEL", "MONITOR", "shop", HOST, str(server.port), "1")
    hosts = f"{HOST}:{free_port()},{HOST}:{sentinel.port}"
    with Publisher(f"redis+sentinel://{hosts}/shop", prefix="shop") as publisher:
        publisher.publish("a", 1)
    assert kept(server, "shop") == 1
