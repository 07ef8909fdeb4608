"""Panel 4: two endpoints that know nothing of events. `examples.legacy` has Flask, too."""

import asyncio
import itertools
import json
import os
import time
from collections.abc import AsyncIterator

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from sse_middleware import LegacyRoute

router = APIRouter(prefix="/legacy")


@router.get("/lines")
async def lines() -> StreamingResponse:
    """Stream lines of JSON, as many older services do."""

    async def numbers() -> AsyncIterator[str]:
        for number in itertools.count(1):
            yield json.dumps({"n": number, "square": number * number}) + "\n"
            await asyncio.sleep(0.7)

    return StreamingResponse(numbers(), media_type="application/x-ndjson")


@router.get("/status")
async def status() -> dict[str, object]:
    """Answer once. Clients ask again and again."""
    return {"worker": os.getpid(), "seconds": int(time.process_time() * 20) / 20}


# The endpoints stay as they are. The middleware gets these two lines: SSEMiddleware(legacy=ROUTES).
ROUTES = [
    LegacyRoute("/legacy/lines", event="line", id="{json[n]}"),
    LegacyRoute("/legacy/status", poll=1.0, key=lambda _request: "everybody"),
]

SHOWN = ("lines", "status", "ROUTES")
