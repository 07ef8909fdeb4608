"""Which store a hub has."""

import subprocess
import sys
from typing import Any

import pytest

from sse_middleware import ConfigurationError, Hub
from sse_middleware.hub.memory import MemoryStore
from sse_middleware.hub.stores import store_maker


def maker(url: Any = None, *, prefix: Any = "shop", client: Any = None) -> Any:
    return store_maker(url, prefix=prefix, durable=False, client=client)


def test_without_a_url_it_is_memory() -> None:
    assert maker(prefix=None) is MemoryStore


@pytest.mark.parametrize("url", ["", "localhost", "mysql://user:secret@host", "REDIS://host"])
def test_an_unknown_scheme_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"begin with one of .*redis://") as caught:
        Hub(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://host:many", "can't be read"),
        ("redis://host?socket_connect_timeout=long", "can't be read"),
        ("redis+sentinel://host:1,other:2", "service's name is missing"),
        ("redis+sentinel://host:many/shop", "can't be read"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        maker(url)


@pytest.mark.parametrize("prefix", ["", "a{b}", "a b", "a\n", "é", 1, "x" * 101])
def test_a_prefix_has_few_characters(prefix: object) -> None:
    with pytest.raises(ConfigurationError, match="prefix must be"):
        maker("redis://host", prefix=prefix)


def test_a_client_and_a_url_are_too_much() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        maker("redis://host", client=object())


def test_a_client_must_be_of_one_server_and_asynchronous() -> None:
    import redis  # noqa: PLC0415 - here only

    for client in (object(), redis.Redis()):
        with pytest.raises(ConfigurationError, match=r"redis\.asyncio\.Redis"):
            maker(client=client)


@pytest.mark.anyio
async def test_on_trio_it_is_refused(anyio_backend_name: str) -> None:
    if anyio_backend_name == "trio":
        with pytest.raises(ConfigurationError, match="runs on asyncio"):
            await Hub("redis://host").open()


def test_without_redis_the_extra_is_named() -> None:
    code = (
        "import sys; sys.modules['redis'] = None\n"
        "from sse_middleware import Hub\n"
        "Hub()\n"
        "try:\n    Hub('redis://host')\n"
        "except ImportError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "sse_middleware[redis]" in said.stdout
