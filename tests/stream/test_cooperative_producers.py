"""A cooperative producer, one that waits for ``http.disconnect`` itself, may end by itself."""

import asyncio
from typing import Any

import anyio
import pytest

from sse_middleware import SSEMiddleware
from sse_middleware.legacy.adopted_response import LATE_SEND
from sse_middleware.stream.closing import DISCONNECT_GRACE
from tests.served import events_of

pytestmark = pytest.mark.anyio

START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/x-ndjson")],
}
FIRST = {"type": "http.response.body", "body": b"0\n", "more_body": True}


async def until_disconnected(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def disconnect_after_an_event(app: Any) -> None:
    async with events_of(SSEMiddleware(app)) as events:
        await events.next()
        await events.disconnect()
        await anyio.sleep(20)  # then the client cancels whatever still runs


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_may_stop_a_task_that_no_one_else_can_stop() -> None:
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
        listening = asyncio.ensure_future(until_disconnected(receive))
        await asyncio.wait([answering, listening], return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()
        await asyncio.wait([answering])

    await disconnect_after_an_event(app)
    assert log == ["stopped"]


CLEANUP_TIMEOUT = 5


async def test_that_does_not_end_is_cancelled_after_the_cleanup_timeout() -> None:
    log: list[float] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_disconnected, receive)
            await send(START)
            await send(FIRST)
            began = anyio.current_time()
            try:
                await anyio.sleep(3600)
            finally:
                log.append(anyio.current_time() - began)

    await disconnect_after_an_event(app)
    assert log == [pytest.approx(CLEANUP_TIMEOUT, abs=0.1)]


async def test_that_goes_on_sending_is_slowed_down_until_it_is_cancelled() -> None:
    log: list[float] = []
    sent = 0

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(until_disconnected, receive)
            await send(START)
            began = anyio.current_time()
            try:
                while True:
                    await send(FIRST)
                    sent += 1
                    await anyio.sleep(0.1)
            finally:
                log.append(anyio.current_time() - began)

    await disconnect_after_an_event(app)
    assert log == [pytest.approx(CLEANUP_TIMEOUT, abs=0.2)]
    assert sent <= DISCONNECT_GRACE / 0.1 + CLEANUP_TIMEOUT / LATE_SEND


async def test_may_work_for_its_client_while_another_task_goes_on_sending() -> None:
    log: list[str] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async def answer() -> None:
            await send(START)
            while True:
                await send(FIRST)
                await anyio.sleep(0.1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            await until_disconnected(receive)
            await anyio.sleep(2)
            log.append("close handler")
            tasks.cancel_scope.cancel()
        await anyio.sleep(2)
        log.append("background")

    await disconnect_after_an_event(app)
    assert log == ["close handler", "background"]


@pytest.mark.parametrize("completes_late", [True, False])
async def test_may_do_what_comes_after_its_client(completes_late: bool) -> None:
    log: list[str] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(FIRST)
        await until_disconnected(receive)
        await anyio.sleep(2)
        if completes_late:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        log.append("background")
        await anyio.sleep(2)
        log.append("exit of a dependency")

    await disconnect_after_an_event(app)
    assert log == ["background", "exit of a dependency"]
