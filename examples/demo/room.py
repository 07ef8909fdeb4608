"""Panel 3: a room. `examples.room` adds members, private messages, and a way to remove somebody."""

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from sse_middleware import EventSourceResponse

from .shared import hub

router = APIRouter(prefix="/room")

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300)]


class Message(BaseModel):
    """What somebody says."""

    name: Text
    text: Text


@router.get("/events")
async def listen() -> EventSourceResponse:
    """Stream what is said in the room. Somebody who comes late gets what was said before."""
    return EventSourceResponse(hub.subscribe("room", after="start"))


@router.post("")
async def say(message: Message) -> None:
    """Say something to everybody in the room."""
    await hub.publish("room", message, event="said")


SHOWN = ("listen", "say")
