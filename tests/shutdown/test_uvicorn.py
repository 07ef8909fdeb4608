"""uvicorn's server stops without a signal, and is found by a task that runs it.

The server is a real one without connections: what its protocols do with a request, these tests do
by hand. Except for one test it has no socket either, so it runs in virtual time.
"""

import asyncio
import socket
import sys
import types
from typing import Any

import anyio
import pytest
import uvicorn

from sse_middleware.shutdown.listener import Listening, listen
from sse_middleware.shutdown.uvicorn import SEARCH_INTERVAL
from sse_middleware.testing import VirtualTime
from tests.patience import PATIENCE
from tests.shutdown.servers import Callback, nothing, request_of, running

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio"])
def virtual_time(request: pytest.FixtureRequest) -> VirtualTime:
    """Return that of the only event loop that uvicorn runs on."""
    return VirtualTime(request.param)


class Stops:
    """Notes which servers stop."""

    def __init__(self) -> None:
        self.told: list[tuple[object, bool]] = []

    def __call__(self, server: Any, *, last: bool) -> None:
        self.told.append((server.server, last))


def found(listener: Listening) -> Any:
    """Return what the listener knows of the server of the running request."""
    server = listener.server_of_request()
    assert server is not None
    return server


def listening(stops: Stops) -> Listening:
    return listen(pytest.fail, stops)


async def test_calls_back_when_the_server_should_exit() -> None:
    callback = Callback()
    async with running() as server:
        listener = listen(callback)
        of_request = found(listener)
        assert of_request.server is server
        await callback.is_not_called()
        assert not of_request.is_stopping()
        server.should_exit = True
        assert of_request.is_stopping()
        await callback.is_called_once()
        listener.end()


def test_calls_back_when_the_server_has_had_its_requests() -> None:
    """Then nothing of it is set, but its sockets are closed. In real time."""

    async def serve(listening: socket.socket) -> None:
        config = uvicorn.Config(nothing, log_config=None, lifespan="off", limit_max_requests=1)
        server = uvicorn.Server(config)
        callback = Callback()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listening]))
            await asyncio.sleep(0)
            with request_of(server):
                listener = listen(callback)
                assert found(listener).server is server
                assert not found(listener).is_stopping()
                async with asyncio.timeout(PATIENCE):
                    while not server.started:  # noqa: ASYNC110 - it tells in no other way
                        await asyncio.sleep(0)
                assert not found(listener).is_stopping()
                server.server_state.total_requests += 1
                await callback.wait()
                assert not server.should_exit
                listener.end()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        asyncio.run(serve(listening))


