"""Streams of the hub for a browser. Most end soon, and their client is to come back at once.

What happens while a client is away is done when it comes back, before it subscribes again: so it
has happened in time.
"""

from collections import Counter, defaultdict

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sse_middleware import (
    CloseReason,
    EventSourceResponse,
    Hub,
    Keep,
    ServerSentEvent,
    SSEMiddleware,
    last_event_id,
)

KEPT = 100
TOO_MANY = KEPT + 3
LIFETIME = 0.3
"""Seconds after which a stream ends."""

TABS = "tabs"
"""The topic of the page that reads a stream until it is closed."""

TAB = f"""<!doctype html><title>a tab</title><script>
const read = JSON.parse(sessionStorage.getItem("read") ?? "[]")
const last = sessionStorage.getItem("last") ?? ""
const source = new EventSource("/stay/{TABS}?last_event_id=" + last)
const opened = new Promise((resolve) => source.addEventListener("open", resolve))
for (const type of ["message", "gap"]) source.addEventListener(type, (event) => {{
  read.push(JSON.parse(event.data))
  sessionStorage.setItem("read", JSON.stringify(read))
  sessionStorage.setItem("last", event.lastEventId)
}})
</script>"""

hub = Hub(keep=Keep(count=KEPT, seconds=600))
visits: Counter[str] = Counter()
published: Counter[str] = Counter()
"""The last number of a topic."""
came_with: defaultdict[str, list[str]] = defaultdict(list)
"""By topic: the last event ids of its visits."""
last_published: dict[str, str] = {}
"""By topic: the id of what was published last."""
connections: defaultdict[str, set[tuple[str, int]]] = defaultdict(set)
"""By topic: HTTP versions and the ports of clients."""


def come_back(_reason: CloseReason) -> ServerSentEvent:
    return ServerSentEvent(retry=50)


async def page(_request: Request) -> Response:
    return HTMLResponse("<!doctype html><title>streams</title>")


async def tab(_request: Request) -> Response:
    return HTMLResponse(TAB)


async def count_visits(request: Request) -> Response:
    return JSONResponse(visits[request.path_params["topic"]])


async def subscribe(request: Request) -> Response:
    """Publish the numbers that a client has missed on its second visit. Then let it in.

    The first visit may be to another topic. The hub then keeps no more of this one than it has to.
    There are no keep-alives unless the request says how often: each would move the position.
    """
    topic, ping = request.path_params["topic"], request.query_params.get("ping")
    visits[topic] += 1
    came_with[topic].append(last_event_id(request))
    first = request.query_params.get("first", topic) if visits[topic] == 1 else topic
    if visits[topic] == 2:
        for number in range(1, 1 + int(request.query_params.get("missed", "0"))):
            await hub.publish(topic, number)
    return EventSourceResponse(
        hub.subscribe(first),
        ping_interval=float(ping) if ping else None,
        max_duration=LIFETIME,
        farewell=come_back,
    )


async def list_ids(_request: Request) -> Response:
    return JSONResponse({"came with": came_with, "published": last_published})


async def list_connections(request: Request) -> Response:
    return JSONResponse(sorted(connections[request.path_params["topic"]]))


async def stay(request: Request) -> Response:
    """Subscribe for as long as the client stays. One that comes back has missed an event."""
    topic = request.path_params["topic"]
    visits[topic] += 1
    assert request.client
    connections[topic].add((request.scope["http_version"], request.client.port))
    if last_event_id(request):
        published[topic] += 1
        await hub.publish(topic, published[topic])
    return EventSourceResponse(hub.subscribe(topic))


async def publish(request: Request) -> Response:
    """Publish numbers from 1 on, one by one. Answer with the last id.

    If the request says how often a client has to visit until the last one, it has to keep up.
    """
    topic, count = request.path_params["topic"], int(request.query_params["count"])
    wanted = int(request.query_params.get("visits", "0"))
    for number in range(1, 1 + count):
        while visits[topic] < wanted * number // count:  # noqa: ASYNC110 - nothing tells of one
            await anyio.sleep(0.02)
        published[topic] = number
        last = await hub.publish(topic, number)
        await anyio.sleep(0.02)
    last_published[topic] = last
    return JSONResponse(last)


async def subscribe_once(request: Request) -> Response:
    """Answer 204 to a client that comes back: there is nothing more."""
    if visits[request.path_params["topic"]]:
        visits[request.path_params["topic"]] += 1
        return Response(status_code=204)
    return await subscribe(request)


app = Starlette(
    routes=[
        Route("/page", page),
        Route("/tab", tab),
        Route("/connections/{topic}", list_connections),
        Route("/visits/{topic}", count_visits),
        Route("/ids", list_ids),
        Route("/subscribe/{topic}", subscribe),
        Route("/subscribe-once/{topic}", subscribe_once),
        Route("/stay/{topic}", stay),
        Route("/publish/{topic}", publish),
    ]
)
app.add_middleware(SSEMiddleware, hub=hub)
