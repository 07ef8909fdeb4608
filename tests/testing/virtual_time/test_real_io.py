"""Real I/O in virtual time is an error."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
import httpx
import pytest
import trio
from anyio.from_thread import start_blocking_portal

from sse_middleware.event_loop.loop import running_asyncio_task
from sse_middleware.testing.virtual_time.clock import VirtualTime
from sse_middleware.testing.virtual_time.schedule import RealIOError
from tests.testing.portals import forgets_options


async def connect_by_address() -> None:
    await anyio.connect_tcp("127.0.0.1", 9)


async def connect_by_name() -> None:
    await anyio.connect_tcp("localhost", 9)


async def request_over_http() -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.get("http://127.0.0.1:9/")


async def look_up_a_name() -> None:
    await anyio.getnameinfo(("127.0.0.1", 9))


async def listen_with_trio() -> None:
    await trio.open_tcp_listeners(0, host="127.0.0.1")


async def start_a_process() -> None:
    await anyio.run_process([sys.executable, "-c", "input()"])


async def wait_for_a_file() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        if running_asyncio_task() is None:
            await trio.lowlevel.wait_readable(one)
        else:
            await asyncio.get_running_loop().sock_recv(one, 1)


async def open_an_asyncio_connection() -> None:
    await asyncio.open_connection("127.0.0.1", 9)


async def start_an_asyncio_server() -> None:
    await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)


async def connect_an_asyncio_socket() -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", 9))


async def read_in_a_callback() -> None:
    one, other = socket.socketpair()
    with one, other:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, one)
        try:
            await anyio.sleep_forever()
        finally:
            transport.abort()


EVERYWHERE: list[Callable[[], Awaitable[None]]] = [
    connect_by_address,
    connect_by_name,
    request_over_http,
    look_up_a_name,
    start_a_process,
    wait_for_a_file,
]


class TestRealIO:
    @pytest.mark.parametrize("begin", EVERYWHERE)
    def test_fails_at_once(self, time: VirtualTime, begin: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises((RealIOError, ExceptionGroup)) as caught:
            time.run(begin)
        errors = caught.value
        error = errors.exceptions[0] if isinstance(errors, ExceptionGroup) else errors
        assert isinstance(error, RealIOError)
        assert str(error).startswith("real I/O in virtual time: ")
        assert time.elapsed == 0

    @pytest.mark.parametrize(
        ("begin", "name"),
        [
            (open_an_asyncio_connection, "create_connection"),
            (start_an_asyncio_server, "create_server"),
            (start_a_process, "subprocess_exec"),
            (connect_an_asyncio_socket, "sock_connect"),
            (connect_by_name, "getaddrinfo"),
        ],
    )
    def test_on_asyncio_names_the_call(
        self, asyncio_time: VirtualTime, begin: Callable[[], Awaitable[None]], name: str
    ) -> None:
        with pytest.raises(RealIOError, match=rf"{name}\(\) was called"):
            asyncio_time.run(begin)

    def test_on_asyncio_is_raised_to_the_caller(self, asyncio_time: VirtualTime) -> None:
        async def main() -> str:
            with pytest.raises(RealIOError, match="waiting for"):
                await wait_for_a_file()
            await anyio.sleep(1)
            return "went on"

        assert asyncio_time.run(main) == "went on"

    def test_in_a_callback_of_asyncio_fails_the_run(self, asyncio_time: VirtualTime) -> None:
        with pytest.raises(RealIOError, match="waiting for"):
            asyncio_time.run(read_in_a_callback)

    def test_on_trio_may_not_listen(self, trio_time: VirtualTime) -> None:
        with pytest.raises(RealIOError, match="a socket was asked for"):
            trio_time.run(listen_with_trio)

    def test_is_possible_on_trio_again_after_the_run(self, trio_time: VirtualTime) -> None:
        async def main() -> None:
            with pytest.raises(RealIOError):
                trio.socket.socket()

        async def later() -> None:
            trio.socket.socket().close()
            assert await trio.socket.getnameinfo(("127.0.0.1", 9), socket.NI_NUMERICHOST)

        trio_time.run(main)
        trio.run(later)

    def test_on_trio_kills_a_process_that_was_started(self, trio_time: VirtualTime) -> None:
        processes = []

        async def main() -> None:
            async with await anyio.open_process([sys.executable, "-c", "input()"]) as process:
                processes.append(process)
                await process.wait()

        with pytest.raises(RealIOError, match="a task waits"):
            trio_time.run(main)
        assert processes[0].returncode is not None

    @forgets_options
    def test_real_io_outside_of_calls_fails_a_paused_block(self) -> None:
        time = VirtualTime("trio", held=True)

        @asynccontextmanager
        async def lifespan() -> AsyncIterator[None]:
            with time.flowing() as flow:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait_for_a_file)
                    with flow.paused():
                        yield

        def main() -> None:
            with (
                start_blocking_portal(time.backend, time.backend_options) as portal,
                portal.wrap_async_context_manager(lifespan()),
            ):
                pass

        with pytest.raises(RealIOError):
            main()
