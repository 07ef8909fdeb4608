"""Servers that are told to stop.

Signals are real and sent to this process. uvicorn is real, too, but has no connections. hypercorn
is imitated.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from threading import Thread
from types import FrameType
from typing import Any

import anyio
import uvicorn

from sse_middleware.event_loop.loop import running_asyncio_task
from tests.patience import PATIENCE

SIGNALS = [signal.SIGTERM, signal.SIGINT]


class Server:
    """Handles both signals, as a server does that lets its requests end."""

    def __init__(self) -> None:
        self.received: list[int] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        assert frame is not None
        self.received.append(number)


def handlers() -> list[Any]:
    """Return what handles the signals now."""
    return [signal.getsignal(number) for number in SIGNALS]


def set_handlers(handlers: list[Any]) -> None:
    for number, handler in zip(SIGNALS, handlers, strict=True):
        signal.signal(number, handler)


class Callback:
    """Counts its calls, which must come from the event loop, and waits for them."""

    def __init__(self) -> None:
        self.calls = 0
        self._called = anyio.Event()

    def __call__(self) -> None:
        self.calls += 1
        self._called.set()  # on trio this fails outside of the event loop

    async def wait(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self._called.wait()
        assert self.calls == 1

    async def is_called_once(self) -> None:
        """As `wait`, in virtual time: a second call would have come."""
        await self.wait()
        await anyio.sleep(1)
        assert self.calls == 1

    async def is_not_called(self) -> None:
        """In virtual time, too."""
        await anyio.sleep(1)
        assert self.calls == 0


def in_thread(function: Callable[[], object]) -> None:
    thread = Thread(target=function)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


class ShutdownError(Exception):
    """What hypercorn's task raises."""


RAISE_SHUTDOWN = """
async def raise_shutdown(wait):
    await wait()
    raise ShutdownError
"""


def raise_shutdown_of(module: str) -> Any:
    """Define hypercorn's function in a module of that name."""
    names: dict[str, Any] = {"__name__": module, "ShutdownError": ShutdownError}
    exec(RAISE_SHUTDOWN, names)
    return names["raise_shutdown"]


async def serve_like_hypercorn(
    request: Callable[[], Awaitable[None]],
    stop: anyio.Event,
    module: str = "hypercorn.utils",
) -> None:
    """Run a request until it ends, next to the tasks that hypercorn has."""
    raise_shutdown = raise_shutdown_of(module)
    waits = [stop.wait, anyio.Event().wait]
    if running_asyncio_task() is None:
        await _serve_on_trio(request, partial(raise_shutdown, waits[0]), raise_shutdown, waits[1])
        return
    serving = asyncio.ensure_future(request())
    with suppress(BaseExceptionGroup):
        async with asyncio.TaskGroup() as tasks:
            for wait in waits:
                tasks.create_task(raise_shutdown(wait))
    await serving


async def _serve_on_trio(request: Any, first: Any, second: Any, never: Any) -> None:
    import trio  # noqa: PLC0415 - as in the package

    async with trio.open_nursery() as requests:
        with suppress(BaseExceptionGroup):
            async with trio.open_nursery(strict_exception_groups=True) as nursery:
                nursery.start_soon(first)
                nursery.start_soon(second, never)
                requests.start_soon(request)
                await trio.sleep_forever()


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    """An application."""


@asynccontextmanager
async def running(**config: Any) -> AsyncIterator[uvicorn.Server]:
    """Run a server, and stop it with the block."""
    config = {"log_config": None, "lifespan": "off", **config}
    server = uvicorn.Server(uvicorn.Config(nothing, **config))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve([]))
        await anyio.sleep(1)
        yield server
        server.should_exit = True


@contextmanager
def request_of(server: uvicorn.Server) -> Iterator[None]:
    """Make this task one of a request."""
    task: Any = asyncio.current_task()
    server.server_state.tasks.add(task)
    try:
        yield
    finally:
        server.server_state.tasks.discard(task)