async def test_calls_back_when_the_task_of_the_server_is_cancelled() -> None:
    stops = Stops()
    server = uvicorn.Server(uvicorn.Config(nothing, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([]))
    await anyio.sleep(1)
    listener = listening(stops)
    listener.server_of_request()
    serving.cancel()
    await asyncio.wait([serving])
    assert stops.told == [(server, True)]
    listener.end()


@pytest.mark.parametrize("ended", ["listening", "streams"])
async def test_does_not_call_back_without(ended: str) -> None:
    stops, in_use = Stops(), True
    async with running() as server:
        listener = listen(pytest.fail, stops, lambda: in_use)
        listener.server_of_request()
        if ended == "listening":
            listener.end()
        in_use = False
        await anyio.sleep(1)
        server.should_exit = True
        await anyio.sleep(1)
    assert stops.told == []
    listener.end()


async def test_looks_again_when_there_are_streams_again() -> None:
    stops, in_use = Stops(), False
    async with running() as server:
        listener = listen(pytest.fail, stops, lambda: in_use)
        listener.server_of_request()
        await anyio.sleep(1)
        in_use = True
        listener.server_of_request()
        server.should_exit = True
        await anyio.sleep(0.2)
        assert stops.told == [(server, True)]
        listener.end()


@pytest.mark.parametrize("how", ["asend", "inner task", "generator"])
async def test_finds_a_server_that_runs_deep_inside_of_a_task(how: str) -> None:
    server = uvicorn.Server(uvicorn.Config(nothing, log_config=None, lifespan="off"))

    @types.coroutine
    def generator() -> Any:
        yield from server.serve([])

    async def run() -> None:
        match how:
            case "asend":
                await server.serve([])
            case "inner task":
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(server.serve, [])
            case _:
                await generator()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.sleep(1)
        listener = listen(nothing_called)
        assert found(listener).server is server
        listener.end()
        server.should_exit = True


def nothing_called() -> None:
    """Be called, or not."""


async def test_is_not_looked_for_where_it_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running():
        listener = listen(nothing_called)
        with monkeypatch.context() as context:
            context.delitem(sys.modules, "uvicorn.server")
            assert listener.server_of_request() is None
        listener.end()


class TestSeveralServers:
    async def test_that_stop_at_once_do_not_call_back_after_the_end(self) -> None:
        told: list[object] = []

        def hear(server: object, *, last: bool) -> None:
            told.append(server)
            listener.end()

        async with running() as one, running() as other:
            listener = listen(pytest.fail, hear)
            listener.server_of_request()
            one.should_exit = other.should_exit = True
            await anyio.sleep(1)
        assert len(told) == 1

    async def test_are_told_apart_by_their_requests(self) -> None:
        stops = Stops()
        async with running() as one, running() as other:
            listener = listening(stops)
            of_requests = []
            for server in (one, other):
                with request_of(server):
                    of_requests.append(found(listener))
            assert [known.server for known in of_requests] == [one, other]
            one.should_exit = True
            await anyio.sleep(1)
            assert stops.told == [(one, False)]
            assert [known.is_stopping() for known in of_requests] == [True, False]
            other.should_exit = True
            await anyio.sleep(1)
            assert stops.told == [(one, False), (other, True)]
            listener.end()

    async def test_of_which_one_serves_another_application(self) -> None:
        """That one goes on, but not for the listener."""
        stops = Stops()
        async with running() as one, running():
            listener = listening(stops)
            with request_of(one):
                listener.server_of_request()
            one.should_exit = True
            await anyio.sleep(1)
            assert stops.told == [(one, True)]
            listener.end()

    async def test_are_not_told_apart_in_a_task_of_a_middlewares_own(self) -> None:
        stops = Stops()
        async with running() as one, running():
            listener = listening(stops)
            assert listener.server_of_request() is None
            one.should_exit = True
            await anyio.sleep(1)
            assert stops.told == [(one, False)]
            listener.end()

    async def test_one_that_begins_later_is_found(self) -> None:
        async with running() as one:
            listener = listening(Stops())
            assert found(listener).server is one
            async with running() as other:
                await anyio.sleep(SEARCH_INTERVAL)
                with request_of(other):
                    of_other = found(listener)
                    assert of_other.server is other
            await anyio.sleep(SEARCH_INTERVAL)
            assert of_other.is_stopping()
            assert found(listener).server is one
            listener.end()

    async def test_one_that_has_ended_is_forgotten(self) -> None:
        stops = Stops()
        async with running() as one:
            listener = listening(stops)
            with request_of(one):
                of_one = found(listener)
        assert listener.server_of_request() is None
        async with running() as other:
            await anyio.sleep(SEARCH_INTERVAL)
            assert found(listener).server is other
            assert of_one.is_stopping()
            assert not of_one.disconnects()
            listener.end()


class Protocol:
    """A connection, as far as the server asks."""

    def __init__(self, cycle: object) -> None:
        self.cycle = cycle

    def shutdown(self) -> None:
        """Go on."""


class Cycle:
    """A request of uvicorn 0.43 and 0.44."""

    shutting_down = False


@pytest.mark.parametrize(
    ("cycles", "disconnects"),
    [([], False), ([None], False), ([object()], False), ([None, Cycle()], True)],
)
async def test_tells_whether_the_server_says_disconnect(
    cycles: list[object], disconnects: bool
) -> None:
    """Versions differ in what an object of theirs has, so that one is imitated here."""
    async with running() as server:
        listener = listen(nothing_called)
        of_request = found(listener)
        connections: Any = {Protocol(cycle) for cycle in cycles}
        server.server_state.connections |= connections
        assert not of_request.disconnects()
        server.should_exit = True
        assert of_request.disconnects() is disconnects
        assert listener.disconnects() is disconnects
        server.server_state.connections -= connections
        listener.end()
