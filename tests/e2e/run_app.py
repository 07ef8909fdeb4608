"""The application for the tests of runs that several workers share, in a file or in Redis.

Its journal is a file with a line for what each generator does:

- ``began KEY LABEL``: it has begun
- ``closed KEY LABEL``: an `await` in its ``finally`` has completed

A test writes into it, too:

- ``finish KEY``: a generator that stops before its last tokens goes on
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, ServerSentEvent, SSEMiddleware

PACE = 0.005
"""Seconds between two tokens."""

CLEANUP = 0.05
"""Seconds that the ``finally`` of a generator takes."""

LAST = 100
"""The last tokens, before which a generator may have to wait."""

hub = Hub(os.environ["HUB_URL"])


def note(line: str) -> None:
    """Write a line into the journal in one piece, whichever process does."""
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{line}\n".encode())
    os.close(journal)


async def until_told_to_finish(key: str) -> None:
    """Wait for a line in the journal. Nothing tells that somebody has written one."""
    journal = Path(os.environ["JOURNAL"])
    while f"finish {key}" not in journal.read_text().splitlines():  # noqa: ASYNC110, ASYNC240
        await anyio.sleep(PACE)


async def answer(key: str, label: str, tokens: int, *, waits: bool) -> AsyncIterator[str]:
    note(f"began {key} {label}")
    try:
        for number in range(tokens):
            if waits and number == tokens - LAST:
                await until_told_to_finish(key)
            yield f"{label}{number} "
            await anyio.sleep(PACE)
    finally:
        await anyio.sleep(CLEANUP)
        note(f"closed {key} {label}")


async def chat(request: Request) -> Response:
    """Begin the run of a key, unless there is one, and view it."""
    key, query = request.path_params["key"], request.query_params
    viewer = await hub.resumable(
        key,
        lambda: answer(key, query["label"], int(query["tokens"]), waits="waits" in query),
        restart="restart" in query,
    )
    return EventSourceResponse(viewer)


async def view(request: Request) -> Response:
    return EventSourceResponse(await hub.attach(request.path_params["key"]))


async def stop(request: Request) -> Response:
    return JSONResponse(await hub.stop(request.path_params["key"]))


async def state(request: Request) -> Response:
    return JSONResponse(await hub.state(request.path_params["key"]))


def told(error: Exception) -> ServerSentEvent:
    return ServerSentEvent(raw_data=type(error).__name__, event="failed")


app = Starlette(
    routes=[
        Route("/chat/{key}", chat),
        Route("/view/{key}", view),
        Route("/stop/{key}", stop, methods=["POST"]),
        Route("/state/{key}", state),
    ]
)
app.add_middleware(SSEMiddleware, hub=hub, error_event=told)
