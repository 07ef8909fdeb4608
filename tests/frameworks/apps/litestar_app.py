"""Litestar: its own events, and a stream of lines."""

from collections.abc import AsyncIterator

import anyio
from litestar import Litestar, get
from litestar.response import ServerSentEvent, Stream

from tests.frameworks.journal import tell


async def some(count: int) -> AsyncIterator[dict[str, object]]:
    for number in range(count):
        yield {"data": f'{{"n":{number}}}', "id": number, "event": "n", "comment": "c"}


async def none() -> AsyncIterator[str]:
    try:
        yield "0"
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def two() -> AsyncIterator[str]:
    yield "0"
    yield "1"
    raise RuntimeError("broken")


async def json_lines(count: int) -> AsyncIterator[bytes]:
    for number in range(count):
        yield b'{"n":%d}\n' % number


@get("/events")
async def events(count: int) -> ServerSentEvent:
    return ServerSentEvent(some(count))


@get("/quiet")
async def quiet() -> ServerSentEvent:
    return ServerSentEvent(none())


@get("/broken")
async def broken() -> ServerSentEvent:
    return ServerSentEvent(two())


@get("/lines")
async def lines(count: int) -> Stream:
    return Stream(json_lines(count), media_type="application/x-ndjson")


app = Litestar([events, quiet, broken, lines])
