"""Asynchronous generators that wait for a worker thread after their clients have left.

Nothing can end such a thread. On trio the stream is open until the thread has returned.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest
from anyio import CapacityLimiter, to_thread
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse

from sse_middleware import EventSourceResponse, SSEMiddleware
from sse_middleware.event_loop.awaited_threads import threads_forget
from tests.served import client_of, events_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run in real time: an old anyio cancels shielded tasks without a pause, so no time passes."""
    return "asyncio"


async def status_of(app: Any) -> int:
    """Open a stream, and leave at once. Returns the status."""
    async with client_of(app) as client, client.http.stream("GET", "/") as response:
        return response.status_code


async def test_a_task_of_a_generator_that_waits_for_a_thread_keeps_the_place(
    caplog: Any,
) -> None:
    release = threading.Event()

    async def shielded() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run_in_threadpool, release.wait)

    async def threaded() -> AsyncIterator[int]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(shielded())
            yield 1
            await anyio.sleep_forever()

    async def application(*args: Any) -> None:
        await EventSourceResponse(threaded())(*args)

    app = SSEMiddleware(application, max_streams=1, cleanup_timeout=0.05)
    try:
        async with events_of(app) as events:
            await events.next()
        assert app.stats().open == 0
        assert await status_of(app) == 503
    finally:
        release.set()
    assert "waited for a worker thread" in caplog.text
    while await status_of(app) == 503:
        pass  # the task that it was left to ends in a moment


Block = Callable[[], object]
Items = AsyncIterator[object]


async def calls_the_pool(block: Block) -> Items:
    yield "open"
    yield await run_in_threadpool(block)


async def has_a_limiter_of_its_own(block: Block) -> Items:
    yield "open"
    yield await to_thread.run_sync(block, limiter=CapacityLimiter(1))


async def pulls_a_generator(block: Block) -> Items:
    def items() -> Iterator[object]:
        yield "open"
        block()

    async for item in iterate_in_threadpool(items()):
        yield item


async def waits_in_its_cleanup(block: Block) -> Items:
    try:
        yield "open"
        await anyio.sleep_forever()
    finally:
        await run_in_threadpool(block)


async def calls_the_executor(block: Block) -> Items:
    yield "open"
    yield await asyncio.to_thread(block)


def native(items: Callable[[Block], Items]) -> Callable[[Block], Any]:
    return lambda block: EventSourceResponse(items(block))


def foreign(block: Block) -> Any:
    """Return a response of Starlette whose server reports a client that leaves by an error."""

    def items() -> Iterator[bytes]:
        yield b"data: 1\n\n"
        block()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["asgi"] = {"version": "3.0", "spec_version": "2.4"}
        await StreamingResponse(items(), media_type="text/event-stream")(scope, receive, send)

    return app


of_anyio = pytest.mark.skipif(not threads_forget(), reason="anyio keeps what a thread has done")


@pytest.mark.parametrize(
    ("response", "cleans_up"),
    [
        pytest.param(native(calls_the_pool), False, id="calls the pool", marks=of_anyio),
        pytest.param(native(has_a_limiter_of_its_own), False, id="has a limiter", marks=of_anyio),
        pytest.param(native(pulls_a_generator), False, id="pulls a generator", marks=of_anyio),
        pytest.param(native(waits_in_its_cleanup), True, id="waits in its cleanup", marks=of_anyio),
        pytest.param(native(calls_the_executor), False, id="calls the executor"),
        pytest.param(foreign, False, id="foreign", marks=of_anyio),
    ],
)
async def test_a_thread_that_is_left_keeps_the_place(
    response: Callable[[Block], Any], cleans_up: bool
) -> None:
    release, blocks, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()

    def block() -> None:
        loop.call_soon_threadsafe(blocks.set)
        release.wait()

    async def application(*args: Any) -> None:
        await response(block)(*args)

    app = SSEMiddleware(application, max_streams=1, cleanup_timeout=0.05, finish_timeout=0.05)
    try:
        async with events_of(app) as events:
            await events.next()
            if not cleans_up:
                await blocks.wait()
        assert app.stats().open == 0
        assert await status_of(app) == 503
    finally:
        release.set()
    while await status_of(app) == 503:
        pass  # the thread returns in a moment
