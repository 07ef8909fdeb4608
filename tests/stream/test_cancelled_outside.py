"""What is cancelled from outside: by a scope, by the server, at whatever moment."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.types import Message

from sse_middleware import CloseReason, EventSourceResponse, SSEMiddleware
from sse_middleware.event_loop.cancel_scope import edge_cancel_scope
from sse_middleware.event_loop.task_group import daemon_task_group
from tests.served import Ends, call

pytestmark = pytest.mark.anyio

only_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])


class Sent:
    """What a server has been sent, and when it takes more."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.blocked = anyio.Event()

    async def nothing(self, message: Message) -> None:
        """Take the head, then nothing, whoever cancels it, as hypercorn on trio."""
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.blocked.set()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(100)


async def endless() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()


async def stubborn() -> AsyncIterator[int]:
    yield 1
    with suppress(asyncio.CancelledError):
        await anyio.sleep_forever()


async def test_while_the_last_message_is_on_its_way() -> None:
    ends, sent = Ends(), Sent()
    app = SSEMiddleware(EventSourceResponse([1]), observers=[ends], send_timeout=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, send=sent.nothing))
        await sent.blocked.wait()
        tasks.cancel_scope.cancel()
    assert ends.reasons == [CloseReason.CANCELLED]


async def test_during_a_drain_there_is_no_farewell_where_others_are_cancelled_too() -> None:
    ends, sent = Ends(), Sent()
    app = SSEMiddleware(EventSourceResponse(endless()), observers=[ends], send_timeout=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, send=sent.nothing))
        await sent.blocked.wait()
        tasks.start_soon(app.drain)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert ends.reasons == [CloseReason.CANCELLED]
    assert [message["type"] for message in sent.messages].count("http.response.body") == 1


@only_asyncio
async def test_a_generator_that_goes_on_does_not_hide_it() -> None:
    log: list[str] = []
    app = SSEMiddleware(EventSourceResponse(stubborn()))

    async def served() -> None:
        await call(app)
        log.append("returned")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(served)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert log == []


@only_asyncio
class TestHeed:
    async def test_closes_the_work(self) -> None:
        log: list[str] = []

        async def work() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                log.append("closed")

        guard: Any = edge_cancel_scope(5)
        with guard:
            steps = guard.run(work())
            assert steps.send(None) is not None
            steps.close()
        assert log == ["closed"]


@only_asyncio
class TestCompanions:
    async def test_are_waited_for_by_a_block_that_is_cancelled_meanwhile(self) -> None:
        log: list[str] = []
        release = asyncio.Event()

        async def slow() -> None:
            with suppress(asyncio.CancelledError):
                await anyio.sleep_forever()
            log.append("cancelled")
            await release.wait()
            log.append("released")

        async def block() -> None:
            async with daemon_task_group() as beside:
                beside.create_task(slow())
                await anyio.wait_all_tasks_blocked()
            log.append("unreached")

        task = asyncio.create_task(block())
        while not log:
            await anyio.wait_all_tasks_blocked()
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["cancelled", "released"]

    async def test_do_not_hide_the_error_of_a_block_that_is_cancelled_meanwhile(self) -> None:
        begun, release = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            with suppress(asyncio.CancelledError):
                await anyio.sleep_forever()
            begun.set()
            await release.wait()

        async def block() -> None:
            async with daemon_task_group() as beside:
                beside.create_task(slow())
                await anyio.wait_all_tasks_blocked()
                raise LookupError

        task = asyncio.create_task(block())
        await begun.wait()
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        release.set()
        with pytest.raises(LookupError):
            await task
