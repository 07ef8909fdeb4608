"""Panel 5: a stream that says nothing, and learns that its client has left."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter

from sse_middleware import EventSourceResponse, event_stream

from .shared import hub, log

router = APIRouter()


@router.get("/silence")
@event_stream(ping_interval=1)
async def silence() -> AsyncIterator[str]:
    """Say nothing for as long as the client stays. The middleware keeps the connection alive."""
    await log("a client is here, and there is nothing to say")
    try:
        await asyncio.Event().wait()
        yield "never"
    finally:
        await log("the client has left: finally runs")
        await asyncio.sleep(0.5)
        await log("finally has awaited half a second, and is done")


@router.get("/log")
async def watch() -> EventSourceResponse:
    """Stream the log of the server."""
    return EventSourceResponse(hub.subscribe("log"))


SHOWN = ("silence",)
