"""Panel 6: a server that is really restarted, and loses no event.

`examples.demo.supervisor` starts the new worker. It also publishes the numbers, so they go on while
there is no worker.
"""

import os
import signal
from random import randint

from fastapi import APIRouter, BackgroundTasks

from sse_middleware import CloseReason, EventSourceResponse, ServerSentEvent
from sse_middleware.presets import Preset

from .shared import hub

router = APIRouter()


def farewell(reason: CloseReason) -> ServerSentEvent:
    """Tell a client why its stream ends, and when to come back: each at another moment."""
    back_in = randint(300, 1500)
    return ServerSentEvent(
        event="farewell", data={"reason": reason, "back_in": back_in}, retry=back_in
    )


def hello() -> ServerSentEvent:
    """Tell a client which worker it has."""
    return ServerSentEvent(event="hello", data={"worker": os.getpid()}, retry=800)


@router.get("/numbers")
async def numbers() -> EventSourceResponse:
    """Stream the numbers. A client that comes back gets those that it has missed first."""
    return EventSourceResponse(
        hub.subscribe("numbers"), preset=Preset(first=hello, farewell=farewell)
    )


@router.post("/restart", status_code=202)
async def restart(tasks: BackgroundTasks) -> None:
    """Have this worker end as any server does, on SIGTERM. The supervisor starts another one."""
    tasks.add_task(signal.raise_signal, signal.SIGTERM)


SHOWN = ("farewell", "hello", "numbers", "restart")
