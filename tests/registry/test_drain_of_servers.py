"""Several uvicorn servers in one event loop serve one application: each ends with its streams."""

import gc
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from weakref import ref

import anyio
import pytest
import uvicorn

from sse_middleware.registry.registry import Registry, Slot
from sse_middleware.registry.taken_slots import Full
from sse_middleware.testing import VirtualTime
from tests.registry.slots import OpenStream, admitted, registry_of
from tests.shutdown.servers import request_of, running

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio"])
def virtual_time(request: pytest.FixtureRequest) -> VirtualTime:
    """Return that of the only event loop that uvicorn runs on."""
    return VirtualTime(request.param)


@pytest.fixture(autouse=True)
def _signals_as_they_were() -> Iterator[None]:
    """Put the handlers back that uvicorn leaves when two servers end in the order they began in."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def opened(registry: Registry, server: uvicorn.Server) -> tuple[Slot, OpenStream]:
    """Open a stream in a request of a server."""
    with request_of(server):
        slot, stream = admitted(registry), OpenStream()
    slot.opened(stream)
    return slot, stream


@asynccontextmanager
async def two() -> AsyncIterator[tuple[uvicorn.Server, uvicorn.Server]]:
    async with running() as one, running() as other:
        yield one, other


async def stop(server: uvicorn.Server) -> None:
    server.should_exit = True
    await anyio.sleep(0.2)


async def test_one_ends_with_its_own_streams() -> None:
    registry = registry_of(drain=True, drain_spread=10)
    async with two() as (one, other):
        ended = [opened(registry, one) for _ in range(2)]
        going_on, stream = opened(registry, other)
        await stop(one)
        assert [ending.delays for _, ending in ended] == [[0], [5]]
        assert all(slot.draining for slot, _ in ended)
        assert stream.delays == []
        assert not going_on.draining
        assert not registry.drain.begun.is_set()

        with request_of(one):
            assert registry.enter(None, None) is Full.DRAINING
        opened(registry, other)[0].give_back()
        for slot, _ in ended:
            slot.give_back()

        await stop(other)
        assert stream.delays == [0]
        assert registry.drain.begun.is_set()
        going_on.give_back()


async def test_one_that_is_admitted_as_its_server_stops_is_told_when_it_opens() -> None:
    registry = registry_of(drain=True)
    async with two() as (one, other):
        going_on, _ = opened(registry, other)
        with request_of(one):
            slot, stream = admitted(registry), OpenStream()
        await stop(one)
        slot.opened(stream)
        assert stream.delays == [0]
        slot.give_back()
        going_on.give_back()


async def test_streams_of_an_unknown_server_end_with_the_first() -> None:
    registry = registry_of(drain=True)
    async with two() as (one, other):
        known, going_on = opened(registry, other)
        slot, stream = admitted(registry), OpenStream()  # not in the task of a request
        slot.opened(stream)
        await stop(one)
        assert stream.delays == [0]
        assert going_on.delays == []
        slot.give_back()
        known.give_back()


async def test_another_server_may_begin_when_the_last_one_has_ended() -> None:
    registry = registry_of(drain=True)
    async with running() as one:
        slot, _ = opened(registry, one)
        await stop(one)
        begun = registry.drain.begun
        assert registry.enter(None, None) is Full.DRAINING  # it still has a stream
        slot.give_back()
        assert registry.enter(None, None) is Full.DRAINING  # there is no other server
    await anyio.sleep(1)
    async with running() as other:
        slot, stream = opened(registry, other)
        assert begun.is_set()
        assert not registry.drain.begun.is_set()
        await stop(other)
        assert stream.delays == [0]
        assert registry.drain.begun.is_set()
        slot.give_back()
        with anyio.fail_after(1):
            await registry.drain.run()


async def test_another_server_goes_on_after_the_shutdown_of_the_only_lifespan() -> None:
    registry = registry_of(drain=True)
    async with running() as server:
        slot, stream = opened(registry, server)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(registry.drain.shut_down)
            await anyio.wait_all_tasks_blocked()
            assert stream.delays == [0]
            slot.give_back()
        opened(registry, server)[0].give_back()
        assert not registry.drain.begun.is_set()


async def test_no_server_may_begin_when_the_application_has_drained() -> None:
    registry = registry_of(drain=True)
    async with running() as server:
        opened(registry, server)[0].give_back()
        await registry.drain.run()
        with request_of(server):
            assert registry.enter(None, None) is Full.DRAINING


async def test_without_a_drain_no_server_is_looked_at() -> None:
    registry = registry_of(drain=False)
    async with running() as server:
        slot, stream = opened(registry, server)
        await stop(server)
        assert stream.delays == []
        assert not slot.draining
        assert not slot.stopping
        slot.give_back()


async def test_a_drain_that_is_dropped_listens_no_more() -> None:
    registry: Any = registry_of(drain=True)
    async with running() as server:
        opened(registry, server)[0].give_back()
        kept, listening = ref(registry.drain), registry.drain._listening
        begin = listening._callback
        del registry
        gc.collect()
        assert kept() is None
        assert listening._callback is None
        assert not listening._servers._in_use()
        begin()
        listening._on_server(server, last=True)
        await stop(server)
