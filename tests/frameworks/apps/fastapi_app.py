"""FastAPI: its own events, and its own lines of JSON."""

from collections.abc import AsyncIterable

import anyio
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tests.frameworks.apps import bodies
from tests.frameworks.journal import heard, tell

app = FastAPI()


@app.get("/page")
async def page() -> dict[str, int]:
    return {"n": 0}


@app.get("/events", response_class=EventSourceResponse)
async def events(count: int) -> AsyncIterable[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent(data={"n": number}, id=str(number), event="n", comment="c")


@app.get("/handmade")
async def handmade(count: int) -> StreamingResponse:
    return StreamingResponse(bodies.frames(count), media_type="text/event-stream")


@app.get("/quiet", response_class=EventSourceResponse)
async def quiet() -> AsyncIterable[ServerSentEvent]:
    try:
        yield ServerSentEvent(raw_data="first")
        await anyio.sleep_forever()
    finally:
        tell("closed")


@app.get("/endless", response_class=EventSourceResponse)
async def endless() -> AsyncIterable[ServerSentEvent]:
    try:
        while True:
            yield ServerSentEvent(raw_data="first")
    finally:
        tell("closed")


@app.get("/broken", response_class=EventSourceResponse)
async def broken() -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(raw_data="first")
    yield ServerSentEvent(raw_data="second")
    await heard()
    raise RuntimeError("broken")


@app.get("/abrupt", response_class=EventSourceResponse)
async def abrupt() -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(raw_data="first")
    yield ServerSentEvent(raw_data="second")
    raise RuntimeError("broken")


@app.get("/lines")
async def lines(count: int) -> AsyncIterable[dict[str, int]]:
    for number in range(count):
        yield {"n": number}


@app.get("/quiet-lines")
async def quiet_lines() -> AsyncIterable[str]:
    try:
        yield "first"
        await anyio.sleep_forever()
    finally:
        tell("closed")


@app.get("/endless-lines")
async def endless_lines() -> AsyncIterable[str]:
    try:
        while True:
            yield "first"
    finally:
        tell("closed")


@app.get("/broken-lines")
async def broken_lines() -> AsyncIterable[str]:
    yield "first"
    yield "second"
    await heard()
    raise RuntimeError("broken")
