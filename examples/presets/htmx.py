"""``python -m examples.presets.htmx``: a page whose list and status the server writes.

It is for htmx 2 and its extension. ``/four`` is the same page for htmx 4.
"""

from collections.abc import AsyncIterator
from html import escape

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import ServerSentEvent, event_stream, presets

TWO = """<!doctype html>
<script src="https://cdn.jsdelivr.net/npm/htmx.org@2.0.11/dist/htmx.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/htmx-ext-sse@2.2.4/sse.js"></script>
<div hx-ext="sse" sse-connect="/news" sse-close="close">
  <ul id="news" sse-swap="message" hx-swap="beforeend"></ul>
  <p id="status" sse-swap="status"></p>
</div>"""

FOUR = """<!doctype html>
<script src="https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/htmx.min.js"></script>
<script src="https://cdn.jsdelivr.net/npm/htmx.org@4.0.1/dist/ext/hx-sse.min.js"></script>
<ul id="news" hx-sse:connect="/news" hx-sse:close="close" hx-swap="beforeend"></ul>"""


@event_stream(preset=presets.HTMX)
async def news(_: Request) -> AsyncIterator[str | ServerSentEvent]:
    for number in range(1, 4):
        yield f"<li>\n  {escape(f'<{number}>')}\n</li>"
        await anyio.sleep(0.2)
    yield ServerSentEvent(event="status", raw_data="<b>That was all.</b>")


async def two(_: Request) -> Response:
    return HTMLResponse(TWO)


async def four(_: Request) -> Response:
    return HTMLResponse(FOUR)


app = Starlette(routes=[Route("/", two), Route("/four", four), Route("/news", news)])

if __name__ == "__main__":
    serve(app)
