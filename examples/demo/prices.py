"""Panel 1: a stream whose events have names and types."""

import asyncio
from collections.abc import AsyncIterator
from random import gauss, randint

from fastapi import APIRouter
from pydantic import Field

from sse_middleware import SSEModel, event_stream

router = APIRouter()


class Price(SSEModel, event="price"):
    """What a share costs now."""

    euros: float = Field(gt=0)


class Sale(SSEModel, event="sale"):
    """Somebody has bought shares."""

    shares: int
    euros: float


@router.get("/prices")
@event_stream
async def prices() -> AsyncIterator[Price | Sale]:
    """Send a price twenty times a second, and a sale now and then."""
    euros = 100.0
    while True:
        euros += gauss((100 - euros) / 40, 0.6)  # it tends to 100
        yield Price(euros=round(euros, 2))
        if randint(1, 25) == 1:
            yield Sale(shares=10 * randint(1, 20), euros=round(euros, 2))
        await asyncio.sleep(0.05)


SHOWN = ("Price", "Sale", "prices")
