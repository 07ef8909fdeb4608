"""Small applications whose every await is a checkpoint, and a log of what they clean up."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx
from anyio.lowlevel import checkpoint

from sse_middleware import EventSourceResponse, ServerSentEvent, relay
from sse_middleware.presets import OPENAI

Log = list[str]


async def clean_up(log: Log) -> None:
    log.append("begin")
    for _ in range(3):
        await checkpoint()
    log.append("end")


@asynccontextmanager
async def session(log: Log) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await clean_up(log)


def tokens(log: Log) -> Any:
    async def items() -> AsyncIterator[Any]:
        try:
            for number in range(3):
                await checkpoint()
                yield {"token": number}
        finally:
            await clean_up(log)

    return EventSourceResponse(items())


def within_a_context(log: Log) -> Any:
    async def items() -> AsyncIterator[Any]:
        async with session(log):
            await checkpoint()
            yield ServerSentEvent(data=1, id="1")
            yield None
        yield "last"

    return EventSourceResponse(items(), preset=OPENAI)


def within_a_task_group(log: Log) -> Any:
    async def items() -> AsyncIterator[Any]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(checkpoint)
            for number in range(3):
                with anyio.CancelScope() as scope:
                    scope.cancel()
                    await checkpoint()
                yield number
        await clean_up(log)

    return EventSourceResponse(items())


def failing(log: Log) -> Any:
    async def items() -> AsyncIterator[Any]:
        try:
            yield 1
            await checkpoint()
            yield [].pop()
        except IndexError:
            yield "mended"
        finally:
            await clean_up(log)

    return EventSourceResponse(items(), compression=["gzip"])


def foreign(log: Log) -> Any:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        async with session(log):
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for number in range(3):
                body = b"data: %d\n\n" % number
                await send({"type": "http.response.body", "body": body, "more_body": number < 2})
                await checkpoint()

    return app


def listening(log: Log) -> Any:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        async def answer() -> None:
            headers = [(b"content-type", b"application/x-ndjson")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for number in range(3):
                body = b"%d\n" % number
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            tasks.cancel_scope.cancel()

        async with session(log), anyio.create_task_group() as tasks:
            tasks.start_soon(answer)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()

    return app


def in_a_thread(log: Log) -> Any:
    def items() -> Iterator[Any]:
        log.append("begin")
        try:
            yield from range(3)
        finally:
            log.append("end")

    return EventSourceResponse(items())


def relayed(log: Log) -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            for _ in range(3):
                await checkpoint()
                yield b"data: 1\n\ndata"
                yield b": 2\n\n"
        finally:
            await clean_up(log)

    return EventSourceResponse(relay(chunks()))


def relayed_from_a_response(log: Log) -> Any:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            await checkpoint()
            yield b"data: 1\n\n"
        yield b"data: [DONE]\n\n"

    @asynccontextmanager
    async def requested() -> AsyncIterator[httpx.Response]:
        await checkpoint()
        async with session(log):
            headers = {"content-type": "text/event-stream"}
            yield httpx.Response(200, headers=headers, content=chunks())

    async def later(event: ServerSentEvent) -> ServerSentEvent:
        await checkpoint()
        return event

    return EventSourceResponse(relay(requested(), map=later), preset=OPENAI)


SCENARIOS: list[Callable[[Log], Any]] = [
    tokens,
    within_a_context,
    within_a_task_group,
    failing,
    foreign,
    listening,
    in_a_thread,
    relayed,
    relayed_from_a_response,
]
