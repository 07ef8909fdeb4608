"""``python -m examples.app``: a clock, and a chat that answers word by word, for curl.

``python -m examples`` shows more, in a browser.
"""

import argparse
import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import uvicorn
from fastapi import FastAPI, Header
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


def main() -> None:
    """Serve the application until you interrupt it."""
    parser = argparse.ArgumentParser(prog="python -m examples.app", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"curl -N http://127.0.0.1:{port}/clock", flush=True)
    print(f"curl -N http://127.0.0.1:{port}/quiet", flush=True)
    chat = f'-d \'{{"text": "hello"}}\' http://127.0.0.1:{port}/chat'
    print(f"curl -N -H 'Content-Type: application/json' {chat}", flush=True)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
