"""Panel 2: answers that outlive the page which shows them. `examples.chat` says more about them."""

import asyncio
from collections.abc import AsyncIterator
from secrets import token_urlsafe
from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi import Path as InPath
from pydantic import BaseModel, StringConstraints

from sse_middleware import EventSourceResponse

from .shared import HOUR, hub, log

router = APIRouter(prefix="/answers")

# Whoever knows the id of an answer may read it, so nobody can guess one.
Id = Annotated[str, InPath(pattern=r"^[\w-]{22}$")]


class Question(BaseModel):
    """What the user asks."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


@router.post("")
async def ask(question: Question) -> dict[str, str]:
    """Begin an answer. It runs in the hub, so it needs no client."""
    answer = token_urlsafe(16)
    await hub.resumable(answer, lambda: model(question.text), ttl=HOUR)
    return {"answer": answer}


@router.get("/{answer}/events")
async def read(answer: Id) -> EventSourceResponse:
    """Stream what was written so far, and then what is being written."""
    return EventSourceResponse(await hub.attach(answer, subject=answer))


@router.post("/{answer}/stop")
async def stop(answer: Id) -> None:
    """Stop the model, and not only what the page shows of it."""
    await hub.stop(answer)


@router.post("/{answer}/cut")
async def cut(answer: Id) -> None:
    """End the streams of an answer, as a bad network does. The answer goes on."""
    await hub.disconnect(answer)


@router.get("/{answer}")
async def state_of(answer: Id) -> dict[str, str]:
    """Tell what an answer does, or how it has ended."""
    state = await hub.state(answer)
    if state is None:
        raise HTTPException(404, "this answer is no longer kept")
    return {"state": state}


def answer_to(question: str) -> str:
    """Return what the simulated model says."""
    return (
        f"You asked: “{question}” I am a simulated model, and I write slowly. Meanwhile "
        "disconnect, or reload the page: not a word is lost, and none comes twice. I run on the "
        "server, in its hub, and I need nobody to look at me. Only “Stop” ends me before I have "
        "finished."
    )


async def model(question: str) -> AsyncIterator[str]:
    """Simulate a model that writes ten words a second."""
    try:
        for word in answer_to(question).split():
            yield f"{word} "
            await asyncio.sleep(0.1)
    finally:
        await log("the model has ended")


SHOWN = ("ask", "read", "stop", "cut")
