"""The application for the tests of runs that several workers share, in a file or in Redis.

Its journal is a file with a line for what each generator does:

- ``began KEY LABEL``: it has begun
- ``closed KEY LABEL``: an `await` in its ``finally`` has completed
"""

import os
from collections.abc import AsyncIterator

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

hub = Hub(os.environ["HUB_URL"])


def note(line: str) -> None:
    """Write a line into the journal in one piece, whichever process does."""
    journal = os.open(os.environ["JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, f"{line}\n".encode())
    os.close(journal)


async def answer(key: str, label: str, tokens: int) -> AsyncIterator[str]:
    note(f"began {key} {label}")
    try:
        for number in range(tokens):
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
        lambda: answer(key, query["label"], int(query["tokens"])),
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
