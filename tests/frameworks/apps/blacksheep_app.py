"""BlackSheep: its own events, and streams of lines."""

from collections.abc import AsyncIterable

import anyio
from blacksheep import Application, Response, StreamedContent, get
from blacksheep.server.responses import json
from blacksheep.server.sse import ServerSentEvent, ServerSentEventsResponse, TextServerSentEvent

from tests.frameworks.apps import bodies
from tests.frameworks.journal import heard, tell

app = Application()


async def some(count: int) -> AsyncIterable[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent({"n": number}, id=str(number), event="n", comment="c")


async def first() -> AsyncIterable[ServerSentEvent]:
    try:
        yield TextServerSentEvent("first")
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def all_first() -> AsyncIterable[ServerSentEvent]:
    try:
        while True:
            yield TextServerSentEvent("first")
    finally:
        tell("closed")


async def two() -> AsyncIterable[ServerSentEvent]:
    yield TextServerSentEvent("first")
    yield TextServerSentEvent("second")
    await heard()
    raise RuntimeError("broken")


async def two_at_once() -> AsyncIterable[ServerSentEvent]:
    yield TextServerSentEvent("first")
    yield TextServerSentEvent("second")
    raise RuntimeError("broken")


@get("/page")
async def page() -> Response:
    return json({"n": 0})


@get("/events")
async def events(count: int) -> Response:
    return ServerSentEventsResponse(lambda: some(count))


@get("/handmade")
async def handmade(count: int) -> Response:
    async def body() -> AsyncIterable[bytes]:
        async for frame in bodies.frames(count):
            yield frame

    return Response(200, content=StreamedContent(b"text/event-stream", body))


@get("/quiet")
async def quiet() -> Response:
    return ServerSentEventsResponse(first)


@get("/endless")
async def endless() -> Response:
    return ServerSentEventsResponse(all_first)


@get("/broken")
async def broken() -> Response:
    return ServerSentEventsResponse(two)


@get("/abrupt")
async def abrupt() -> Response:
    return ServerSentEventsResponse(two_at_once)


@get("/lines")
async def lines(count: int) -> Response:
    async def body() -> AsyncIterable[bytes]:
        async for line in bodies.json_lines(count):
            yield line

    return Response(200, content=StreamedContent(b"application/x-ndjson", body))


@get("/quiet-lines")
async def quiet_lines() -> Response:
    return Response(200, content=StreamedContent(b"application/x-ndjson", bodies.quiet_lines))


@get("/endless-lines")
async def endless_lines() -> Response:
    return Response(200, content=StreamedContent(b"application/x-ndjson", bodies.endless_lines))


@get("/broken-lines")
async def broken_lines() -> Response:
    return Response(200, content=StreamedContent(b"application/x-ndjson", bodies.broken_lines))
