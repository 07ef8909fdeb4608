"""`sse_middleware` with its hub. Each stream begins with a position, and each event has an id.

`HUB_URL` says where several such processes keep their events. Without it they are in memory.
"""

import os

from starlette.requests import Request

from benchmarks.contenders.broadcast.events import broadcasting
from sse_middleware import EventSourceResponse, Hub, ServerSentEvent, SSEMiddleware

TOPIC = "room"

hub = Hub(os.environ.get("HUB_URL"))


async def subscribe(_request: Request) -> EventSourceResponse:
    return EventSourceResponse(hub.subscribe(TOPIC))


async def publish(data: str) -> None:
    await hub.publish(TOPIC, ServerSentEvent(raw_data=data))


app = broadcasting(subscribe, publish)
app.add_middleware(SSEMiddleware, hub=hub)
