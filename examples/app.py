"""A FastAPI application that streams: a clock, a chat that answers word by word, and its page."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, Header
from fastapi.responses import FileResponse
from pydantic import BaseModel

from sse_middleware import ServerSentEvent, SSEMiddleware, event_stream

app = FastAPI(title="sse_middleware demo")
app.add_middleware(SSEMiddleware, ping_interval=5)


class Tick(BaseModel):
    """What the clock sends."""

    number: int
    now: datetime


class Prompt(BaseModel):
    """What the user says to the chat."""

    text: str


@app.get("/")
async def page() -> FileResponse:
    """Show the streams in a browser."""
    return FileResponse(Path(__file__).with_name("page.html"))


@app.get("/clock")
@event_stream
async def clock(
    last_event_id: Annotated[int, Header()] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Tick once a second. A browser that reconnects goes on where it was."""
    number = last_event_id
    while True:
        number += 1
        tick = Tick(number=number, now=datetime.now(UTC))
        yield ServerSentEvent(event="tick", data=tick, id=str(number), retry=1000)
        await asyncio.sleep(1)


@app.post("/chat")
@event_stream
async def chat(prompt: Prompt) -> AsyncIterator[dict[str, str] | ServerSentEvent]:
    """Answer word by word, as language models do."""
    for word in f"You said: {prompt.text}".split():
        yield {"token": word}
        await asyncio.sleep(0.1)
    yield ServerSentEvent(raw_data="[DONE]")


@app.get("/quiet")
@event_stream(ping_interval=1)
async def quiet() -> AsyncIterator[str]:
    """Say nothing. Only keep-alives are sent, and only curl shows them."""
    await asyncio.Event().wait()
    yield "never"
