"""hypercorn says that it stops by the end of a task."""

import anyio
import anyio.lowlevel
import pytest

from sse_middleware.shutdown.listener import listen
from tests.shutdown.servers import Callback, serve_like_hypercorn

pytestmark = pytest.mark.anyio


async def test_calls_back_when_hypercorn_stops_serving() -> None:
    stop, callback = anyio.Event(), Callback()

    async def request() -> None:
        end = listen(callback).end
        await callback.is_not_called()
        stop.set()
        await callback.is_called_once()
        end()

    await serve_like_hypercorn(request, stop)


async def test_calls_back_in_a_child_of_the_requests_task() -> None:
    stop, callback = anyio.Event(), Callback()

    async def request() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(child)

    async def child() -> None:
        listen(callback)
        stop.set()
        await callback.is_called_once()

    await serve_like_hypercorn(request, stop)


async def test_does_not_call_back_once_the_listening_has_ended() -> None:
    stop, callback = anyio.Event(), Callback()

    async def request() -> None:
        end = listen(callback).end
        await anyio.lowlevel.checkpoint()
        end()
        end()
        listen(callback).end()  # ended at once
        stop.set()
        await callback.is_not_called()

    await serve_like_hypercorn(request, stop)


async def test_ignores_tasks_of_other_modules() -> None:
    stop, callback = anyio.Event(), Callback()

    async def request() -> None:
        listen(callback)
        stop.set()
        await callback.is_not_called()

    await serve_like_hypercorn(request, stop, "an_application.of_hypercorn")
