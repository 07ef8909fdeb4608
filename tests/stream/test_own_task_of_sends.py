"""A `send` begins within a step of the generator, and yet belongs to a task of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from sse_middleware import CloseReason, EventSourceResponse
from sse_middleware.testing import ProtocolError
from tests.served import OopsError, chunks_of, observed

pytestmark = pytest.mark.anyio

Sending = Callable[[Send, Message], Awaitable[None]]


def around(items: AsyncIterator[Any], sending: Sending, **settings: Any) -> Any:
    """Return an application whose messages pass through a function of a middleware's."""
    response = EventSourceResponse(items, **settings)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_message(message: Message) -> None:
            await sending(send, message)

        await response(scope, receive, send_message)

    return app


async def idle() -> AsyncIterator[int]:
    yield 1
    await anyio.sleep_forever()
    yield 2  # it could go on


def is_event(message: Message, data: bytes) -> bool:
    return data in message.get("body", b"")


async def test_it_is_not_the_generators_task() -> None:
    tasks: dict[str, set[int]] = {"generator": set(), "send": set()}

    async def items() -> AsyncIterator[int]:
        for number in range(3):
            tasks["generator"].add(anyio.get_current_task().id)
            yield number
            await anyio.sleep(1)

    async def sending(send: Send, message: Message) -> None:
        tasks["send"].add(anyio.get_current_task().id)
        await send(message)

    async with chunks_of(around(items(), sending)) as chunks:
        assert len([chunk async for chunk in chunks]) == 3
    assert len(tasks["generator"]) == 1
    assert tasks["generator"].isdisjoint(tasks["send"])


async def test_a_timeout_of_the_generators_strikes_while_a_send_blocks() -> None:
    log: list[tuple[str, Any]] = []
    begin = anyio.current_time()

    async def items() -> AsyncIterator[int]:
        yield 1
        try:
            with anyio.fail_after(2):
                await anyio.sleep_forever()
        except TimeoutError:
            log.append(("generator", anyio.current_time() - begin))
        yield 2

    async def sending(send: Send, message: Message) -> None:
        if is_event(message, b"1"):
            await anyio.sleep(5)
            log.append(("send", anyio.current_time() - begin))
        await send(message)

    async with chunks_of(around(items(), sending)) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == b"data: 1\n\ndata: 2\n\n"
    assert log == [
        ("generator", pytest.approx(2, abs=0.01)),
        ("send", pytest.approx(5, abs=0.01)),
    ]


async def test_a_timeout_of_the_sends_does_not_strike_the_generator() -> None:
    async def items() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep(10)
        yield 2

    async def sending(send: Send, message: Message) -> None:
        with anyio.move_on_after(2):
            if is_event(message, b"1"):
                await anyio.sleep_forever()
            await send(message)

    begin = anyio.current_time()
    async with chunks_of(around(items(), sending)) as chunks:
        assert [chunk async for chunk in chunks] == [b"data: 2\n\n"]
    assert anyio.current_time() - begin == pytest.approx(10, abs=0.01)


async def test_what_it_raises_ends_the_stream_and_not_only_the_write() -> None:
    async def sending(send: Send, message: Message) -> None:
        if is_event(message, b"1"):
            raise OopsError
        await send(message)

    app, closed = observed(around(idle(), sending))
    with pytest.raises(OopsError):
        async with chunks_of(app) as chunks:
            await anext(chunks)
    assert [type(record.error) for record in closed.records] == [OopsError]


async def test_it_sees_the_requests_context_and_leaves_the_generators_alone() -> None:
    var: ContextVar[str] = ContextVar("var", default="")
    seen: list[tuple[str, str]] = []

    async def items() -> AsyncIterator[int]:
        for number in range(2):
            seen.append(("generator", var.get()))
            yield number
            await anyio.sleep(20)  # with a keep-alive

    async def sending(send: Send, message: Message) -> None:
        seen.append(("send", var.get()))
        token = var.set("send's")
        await send(message)
        var.reset(token)

    app = around(items(), sending)

    async def with_variable(scope: Scope, receive: Receive, send: Send) -> None:
        var.set("request's")
        await app(scope, receive, send)

    async with chunks_of(with_variable) as chunks:
        assert b": ping\n\n" in [chunk async for chunk in chunks]
    assert set(seen) == {("generator", "request's"), ("send", "request's")}


async def test_it_does_not_see_what_a_receive_sets() -> None:
    var: ContextVar[str] = ContextVar("var", default="")
    seen: list[str] = []

    async def items() -> AsyncIterator[int]:
        yield 1
        await anyio.sleep(20)  # with a keep-alive

    async def sending(send: Send, message: Message) -> None:
        seen.append(var.get())
        await send(message)

    app = around(items(), sending)

    async def with_receive(scope: Scope, receive: Receive, send: Send) -> None:
        async def receiving() -> Message:
            token = var.set("receive's")
            try:
                return await receive()
            finally:
                var.reset(token)

        await app(scope, receiving, send)

    async with chunks_of(with_receive) as chunks:
        assert b": ping\n\n" in [chunk async for chunk in chunks]
    assert set(seen) == {""}


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_a_task_factory_of_the_applications_is_used() -> None:
    made: list[str] = []

    def factory(loop: Any, coro: Any, **options: Any) -> Any:
        made.append(coro.__qualname__)
        return asyncio.Task(coro, loop=loop, **options)

    async def items() -> AsyncIterator[int]:
        yield 1

    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(factory)
    try:
        async with chunks_of(EventSourceResponse(items())) as chunks:
            assert [chunk async for chunk in chunks] == [b"data: 1\n\n"]
    finally:
        loop.set_task_factory(before)
    assert any("Writer" in name for name in made)


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_a_stream_ends_where_only_its_send_is_cancelled() -> None:
    async def sending(send: Send, message: Message) -> None:
        if is_event(message, b"1"):
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_later(1, task.cancel)
            await anyio.sleep_forever()
        await send(message)

    app, closed = observed(around(idle(), sending))
    async with chunks_of(app) as chunks:
        with pytest.raises(ProtocolError, match="without its last"):
            await anext(chunks)
    assert closed.reasons == [CloseReason.CANCELLED]


@pytest.mark.parametrize("virtual_time", ["asyncio"], indirect=True)
async def test_an_error_in_the_pass_in_which_the_status_is_due_is_still_a_status() -> None:
    async def failing() -> AsyncIterator[int]:
        await anyio.sleep(3)
        raise OopsError
        yield 1

    with pytest.raises(OopsError):
        async with chunks_of(EventSourceResponse(failing(), commit_after=3)):
            pytest.fail("there was a status")
