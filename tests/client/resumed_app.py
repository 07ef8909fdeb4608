"""The application of a hub, for pages of other origins. Several servers share its file."""

import os

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, Keep, SSEMiddleware

TOPIC = "numbers"

hub = Hub(os.environ["HUB_URL"], keep=Keep(count=10_000, seconds=600))


async def numbers(request: Request) -> Response:
    codings = request.query_params.get("codings", "").split()
    return EventSourceResponse(hub.subscribe(TOPIC), compression=codings)


async def publish(request: Request) -> Response:
    for number in await request.json():
        await hub.publish(TOPIC, number)
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/numbers", numbers), Route("/publish", publish, methods=["POST"])],
    middleware=[
        Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_headers=["last-event-id"],
            expose_headers=["retry-after", "content-encoding"],
        ),
        Middleware(SSEMiddleware, hub=hub),
    ],
)
