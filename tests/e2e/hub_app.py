"""The application for the tests of the hub: one publisher for many topics, in one process."""

import time
from random import Random

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, Keep, SSEMiddleware

TOPICS = [f"topic:{number}" for number in range(20)]
WIDE = TOPICS[0]
"""Its events are large enough to fill all buffers on the way to a client that reads slowly."""

SIZE, WIDE_SIZE = 1_000, 16_000
"""Bytes of an event. A subscriber that misses some hundreds has missed more than is in memory."""

EVENTS = 20_000
KEPT = 100
AT_ONCE = 20
PAUSE = 0.01
"""Seconds between each twenty events."""

hub = Hub(keep=Keep(count=KEPT, seconds=600))


async def events(request: Request) -> Response:
    return EventSourceResponse(hub.subscribe(*request.query_params["topics"].split()))


async def publish(request: Request) -> Response:
    """Publish everything. Answer with what the ledger has of each event."""
    random = Random(int(request.query_params["seed"]))
    published: list[dict[str, object]] = []
    for number in range(EVENTS):
        topic = random.choice(TOPICS)
        filler = "x" * (WIDE_SIZE if topic == WIDE else SIZE)
        begun = time.monotonic()
        at = await hub.publish(topic, {"topic": topic, "number": number, "filler": filler})
        event = {"topic": topic, "begun": begun, "id": at, "told": time.monotonic()}
        published.append(event)
        if number % AT_ONCE == 0:
            await anyio.sleep(PAUSE)
    return JSONResponse(published)


app = Starlette(routes=[Route("/events", events), Route("/publish", publish)])
app.add_middleware(SSEMiddleware, hub=hub)
