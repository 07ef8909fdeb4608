"""The application for the tests of a hub that several workers share in a file."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, Keep, SSEMiddleware

KEPT = 100

hub = Hub(f"sqlite:///{os.environ['HUB_FILE']}", keep=Keep(count=KEPT, seconds=600))


async def events(request: Request) -> Response:
    return EventSourceResponse(hub.subscribe(*request.query_params["topics"].split()))


async def publish(request: Request) -> Response:
    """Publish an event, unless it was published before. Answer with its id, and who does."""
    topic, number = request.query_params["topic"], int(request.query_params["number"])
    position = int(request.query_params["position"])
    item = {"topic": topic, "number": number, "position": position, "filler": "x" * 200}
    at = await hub.publish(topic, item, once=str(number))
    return JSONResponse({"id": at, "worker": os.getpid()})


app = Starlette(routes=[Route("/events", events), Route("/publish", publish)])
app.add_middleware(SSEMiddleware, hub=hub)
