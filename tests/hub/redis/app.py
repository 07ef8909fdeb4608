"""An application with a hub in Redis, for tests that run it in processes of their own."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sse_middleware import EventSourceResponse, Hub, SSEMiddleware

hub = Hub(os.environ["HUB_URL"], prefix="app")


async def events(request: Request) -> Response:
    return EventSourceResponse(hub.subscribe("a", subject=request.query_params.get("subject")))


async def publish(request: Request) -> Response:
    return PlainTextResponse(await hub.publish("a", (await request.body()).decode()))


async def disconnect(request: Request) -> Response:
    await hub.disconnect(request.query_params["subject"])
    return Response(status_code=204)


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/publish", publish, methods=["POST"]),
        Route("/disconnect", disconnect, methods=["POST"]),
    ]
)
app.add_middleware(SSEMiddleware, hub=hub)
