"""The application for tests of a hub that several workers share, in a file or in Redis."""

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sse_middleware import EventSourceResponse, Hub, Keep, SSEMiddleware

hub = Hub(
    os.environ["HUB_URL"],
    keep=Keep(count=int(os.environ["HUB_KEPT"]), seconds=600),
    durable=os.environ.get("HUB_DURABLE") == "yes",
)


async def events(request: Request) -> Response:
    topics, subject = request.query_params["topics"].split(), request.query_params.get("subject")
    return EventSourceResponse(hub.subscribe(*topics, subject=subject))


async def disconnect(request: Request) -> Response:
    await hub.disconnect(request.query_params["subject"])
    return Response(status_code=204)


class WorkerHeader:
    """Says in each response which process it is from."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"worker", b"%d" % os.getpid())]
            await send(message)

        await self.app(scope, receive, send_with_header)


app = Starlette(
    routes=[
        Route("/events", events),
        Route("/disconnect", disconnect, methods=["POST"]),
        Mount("/publish", WorkerHeader(hub.publisher(authorize=lambda request: True))),
    ]
)
app.add_middleware(SSEMiddleware, hub=hub)
