"""A cancellation from outside, by a scope or by the server, at any moment of a stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import pytest
from starlette.background import BackgroundTask
from starlette.types import Message

from sse_middleware import CloseReason, EventSourceResponse, SSEMiddleware
from sse_middleware.testing import NoAnswerError, ProtocolError
from tests.served import ClosedStreams, body_of, call, events_of
from tests.stream.traces import Trace, running_asyncio

pytestmark = pytest.mark.anyio


class StalledServer:
    """Takes the head, then blocks in `send`, also when it is cancelled: as hypercorn on trio."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.blocked = anyio.Event()

    async def send(self, message: Message) -> None:
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.blocked.set()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(100)


async def endless() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()
    yield 0  # it could go on


async def stubborn() -> AsyncIterator[int]:
    yield 1
    with suppress(asyncio.CancelledError):
        await anyio.sleep_forever()
        yield 0  # it could go on


async def test_may_come_during_the_last_message() -> None:
    closed_streams, server = ClosedStreams(), StalledServer()
    response = EventSourceResponse([1])
    app = SSEMiddleware(response, observers=[closed_streams], send_timeout=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, send=server.send))
        await server.blocked.wait()
        tasks.cancel_scope.cancel()
    assert closed_streams.reasons == [CloseReason.CANCELLED]


async def test_during_a_drain_drops_the_farewell() -> None:
    closed_streams, server = ClosedStreams(), StalledServer()
    response = EventSourceResponse(endless())
    app = SSEMiddleware(response, observers=[closed_streams], send_timeout=None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, app, send=server.send))
        await server.blocked.wait()
        tasks.start_soon(app.drain)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert closed_streams.reasons == [CloseReason.CANCELLED]
    assert [message["type"] for message in server.messages].count("http.response.body") == 1


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_is_not_hidden_by_a_generator_that_swallows_it() -> None:
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


async def test_of_an_outer_scope_reaches_a_generator_once() -> None:
    trace, returned = Trace(), []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with anyio.move_on_after(5):
            await EventSourceResponse(trace.idle())(scope, receive, send)
        returned.append(trace.was_cleaned_up())

    async with events_of(app) as events:
        await events.next()
        with pytest.raises(ProtocolError, match="ended without its last"):
            await events.next()
    assert returned == [True]


async def test_of_an_outer_scope_during_a_cleanup_is_caught_there() -> None:
    trace = Trace(seconds=3)
    log: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with anyio.move_on_after(2) as around:
            await EventSourceResponse(trace.idle())(scope, receive, send)
            await anyio.lowlevel.checkpoint()
            log.append("went on")
        log.append(around.cancelled_caught)

    await call(SSEMiddleware(app), leave=partial(anyio.sleep, 1))
    assert log == ([True] if running_asyncio() else ["went on", False])
    assert trace.was_cleaned_up()


async def test_of_an_outer_scope_before_the_first_item_sends_nothing() -> None:
    async def items() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 1

    log: list[Any] = []

    async def background() -> None:
        log.append("background")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = EventSourceResponse(
            items(), commit_after=1000, background=BackgroundTask(background)
        )
        with anyio.move_on_after(5) as around:
            await response(scope, receive, send)
        log.append(around.cancelled_caught)

    with pytest.raises(NoAnswerError, match=r"ended without http\.response\.start"):
        await body_of(app)
    assert log == [True]


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
class TestTaskCancel:
    """Servers on asyncio cancel the task of the application."""

    async def test_lets_an_await_complete_and_passes(self) -> None:
        trace, first = Trace(), anyio.Event()

        async def send(message: Any) -> None:
            if message.get("body"):
                first.set()

        task = asyncio.create_task(call(EventSourceResponse(trace.idle()), send=send))
        await first.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert trace.was_cleaned_up()

    async def test_of_a_task_that_the_generator_awaits_loses_no_event(self) -> None:
        async def items() -> AsyncIterator[int]:
            yield 1
            other = asyncio.create_task(asyncio.sleep(1000))
            asyncio.get_running_loop().call_soon(other.cancel)
            await other

        sent = []

        async def send(message: Any) -> None:
            sent.append(message.get("body"))

        with pytest.raises(asyncio.CancelledError):
            await call(EventSourceResponse(items()), send=send)
        assert sent == [None, b"data: 1\n\n"]

    async def test_is_never_left_pending(self) -> None:
        counts = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            await EventSourceResponse(endless())(scope, receive, send)
            task = asyncio.current_task()
            assert task is not None
            counts.append(task.cancelling())
            await asyncio.sleep(0)

        async with events_of(app) as events:
            await events.next()
        assert counts == [0]
