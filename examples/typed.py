"""``python -m examples.typed``: events with names and types, for Python and TypeScript.

``python -m sse_middleware typescript examples.typed:app`` writes the types for the client.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Literal

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

from sse_middleware import (
    EventDiscriminator,
    ServerSentEvent,
    SSEMiddleware,
    SSEModel,
    event_stream,
)

app = FastAPI(title="typed events")
app.add_middleware(SSEMiddleware)

# --- each model sets the name of its event ----------------------------------------------------


class PriceChanged(SSEModel, event="price"):
    """The price of a symbol has changed."""

    symbol: str
    price: float = Field(description="in euros")


class Sold(SSEModel, event="sold"):
    """Shares of a symbol were sold."""

    symbol: str
    shares: int


@app.get("/prices/{symbol}")
@event_stream
async def prices(symbol: str) -> AsyncIterator[PriceChanged | Sold]:
    """Send three prices and a sale, again and again."""
    while True:
        for price in (10.0, 10.5, 11.25):
            yield PriceChanged(symbol=symbol, price=price)
            await asyncio.sleep(0.1)
        yield Sold(symbol=symbol, shares=3)


# --- a field of the models sets the name ------------------------------------------------------


class Progress(BaseModel):
    """How much of the job is done."""

    type: Literal["progress"] = "progress"
    percent: int


class Finished(BaseModel):
    """The job has ended."""

    type: Literal["finished", "failed"] = "finished"


JobEvent = Annotated[Progress | Finished, EventDiscriminator("type")]


@app.get("/job")
@event_stream
async def job(*, fail: bool = False) -> AsyncIterator[ServerSentEvent[JobEvent]]:
    """Report on a job, with ids."""
    for percent in (0, 50):
        yield ServerSentEvent(data=Progress(percent=percent), id=str(percent))
        await asyncio.sleep(0.1)
    yield ServerSentEvent(data=Finished(type="failed" if fail else "finished"))


def main() -> None:
    """Serve the application until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples.typed", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"curl -N http://127.0.0.1:{port}/prices/ACME", flush=True)
    print(f"curl -N http://127.0.0.1:{port}/job", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
