"""`sse_middleware` under FastAPI, tagged in both ways."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

import orjson
from fastapi import FastAPI

from benchmarks.contenders.items import ITEM, Widget, token
from benchmarks.contenders.leaving import PERIOD, report_end
from benchmarks.contenders.tasks import get_tasks
from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware, event_stream

EVENT = ServerSentEvent(data=ITEM, event="widget", id="17")

app = FastAPI()
app.add_middleware(SSEMiddleware)
app.add_route("/tasks", get_tasks)


@app.get("/burst")
@event_stream
async def burst(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/burst-response-class", response_class=EventSourceResponse)
async def burst_response_class(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/burst-events")
@event_stream
async def burst_events(n: int) -> Any:
    for _ in range(n):
        yield EVENT


@app.get("/burst-orjson")
@event_stream(serializer=orjson.dumps)
async def burst_orjson(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/declared")
@event_stream
async def declared(n: int) -> AsyncIterable[Widget]:
    for _ in range(n):
        yield ITEM  # type: ignore[misc] # the library makes a Widget of it


@app.get("/paced")
@event_stream
async def paced(n: int) -> Any:
    for _ in range(n):
        await asyncio.sleep(0)
        yield ITEM


@app.get("/sync")
@event_stream
def sync(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/idle")
@event_stream
async def idle() -> Any:
    yield ITEM
    await asyncio.Event().wait()
    yield None  # it could go on


@app.get("/tokens")
@event_stream
async def tokens(period: float) -> Any:
    while True:
        yield token()
        await asyncio.sleep(period)


@app.get("/token-events")
@event_stream
async def token_events(period: float) -> Any:
    while True:
        yield ServerSentEvent(data=token(), event="token")
        await asyncio.sleep(period)


@app.get("/pinged")
async def pinged(period: float) -> EventSourceResponse:
    return EventSourceResponse(forever(), ping_interval=period)


async def forever() -> Any:
    yield ITEM
    await asyncio.Event().wait()
    yield None  # it could go on


@app.get("/leave-idle")
@event_stream
async def leave_idle(visit: int) -> Any:
    try:
        yield ITEM
        await asyncio.Event().wait()
        yield None  # it could go on
    finally:
        report_end(visit)


@app.get("/leave-sending")
@event_stream
async def leave_sending(visit: int) -> Any:
    try:
        while True:
            yield ITEM
            await asyncio.sleep(PERIOD)
    finally:
        report_end(visit)
