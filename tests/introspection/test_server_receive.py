"""A server's own `receive`, and those of others."""

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.h11_impl import RequestResponseCycle as H11Cycle
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from sse_middleware.introspection.server_receive import is_servers_own
from sse_middleware.stream.connection import Connection


@pytest.mark.parametrize("kind", [RequestResponseCycle, H11Cycle])
def test_uvicorns_is_its_own(kind: Any) -> None:
    assert is_servers_own(kind.receive.__get__(kind.__new__(kind)))


def test_hypercorns_is_a_queues() -> None:
    assert is_servers_own(asyncio.Queue[Any]().get)


def test_that_of_another_middleware_is_not() -> None:
    async def receive() -> Any:
        raise AssertionError

    assert not is_servers_own(receive)
    assert not is_servers_own(Connection(receive).receive)
    assert Connection(receive).needs_own_task()


class Proxy:
    """What wrapt puts around a function: it has the attributes of the function."""

    def __init__(self, receive: Any) -> None:
        self._receive = receive

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receive, name)

    async def __call__(self) -> Any:
        return await self._receive()


def test_that_of_a_proxy_is_not() -> None:
    assert not is_servers_own(Proxy(asyncio.Queue[Any]().get))
