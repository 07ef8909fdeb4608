"""`sse_middleware`: generators as runs of a hub, and the same ones as plain streams beside them.

Rules of this file:
- `/plain` streams a generator. `/run` begins a run of it and views that. Each request has a run of
  its own. Both are in one process, so that it is equally fast for both.
- `?n=100` yields that many tokens as fast as it can. With `&held=1` the generator doesn't end after
  them. `?period=0.025` yields a token after each period, without an end.
- `/begin?count=20&n=100` begins runs that nobody views. It answers when all tokens are yielded.
- `/end` ends the generators that would go on. It answers when all have ended.
- `HUB_URL` says where the hub keeps its events. Without it they are in memory.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from itertools import count
from secrets import token_hex
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.contenders.items import token
from sse_middleware import EventSourceResponse, Hub, SSEMiddleware

TTL = 30.0
"""Seconds that a run is kept after its end, unless ``ttl`` says so. Its viewer needs less."""

OWN = token_hex(8)

LOOK = 0.01
"""Seconds between two looks at what generators do."""

hub = Hub(os.environ.get("HUB_URL"))
keys = (f"{OWN}{number}" for number in count())
"""Of runs. No other process has the same ones, so that each request begins a run."""
ending = asyncio.Event()
working = set[object]()
"""The generators that have tokens to yield."""
running = set[object]()
"""The generators that have not ended."""


async def fast(number: int, *, held: bool) -> AsyncIterator[Any]:
    me = object()
    running.add(me)
    working.add(me)
    try:
        for _ in range(number):
            yield token()
        working.discard(me)
        if held:
            await ending.wait()
    finally:
        working.discard(me)
        running.discard(me)


async def paced(period: float) -> AsyncIterator[Any]:
    me = object()
    running.add(me)
    try:
        while not ending.is_set():
            yield token()
            await asyncio.sleep(period)
    finally:
        running.discard(me)


def generator(query: Mapping[str, str]) -> AsyncIterator[Any]:
    if "period" in query:
        return paced(float(query["period"]))
    return fast(int(query["n"]), held="held" in query)


async def plain(request: Request) -> EventSourceResponse:
    return EventSourceResponse(generator(request.query_params))


async def run(request: Request) -> EventSourceResponse:
    query = request.query_params
    ttl = float(query.get("ttl", TTL))
    return EventSourceResponse(await hub.resumable(next(keys), lambda: generator(query), ttl=ttl))


async def begin(request: Request) -> Response:
    query = request.query_params
    ttl = float(query.get("ttl", TTL))
    for _ in range(int(query["count"])):
        await hub.resumable(next(keys), lambda: generator(query), ttl=ttl)
    await until(lambda: not working)
    return Response()


async def end(_request: Request) -> Response:
    ending.set()
    await until(lambda: not running)
    ending.clear()
    return Response()


async def until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 - two looks cost less than an event for each generator
        await asyncio.sleep(LOOK)


app = Starlette(
    routes=[
        Route("/plain", plain),
        Route("/run", run),
        Route("/begin", begin),
        Route("/end", end),
    ]
)
app.add_middleware(SSEMiddleware, hub=hub)
