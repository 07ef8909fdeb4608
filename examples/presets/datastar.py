"""``python -m examples.presets.datastar``: a page whose elements and signals the server patches."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from examples.presets.serving import serve
from sse_middleware import ServerSentEvent, event_stream, presets

CDN = "https://cdn.jsdelivr.net/gh/starfederation/datastar@v1.0.1/bundles/datastar.js"
PAGE = f"""<!doctype html>
<script type="module" src="{CDN}"></script>
<body data-signals="{{left: 0}}" data-init="@get('/launch')">
  <p id="status">Waiting</p>
  <p id="left" data-text="$left"></p>
  <p id="hint">The server counts down.</p>
  <ul id="log"></ul>
</body>"""


@event_stream(preset=presets.DATASTAR)
async def launch(_: Request) -> AsyncIterator[str | dict[str, Any] | ServerSentEvent]:
    yield '<p id="status">\n  Counting\n</p>'
    for left in (3, 2, 1):
        yield {"left": left}
        yield presets.patch_elements(f"<li>{left}</li>", selector="#log", mode="append")
        await anyio.sleep(0.2)
    yield presets.patch_elements(selector="#hint", mode="remove")
    yield '<p id="status">Lift-off</p>'


async def page(_: Request) -> Response:
    return HTMLResponse(PAGE)


app = Starlette(routes=[Route("/", page), Route("/launch", launch)])

if __name__ == "__main__":
    serve(app)
