"""sse-starlette with a queue for each client."""

from sse_starlette import EventSourceResponse
from starlette.requests import Request

from benchmarks.contenders.broadcast.events import OPEN, Queues, broadcasting

QUEUES = Queues()


async def subscribe(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(QUEUES.items({"data": OPEN}))


async def publish(data: str) -> None:
    QUEUES.put({"data": data})


app = broadcasting(subscribe, publish)
