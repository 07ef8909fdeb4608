"""An application may set a task factory. Some are eager, and old ones know no context."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware
from sse_middleware.event_loop.task_group import daemon_task_group
from tests.served import client_of

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="not set")


def without_context(loop: Any, coro: Any) -> asyncio.Task[Any]:
    return asyncio.Task(coro, loop=loop)


def in_python(loop: Any, coro: Any, **options: Any) -> Any:
    tasks: Any = asyncio.tasks
    return tasks._PyTask(coro, loop=loop, **options)


FACTORIES: list[Any] = [without_context, in_python]
if sys.version_info >= (3, 12):
    FACTORIES.append(asyncio.eager_task_factory)

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True),
    pytest.mark.parametrize("factory", FACTORIES),
]


@contextmanager
def set_in_loop(factory: Callable[..., Any]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    try:
        yield
    finally:
        loop.set_task_factory(before)


async def numbers() -> AsyncIterator[int]:
    for number in range(3):
        yield number
        await anyio.sleep(0.001)
    await anyio.sleep_forever()  # what still waits for the next number waits for ever
    yield 3


async def native(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(numbers())


async def adopted(_request: Request) -> StreamingResponse:
    async def shorter_and_shorter() -> AsyncIterator[bytes]:
        async for number in numbers():
            yield b"data: %b\n\n" % (b"." * (30 - 10 * number))

    return StreamingResponse(shorter_and_shorter(), media_type="text/event-stream")


async def run(request: Request) -> EventSourceResponse:
    hub: Hub = request.app.state.hub
    return EventSourceResponse(await hub.resumable("key", numbers))


@pytest.mark.parametrize("endpoint", [native, adopted, run])
async def test_each_event_is_sent_when_it_comes(factory: Any, endpoint: Any) -> None:
    app = Starlette(routes=[Route("/", endpoint)])
    with set_in_loop(factory):
        async with Hub() as app.state.hub, client_of(SSEMiddleware(app)) as client:
            with anyio.fail_after(5):
                async with client.stream("GET", "/") as events:
                    assert len(await events.take(3)) == 3


@pytest.mark.parametrize("set_before", [True, False])
async def test_a_task_begins_later_in_the_context_of_its_group(
    factory: Any, *, set_before: bool
) -> None:
    log: list[str] = []
    begun = asyncio.Event()

    async def work() -> None:
        log.append(VARIABLE.get())
        VARIABLE.set("changed")
        begun.set()

    VARIABLE.set("set")
    with set_in_loop(factory if set_before else without_context):
        async with daemon_task_group() as group:
            VARIABLE.set("set later")
            with set_in_loop(factory):
                group.create_task(work())
            log.append("created")
            await begun.wait()
    assert log == ["created", "set"]
    assert VARIABLE.get() == "set later"


async def test_a_task_may_be_cancelled_before_it_begins(factory: Any) -> None:
    async def work() -> None:
        raise AssertionError

    with set_in_loop(factory):
        async with daemon_task_group() as group:
            group.create_task(work())  # no warning says that it was never awaited
