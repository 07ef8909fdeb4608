"""Asynchronous generators that wait for a worker thread after their clients have left.

Nothing can end such a thread. On trio the stream is open until the thread has returned.
"""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest
from starlette.concurrency import run_in_threadpool

from sse_middleware import EventSourceResponse, SSEMiddleware
from tests.served import client_of, events_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run in real time: an old anyio cancels shielded tasks without a pause, so no time passes."""
    return "asyncio"


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
        async with client_of(app) as client:
            assert (await client.http.get("/")).status_code == 503
    finally:
        release.set()
    assert "waited for a worker thread" in caplog.text
    async with client_of(app) as client:
        while True:  # the task that it was left to ends in a moment
            async with client.http.stream("GET", "/") as response:
                if response.status_code == 200:
                    break
