"""FastAPI: its own events, and its own lines of JSON."""

from collections.abc import AsyncIterable

import anyio
from fastapi import FastAPI
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tests.frameworks.journal import tell

app = FastAPI()


@app.get("/events", response_class=EventSourceResponse)
async def events(count: int) -> AsyncIterable[ServerSentEvent]:
    for number in range(count):
        yield ServerSentEvent(data={"n": number}, id=str(number), event="n", comment="c")


@app.get("/quiet", response_class=EventSourceResponse)
async def quiet() -> AsyncIterable[int]:
    try:
        yield 0
        await anyio.sleep_forever()
    finally:
        tell("closed")


@app.get("/broken", response_class=EventSourceResponse)
async def broken() -> AsyncIterable[int]:
    yield 0
    yield 1
    await anyio.sleep(0.1)  # or its writer loses both
    raise RuntimeError("broken")


@app.get("/lines")
async def lines(count: int) -> AsyncIterable[dict[str, int]]:
    for number in range(count):
        yield {"n": number}
