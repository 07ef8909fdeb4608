"""FastAPI's own Server-Sent Events."""

import asyncio
from collections.abc import AsyncIterable
from typing import Any

from fastapi import FastAPI, routing
from fastapi.sse import EventSourceResponse

from benchmarks.contenders.items import ITEM, Widget, token
from benchmarks.contenders.leaving import PERIOD, report_end

app = FastAPI()


@app.get("/burst", response_class=EventSourceResponse)
async def burst(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/declared", response_class=EventSourceResponse)
async def declared(n: int) -> AsyncIterable[Widget]:
    for _ in range(n):
        yield ITEM  # type: ignore[misc] # the library makes a Widget of it


@app.get("/paced", response_class=EventSourceResponse)
async def paced(n: int) -> Any:
    for _ in range(n):
        await asyncio.sleep(0)
        yield ITEM


@app.get("/sync", response_class=EventSourceResponse)
def sync(n: int) -> Any:
    for _ in range(n):
        yield ITEM


@app.get("/idle", response_class=EventSourceResponse)
async def idle() -> Any:
    yield ITEM
    await asyncio.Event().wait()
    yield None  # it could go on


@app.get("/tokens", response_class=EventSourceResponse)
async def tokens(period: float) -> Any:
    while True:
        yield token()
        await asyncio.sleep(period)


@app.get("/pinged", response_class=EventSourceResponse)
async def pinged(period: float) -> Any:
    # fastapi.sse has no setting for this. The change affects all later streams of the process, so
    # keep-alives are measured in processes of their own.
    routing._PING_INTERVAL = period  # type: ignore[attr-defined] # noqa: SLF001
    yield ITEM
    await asyncio.Event().wait()
    yield None  # it could go on


@app.get("/leave-idle", response_class=EventSourceResponse)
async def leave_idle(visit: int) -> Any:
    try:
        yield ITEM
        await asyncio.Event().wait()
        yield None  # it could go on
    finally:
        report_end(visit)


@app.get("/leave-sending", response_class=EventSourceResponse)
async def leave_sending(visit: int) -> Any:
    try:
        while True:
            yield ITEM
            await asyncio.sleep(PERIOD)
    finally:
        report_end(visit)
