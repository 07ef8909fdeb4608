"""Panel 7: the same events, with and without compression."""

import asyncio
from collections.abc import AsyncIterator
from math import sin

from fastapi import APIRouter
from pydantic import BaseModel

from sse_middleware import EventSourceResponse

router = APIRouter(prefix="/readings")

COUNT = 150


class Reading(BaseModel):
    """What a sensor has measured."""

    number: int
    sensor: str
    temperature: float
    humidity: float


async def readings() -> AsyncIterator[Reading]:
    """Measure 150 times. Each event is sent at once, and compressed together with those before."""
    for number in range(COUNT):
        yield Reading(
            number=number,
            sensor="greenhouse, north wall",
            temperature=round(21 + 3 * sin(number / 20), 2),
            humidity=round(60 + 9 * sin(number / 33), 1),
        )
        await asyncio.sleep(0.01)


@router.get("/plain")
async def plain() -> EventSourceResponse:
    """Stream the events as they are."""
    return EventSourceResponse(readings())


@router.get("/compressed")
async def compressed() -> EventSourceResponse:
    """Stream the same events, in the best codec that is installed and that the client accepts."""
    return EventSourceResponse(readings(), compression=True)


SHOWN = ("readings", "plain", "compressed")
