"""`sse_middleware` with a queue for each client."""

from starlette.requests import Request

from benchmarks.contenders.broadcast.events import OPEN, Queues, broadcasting
from sse_middleware import EventSourceResponse, ServerSentEvent, SSEMiddleware

QUEUES = Queues()


async def subscribe(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(QUEUES.items(ServerSentEvent(raw_data=OPEN)))


async def publish(data: str) -> None:
    QUEUES.put(ServerSentEvent(raw_data=data))


app = broadcasting(subscribe, publish)
app.add_middleware(SSEMiddleware)
