"""BlackSheep: its own events, and a stream of lines."""

from collections.abc import AsyncIterable

import anyio
from blacksheep import Application, Response, StreamedContent, get
from blacksheep.server.sse import ServerSentEvent, ServerSentEventsResponse

from tests.frameworks.apps import starlette_app
from tests.frameworks.journal import tell

app = Application()


async def some(count: int) -> AsyncIterable[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent({"n": number}, id=str(number), event="n", comment="c")


async def none() -> AsyncIterable[ServerSentEvent]:
    try:
        yield ServerSentEvent(0)
        await anyio.sleep_forever()
    finally:
        tell("closed")


async def two() -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent("0")
    yield ServerSentEvent("1")
    raise RuntimeError("broken")


@get("/events")
async def events(count: int) -> Response:
    return ServerSentEventsResponse(lambda: some(count))


@get("/quiet")
async def quiet() -> Response:
    return ServerSentEventsResponse(none)


@get("/broken")
async def broken() -> Response:
    return ServerSentEventsResponse(two)


@get("/lines")
async def lines(count: int) -> Response:
    async def body() -> AsyncIterable[bytes]:
        async for line in starlette_app.json_lines(count):
            yield line

    return Response(200, content=StreamedContent(b"application/x-ndjson", body))
