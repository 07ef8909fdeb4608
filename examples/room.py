"""``python -m examples.room``: a chat room, with messages to one member and a way to remove one.

Every member reads the topic of the room, and a topic of their own that nobody else may read. A
member who opens the page late, or comes back after a break, gets what was said before.
"""

import argparse
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import Cookie, FastAPI, HTTPException, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware

ROOM = "room:lobby"

hub = Hub()
app = FastAPI(title="a chat room")
app.add_middleware(SSEMiddleware, hub=hub)

members: set[str] = set()
removed: set[str] = set()


class Message(BaseModel):
    """What a member says."""

    text: str


@app.get("/")
async def page() -> FileResponse:
    """Show the room in a browser."""
    return FileResponse(Path(__file__).with_name("room.html"))


# --- who is who -------------------------------------------------------------------------------


@app.post("/join/{name}")
async def join(name: str, response: Response) -> None:
    """Become a member. A real application has passwords, and signs its cookies."""
    if name in removed:
        raise HTTPException(403, "you were removed")
    members.add(name)
    response.set_cookie("member", name)


def check_member(name: str) -> str:
    """Return the name, or refuse the request."""
    if name not in members:
        raise HTTPException(403, "join the room first")
    return name


# --- the stream -------------------------------------------------------------------------------


@app.get("/events")
async def events(member: Annotated[str, Cookie()] = "") -> EventSourceResponse:
    """Stream the room and the member's own topic.

    Check who it is directly before you subscribe, on every request: a browser comes back by itself.
    """
    name = check_member(member)
    return EventSourceResponse(hub.subscribe(ROOM, own_topic(name), subject=name, after="start"))


def own_topic(name: str) -> str:
    return f"user:{name}"


# --- what is published ------------------------------------------------------------------------


@app.post("/say")
async def say(message: Message, member: Annotated[str, Cookie()] = "") -> None:
    """Say something to everybody."""
    said = {"from": check_member(member), "text": message.text}
    await hub.publish(ROOM, said, event="said")


@app.post("/whisper/{name}")
async def whisper(name: str, message: Message, member: Annotated[str, Cookie()] = "") -> None:
    """Say something to one member."""
    whispered = {"from": check_member(member), "text": message.text}
    await hub.publish(own_topic(name), whispered, event="whispered")


@app.post("/remove/{name}")
async def remove(name: str, member: Annotated[str, Cookie()] = "") -> None:
    """Remove a member, and end their streams. Refuse them first, then end what they have open."""
    by = check_member(member)
    members.discard(name)
    removed.add(name)
    await hub.disconnect(name)
    await hub.publish(ROOM, {"from": by, "text": f"{name} was removed"}, event="said")


def main() -> None:
    """Serve the room until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples.room", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"http://127.0.0.1:{port}/ (open it in two browsers)", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
