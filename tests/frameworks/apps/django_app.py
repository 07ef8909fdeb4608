"""Django on ASGI: `StreamingHttpResponse` with asynchronous iterators."""

from collections.abc import AsyncIterator, Callable

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.urls import path

from tests.frameworks.apps import bodies

settings.configure(
    ALLOWED_HOSTS=["*"], DEBUG=False, ROOT_URLCONF=__name__, SECRET_KEY="no secret", MIDDLEWARE=[]
)


async def page(_: HttpRequest) -> HttpResponseBase:
    return JsonResponse({"n": 0})


async def events(request: HttpRequest) -> HttpResponseBase:
    body = bodies.frames(int(request.GET["count"]))
    return StreamingHttpResponse(body, content_type="text/event-stream")


async def lines(request: HttpRequest) -> HttpResponseBase:
    body = bodies.json_lines(int(request.GET["count"]))
    return StreamingHttpResponse(body, content_type="application/x-ndjson")


def streaming(body: Callable[[], AsyncIterator[bytes]], media_type: str) -> object:
    async def view(_: HttpRequest) -> HttpResponseBase:
        return StreamingHttpResponse(body(), content_type=media_type)

    return view


urlpatterns = [
    path("page", page),
    path("events", events),
    path("handmade", events),
    path("quiet", streaming(bodies.quiet_frames, "text/event-stream")),
    path("endless", streaming(bodies.endless_frames, "text/event-stream")),
    path("broken", streaming(bodies.broken_frames, "text/event-stream")),
    path("abrupt", streaming(bodies.abrupt_frames, "text/event-stream")),
    path("lines", lines),
    path("quiet-lines", streaming(bodies.quiet_lines, "application/x-ndjson")),
    path("endless-lines", streaming(bodies.endless_lines, "application/x-ndjson")),
    path("broken-lines", streaming(bodies.broken_lines, "application/x-ndjson")),
]

django.setup(set_prefix=False)
app = ASGIHandler()
