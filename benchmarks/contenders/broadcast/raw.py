"""Starlette's `StreamingResponse` with a queue for each client. Events are bytes in the queue."""

from starlette.requests import Request
from starlette.responses import StreamingResponse

from benchmarks.contenders.broadcast.events import OPEN, Queues, broadcasting

QUEUES = Queues()


async def subscribe(_request: Request) -> StreamingResponse:
    return StreamingResponse(QUEUES.items(framed(OPEN)), media_type="text/event-stream")


async def publish(data: str) -> None:
    QUEUES.put(framed(data))


def framed(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


app = broadcasting(subscribe, publish)
