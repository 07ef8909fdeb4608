"""An adopted application that waits for the end of its connection may end by itself."""

import asyncio
from typing import Any

import anyio
import pytest

from sse_middleware import SSEMiddleware
from sse_middleware.stream.closing import DISCONNECT_GRACE
from sse_middleware.testing import EventClient, VirtualTime

pytestmark = pytest.mark.anyio

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/x-ndjson")],
}
FIRST = {"type": "http.response.body", "body": b"0\n", "more_body": True}


@pytest.fixture
def anyio_backend(virtual_time: VirtualTime) -> tuple[str, dict[str, Any]]:
    return virtual_time.backend, virtual_time.backend_options


async def until_left(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def leave_at_once(app: Any) -> None:
    async with (
        EventClient(SSEMiddleware(app), run_lifespan=False) as client,
        client.stream("GET", "/") as stream,
    ):
        await anext(stream)
        await stream.disconnect()
        await anyio.sleep(
            2 * DISCONNECT_GRACE
        )  # of virtual time, before the client cancels what is left


async def test_a_task_that_only_the_application_can_stop_is_stopped(
    virtual_time: VirtualTime,
) -> None:
    if virtual_time.backend != "asyncio":
        pytest.skip("trio has no such tasks")
    log: list[str] = []

    async def answer(send: Any) -> None:
        try:
            await send(START)
            await send(FIRST)
            await asyncio.sleep(3600)
        finally:
            log.append("stopped")

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        answering = asyncio.ensure_future(answer(send))
        listening = asyncio.ensure_future(until_left(receive))
        await asyncio.wait([answering, listening], return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()
        await asyncio.wait([answering])

    await leave_at_once(app)
    assert log == ["stopped"]


async def test_who_reads_of_the_end_and_goes_on_is_cancelled_after_a_moment() -> None:
    log: list[float] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_left, receive)
            await send(START)
            await send(FIRST)
            began = anyio.current_time()
            try:
                await anyio.sleep(3600)
            finally:
                log.append(anyio.current_time() - began)

    await leave_at_once(app)
    assert log == [pytest.approx(DISCONNECT_GRACE)]
