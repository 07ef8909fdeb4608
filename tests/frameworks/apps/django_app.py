"""Django on ASGI: `StreamingHttpResponse` with asynchronous iterators."""

import django
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import path

from tests.frameworks.apps import starlette_app

settings.configure(
    ALLOWED_HOSTS=["*"], DEBUG=False, ROOT_URLCONF=__name__, SECRET_KEY="no secret", MIDDLEWARE=[]
)


async def events(request: HttpRequest) -> StreamingHttpResponse:
    body = starlette_app.frames(int(request.GET["count"]))
    return StreamingHttpResponse(body, content_type="text/event-stream")


async def quiet(_: HttpRequest) -> StreamingHttpResponse:
    body = starlette_app.quiet_frames()
    return StreamingHttpResponse(body, content_type="text/event-stream")


async def broken(_: HttpRequest) -> StreamingHttpResponse:
    body = starlette_app.broken_frames()
    return StreamingHttpResponse(body, content_type="text/event-stream")


async def lines(request: HttpRequest) -> StreamingHttpResponse:
    body = starlette_app.json_lines(int(request.GET["count"]))
    return StreamingHttpResponse(body, content_type="application/x-ndjson")


urlpatterns = [
    path("events", events),
    path("quiet", quiet),
    path("broken", broken),
    path("lines", lines),
]

django.setup(set_prefix=False)
app = ASGIHandler()
