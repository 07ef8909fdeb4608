"""Litestar: its own events, and streams of lines."""

from collections.abc import AsyncIterator

from litestar import Litestar, get
from litestar.response import ServerSentEvent, Stream

from tests.frameworks.apps import bodies


async def some(count: int) -> AsyncIterator[dict[str, object]]:
    for number in range(count):
        yield {"data": f'{{"n":{number}}}', "id": number, "event": "n", "comment": "c"}


@get("/page")
async def page() -> dict[str, int]:
    return {"n": 0}


@get("/events")
async def events(count: int) -> ServerSentEvent:
    return ServerSentEvent(some(count))


@get("/handmade")
async def handmade(count: int) -> Stream:
    return Stream(bodies.frames(count), media_type="text/event-stream")


@get("/quiet")
async def quiet() -> ServerSentEvent:
    return ServerSentEvent(bodies.quiet_texts())


@get("/endless")
async def endless() -> ServerSentEvent:
    return ServerSentEvent(bodies.endless_texts())


@get("/broken")
async def broken() -> ServerSentEvent:
    return ServerSentEvent(bodies.broken_texts())


@get("/abrupt")
async def abrupt() -> ServerSentEvent:
    return ServerSentEvent(bodies.abrupt_texts())


@get("/lines")
async def lines(count: int) -> Stream:
    return Stream(bodies.json_lines(count), media_type="application/x-ndjson")


@get("/quiet-lines")
async def quiet_lines() -> Stream:
    return Stream(bodies.quiet_lines(), media_type="application/x-ndjson")


@get("/endless-lines")
async def endless_lines() -> Stream:
    return Stream(bodies.endless_lines(), media_type="application/x-ndjson")


@get("/broken-lines")
async def broken_lines() -> Stream:
    return Stream(bodies.broken_lines(), media_type="application/x-ndjson")


HANDLERS = [
    page,
    events,
    handmade,
    quiet,
    endless,
    broken,
    abrupt,
    lines,
    quiet_lines,
    endless_lines,
    broken_lines,
]

app = Litestar(HANDLERS)
