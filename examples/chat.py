"""``python -m examples.chat``: a chat with a model, whose answers outlive the page that shows them.

An answer is a run of the hub. So it goes on while its page reloads or has no connection, and other
tabs show it too. Only "stop" ends it. Two workers serve the page, and share a file.

    HUB_URL          where the hub keeps its events: a file (the default), or redis://localhost
    OPENAI_BASE_URL  of a model with OpenAI's interface, such as http://localhost:11434/v1.
                     Without it a simulated model answers. OPENAI_MODEL and OPENAI_API_KEY name
                     the model and the key. It needs httpx
    PAUSE            seconds that the simulated model takes for a word
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from secrets import token_urlsafe
from typing import Annotated

import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi import Path as InPath
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import BaseModel, StringConstraints

from sse_middleware import EventSourceResponse, Hub, Keep, ServerSentEvent, SSEMiddleware
from sse_middleware.presets import Preset
from sse_middleware.wire import EventStreamDecoder, MessageEvent

DAY = 24 * 60 * 60
SOON = Preset(first=ServerSentEvent(retry=1200))  # a browser would wait three seconds by itself

hub = Hub(os.environ.get("HUB_URL", "sqlite:///chat.db"), keep=Keep(count=1000, seconds=DAY))
app = FastAPI(title="a chat")
app.add_middleware(SSEMiddleware, hub=hub, refusal="retry", retry_after=0.5)

# Whoever knows the id of a chat may read it, so nobody can guess one. An application with users
# checks in each endpoint below who asks.
Id = Annotated[str, InPath(pattern=r"^[\w-]{22}$")]


class Question(BaseModel):
    """What the user asks."""

    text: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


@app.get("/")
async def begin_chat() -> RedirectResponse:
    """Begin a chat. Its id is in the address, so it survives a reload."""
    return RedirectResponse(f"/chats/{token_urlsafe(16)}")


@app.get("/chats/{chat}")
async def page(chat: Id) -> FileResponse:  # noqa: ARG001 - the page reads it in its address
    """Show a chat in a browser."""
    return FileResponse(Path(__file__).with_name("chat.html"))


# --- questions: events of the chat's topic ----------------------------------------------------


@app.get("/chats/{chat}/events")
async def questions(chat: Id) -> EventSourceResponse:
    """Stream the questions of a chat, from the first one on. Each names its answer."""
    return EventSourceResponse(hub.subscribe(f"chat:{chat}", after="start"), preset=SOON)


@app.post("/chats/{chat}")
async def ask(chat: Id, question: Question) -> None:
    """Begin an answer, then show the question in all tabs."""
    answer = token_urlsafe(16)
    model = openai_model if "OPENAI_BASE_URL" in os.environ else simulated_model
    await hub.resumable(answer, lambda: model(question.text), ttl=DAY, preset=SOON)
    await hub.publish(f"chat:{chat}", {"question": question.text, "answer": answer}, event="asked")


# --- answers: runs ----------------------------------------------------------------------------


@app.get("/answers/{answer}/events")
async def read(answer: Id) -> EventSourceResponse:
    """Stream an answer: what was written so far, and then what is being written."""
    return EventSourceResponse(await hub.attach(answer, subject=answer))


@app.get("/answers/{answer}")
async def state_of(answer: Id) -> dict[str, str]:
    """Tell what an answer does, or how it has ended."""
    state = await hub.state(answer)
    if state is None:
        raise HTTPException(404, "this answer is no longer kept")
    return {"state": state}


@app.post("/answers/{answer}/stop")
async def stop(answer: Id) -> None:
    """Stop the model, whichever worker it runs in."""
    await hub.stop(answer)


@app.post("/answers/{answer}/cut")
async def cut(answer: Id) -> None:
    """End the streams of an answer, as a bad network does. Its run goes on."""
    await hub.disconnect(answer)


@app.post("/restart", status_code=202)
async def restart() -> None:
    """Have both workers replaced, one after the other, as a new version of a server does it."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None or supervisor.pid is None:
        raise HTTPException(409, "start the chat with: python -m examples.chat")
    os.kill(supervisor.pid, signal.SIGHUP)


# --- models: they run in the hub, without a request -------------------------------------------


def simulated_words(question: str) -> list[str]:
    """Return all that the simulated model says."""
    text = (
        f"You asked: {question}\nI am a simulated model, and I write slowly. Meanwhile you can "
        "cut the connection, reload the page, or open it in a second tab: not a word is lost, and "
        "none comes twice. You can also close the page. I go on, and when you come back, you get "
        "all that I wrote. If you stop me, I stop on the server, and not only on your screen."
    )
    return text.split(" ")


async def simulated_model(question: str) -> AsyncIterator[str]:
    """Say something, word by word."""
    pause = float(os.environ.get("PAUSE", "0.15"))
    try:
        for word in simulated_words(question):
            yield f"{word} "
            await asyncio.sleep(pause)
    finally:
        print("the simulated model has ended", flush=True)


async def openai_model(question: str) -> AsyncIterator[str]:
    """Ask a model that has OpenAI's interface. If this is cancelled, the connection is closed."""
    import httpx  # noqa: PLC0415 - only this function needs it

    url = os.environ["OPENAI_BASE_URL"].rstrip("/") + "/chat/completions"
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    body = {
        "model": os.environ.get("OPENAI_MODEL", "gpt-4o-mini"),
        "messages": [{"role": "user", "content": question}],
        "stream": True,
    }
    decoder = EventStreamDecoder()
    async with (
        httpx.AsyncClient(headers=headers, timeout=60) as client,
        client.stream("POST", url, json=body) as response,
    ):
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            for event in decoder.feed(chunk):
                if isinstance(event, MessageEvent) and event.data != "[DONE]":
                    for choice in json.loads(event.data)["choices"]:
                        if text := choice["delta"].get("content"):
                            yield text


def main() -> None:
    """Serve the chat until you interrupt it."""
    about, _, variables = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m examples.chat",
        description=about,
        epilog=variables,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8000)
    port = parser.parse_args().port
    print(f"http://127.0.0.1:{port}/", flush=True)
    uvicorn.run("examples.chat:app", host="127.0.0.1", port=port, workers=2, log_level="warning")


if __name__ == "__main__":
    main()
